//! Whole ways of people through the pages: a seller with a phone, a dealer with a list, somebody without a mouse.

use std::path::{Path, PathBuf};

use calamine::{Data, Reader, Xlsx, open_workbook};
use fantoccini::{Client, Locator};
use serde_json::json;
use tempfile::TempDir;

use crate::browser::{Driver, assert_no_external_requests, wait_for};
use crate::market::{block_on, server};

/// The key codes of `WebDriver`.
const TAB: &str = "\u{e004}";
const ENTER: &str = "\u{e007}";
const DOWN: &str = "\u{e015}";

const LANGUAGES: [&str; 2] = ["ru", "en"];

async fn text_of(browser: &Client, id: &str) -> String {
    let script = format!("return document.getElementById('{id}').innerText");
    browser.execute(&script, Vec::new()).await.unwrap().as_str().unwrap().to_owned()
}

/// Emulates a medium, `screen` or `print`, in a theme.
async fn set_media(driver: &Driver, browser: &Client, medium: &str, theme: &str) {
    let features = json!([{ "name": "prefers-color-scheme", "value": theme }]);
    driver.command(browser, "Emulation.setEmulatedMedia", json!({ "media": medium, "features": features })).await;
}

/// Opens a page in a language.
async fn open(browser: &Client, url: &str, language: &str) {
    browser.goto(url).await.unwrap();
    let ready = "return document.getElementById('language').innerText";
    wait_for(browser, ready).await;
    let is_language = format!("return document.documentElement.lang === '{language}'");
    if browser.execute(&is_language, Vec::new()).await.unwrap() != json!(true) {
        browser.find(Locator::Id("language")).await.unwrap().click().await.unwrap();
    }
    wait_for(browser, &is_language).await;
}

/// Types into the focused element.
async fn press(browser: &Client, keys: &str) {
    browser.active_element().await.unwrap().send_keys(keys).await.unwrap();
}

/// The id of the focused element; its name in the form for others.
async fn focused(browser: &Client) -> String {
    let script = "const at = document.activeElement; return at.id || at.name || at.innerText || at.tagName";
    browser.execute(script, Vec::new()).await.unwrap().as_str().unwrap().to_owned()
}

#[test]
fn a_seller_gets_a_price_on_a_phone_and_shares_it() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        driver.set_viewport(&browser, 390, 844).await;
        for (language, theme) in LANGUAGES.into_iter().zip(["light", "dark"]) {
            set_media(&driver, &browser, "screen", theme).await;
            open(&browser, &server.url("/"), language).await;
            for (field, value) in [("brand", "Kia"), ("model", "Rio"), ("year", "2018"), ("mileage", "83000")] {
                browser.find(Locator::Id(&format!("field-{field}"))).await.unwrap().send_keys(value).await.unwrap();
            }
            wait_for(&browser, "return document.getElementById('price').innerText").await;
            let asking = browser.find(Locator::Id("field-asking_price")).await.unwrap();
            asking.send_keys("1500000").await.unwrap();
            let settled =
                "return !document.querySelector('.outdated') && location.search.includes('asking_price=1500000')
                && document.getElementById('rating').innerText";
            asking.send_keys(TAB).await.unwrap();
            let rating = wait_for(&browser, settled).await;

            // Whoever opens the address sees the same car, price and rating.
            let (price, summary) = (text_of(&browser, "price").await, text_of(&browser, "summary").await);
            let address = browser.current_url().await.unwrap();
            browser.goto("about:blank").await.unwrap();
            browser.goto(address.as_str()).await.unwrap();
            let is_same = format!("return document.getElementById('rating').innerText === {rating}");
            wait_for(&browser, &is_same).await;
            assert_eq!(text_of(&browser, "price").await, price, "{language}");
            assert_eq!(text_of(&browser, "summary").await, summary, "{language}");
            let digits = "return document.getElementById('field-asking_price').value.replace(/\\D/g, '')";
            assert_eq!(browser.execute(digits, Vec::new()).await.unwrap(), json!("1500000"), "{language}");

            // On paper the answer comes first, in dark ink, without what only works on a screen.
            set_media(&driver, &browser, "print", theme).await;
            let printed =
                "const seen = [...document.querySelectorAll('main *')].filter(node => node.getClientRects().length);
                const first = seen.find(node => node.children.length === 0 && node.innerText?.trim());
                return [first.closest('#result') !== null, seen.some(node => node.matches('#car, .workbook, .bar')),
                    getComputedStyle(document.body).backgroundColor]";
            let printed = browser.execute(printed, Vec::new()).await.unwrap();
            assert_eq!((&printed[0], &printed[1]), (&json!(true), &json!(false)), "{language}");
            let white = [json!("rgb(255, 255, 255)"), json!("rgba(0, 0, 0, 0)")];
            assert!(white.contains(&printed[2]), "{language}: {printed}");
        }
        set_media(&driver, &browser, "screen", "light").await;
        assert_no_external_requests(&browser, &server.address).await;
        browser.close().await.unwrap();
    });
}

#[test]
fn the_way_of_the_valuation_page_needs_no_mouse() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        driver.set_viewport(&browser, 1280, 800).await;
        for (language, theme) in LANGUAGES.into_iter().zip(["dark", "light"]) {
            set_media(&driver, &browser, "screen", theme).await;
            open(&browser, &server.url("/"), language).await;
            browser.refresh().await.unwrap();
            wait_for(
                &browser,
                "return !!document.getElementById('field-mileage') && document.getElementById('language').innerText",
            )
            .await;
            // The first stop leads past the header to the form.
            press(&browser, TAB).await;
            let skip =
                "const at = document.activeElement; return at.matches('.skip') && at.getBoundingClientRect().top >= 0";
            assert_eq!(browser.execute(skip, Vec::new()).await.unwrap(), json!(true), "{language}");
            press(&browser, ENTER).await;
            press(&browser, TAB).await;
            assert_eq!(focused(&browser).await, "field-brand", "{language}");
            for (field, typed) in [("brand", "kia"), ("model", "rio")] {
                assert_eq!(focused(&browser).await, format!("field-{field}"), "{language}");
                press(&browser, typed).await;
                let is_open = format!(
                    "const list = document.getElementById('list-{field}'); return !list.hidden && list.innerText.trim()"
                );
                wait_for(&browser, &is_open).await;
                press(&browser, &format!("{DOWN}{ENTER}")).await;
                wait_for(&browser, &format!("return document.getElementById('list-{field}').hidden")).await;
                press(&browser, TAB).await;
            }
            tab_to(&browser, "field-year").await;
            press(&browser, "2018").await;
            tab_to(&browser, "field-mileage").await;
            // A value that cannot be is explained beside its field, which keeps the focus.
            press(&browser, &format!("много{ENTER}")).await;
            let error = wait_for(&browser, "return document.getElementById('error-mileage').innerText").await;
            let message = error.as_str().unwrap().replace("много", "");
            let is_russian = message.chars().any(|c| ('а'..='я').contains(&c));
            assert!(!message.trim().is_empty() && is_russian == (language == "ru"), "{error}");
            assert_eq!(focused(&browser).await, "field-mileage", "{language}");
            let mark = "return document.getElementById('field-mileage').getAttribute('aria-invalid')";
            assert_eq!(browser.execute(mark, Vec::new()).await.unwrap(), json!("true"), "{language}");
            let field = browser.active_element().await.unwrap();
            field.clear().await.unwrap();
            field.send_keys(&format!("83000{ENTER}")).await.unwrap();
            wait_for(
                &browser,
                "return document.activeElement.id === 'result-title' && document.getElementById('price').innerText",
            )
            .await;
            walk_on(&browser, language).await;
        }
        browser.close().await.unwrap();
    });
}

/// Presses Tab until an element has the focus.
async fn tab_to(browser: &Client, id: &str) {
    for _ in 0..20 {
        if focused(browser).await == id {
            return;
        }
        press(browser, TAB).await;
    }
    panic!("Tab does not lead to {id}, only to {}", focused(browser).await);
}

/// Walks from the answer to the end of the page: each stop is visible, has a visible focus, comes after the one before, and none
/// holds the focus.
async fn walk_on(browser: &Client, language: &str) {
    let stop = "const at = document.activeElement;
        if (at === document.body) return null;
        const { top, bottom, width, height } = at.getBoundingClientRect(), style = getComputedStyle(at);
        const follows = window.before ? !!(window.before.compareDocumentPosition(at) & Node.DOCUMENT_POSITION_FOLLOWING) : true;
        const isSame = window.before === at;
        window.before = at;
        return { name: at.id || at.innerText || at.tagName, follows, isSame,
            seen: width > 0 && height > 0 && bottom > 0 && top < innerHeight,
            marked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 }";
    browser.execute("window.before = null", Vec::new()).await.unwrap();
    let mut stops = Vec::new();
    for _ in 0..200 {
        press(browser, TAB).await;
        let stop = browser.execute(stop, Vec::new()).await.unwrap();
        // After the last stop the browser itself has the focus, or the page starts anew.
        if stop.is_null() || stop["follows"] == json!(false) && stops.len() > 3 {
            assert!(stop.is_null() || stop["isSame"] == json!(false), "{language}: {stop} holds the focus");
            assert!(stops.iter().any(|name| name == "template"), "{language}: {stops:?}");
            return;
        }
        for what in ["follows", "seen", "marked"] {
            assert_eq!(stop[what], json!(true), "{language}: {what} of {stop}");
        }
        stops.push(stop["name"].as_str().unwrap().to_owned());
    }
    panic!("{language}: Tab never leads out of the page: {stops:?}");
}

/// A list as dealers have it: a title, makes with models in one column, a price that nobody recognizes, a total at the end.
fn write_list(path: &Path) {
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    sheet.write(0, 0, "Склад на 01.11.2026").unwrap();
    sheet.write_row(2, 0, ["Автомобиль", "г/в", "Пробег, тыс. км", "Хотим за неё", "Менеджер"]).unwrap();
    for (row, (year, mileage)) in (3..).zip([(2018, 83), (2016, 121), (2014, 150)]) {
        sheet.write_row(row, 0, ["Kia Rio"]).unwrap();
        sheet.write(row, 1, year).unwrap();
        sheet.write(row, 2, mileage).unwrap();
        sheet.write(row, 3, "1 250 000 р.").unwrap();
        sheet.write(row, 4, "Иванов").unwrap();
    }
    sheet.write(6, 0, "Итого").unwrap();
    sheet.write(6, 3, 3_750_000).unwrap();
    workbook.save(path).unwrap();
}

#[test]
fn a_dealer_downloads_a_list_with_prices() {
    let driver = Driver::start();
    let server = server();
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("склад.xlsx");
    write_list(&list);
    block_on(async {
        let browser = driver.open_browser().await;
        driver.set_viewport(&browser, 1280, 800).await;
        for (language, theme) in LANGUAGES.into_iter().zip(["light", "dark"]) {
            let downloads = folder.path().join(language);
            std::fs::create_dir(&downloads).unwrap();
            let behaviour = json!({ "behavior": "allow", "downloadPath": downloads });
            driver.command(&browser, "Browser.setDownloadBehavior", behaviour).await;
            set_media(&driver, &browser, "screen", theme).await;
            // The page for one car leads here.
            open(&browser, &server.url("/"), language).await;
            browser.find(Locator::Css(".workbook a[href='/bulk']")).await.unwrap().click().await.unwrap();
            wait_for(&browser, "return location.pathname === '/bulk' && !!document.getElementById('file') && document.getElementById('language').innerText").await;
            browser.find(Locator::Id("file")).await.unwrap().send_keys(list.to_str().unwrap()).await.unwrap();
            wait_for(&browser, "return document.activeElement.id === 'checked-title'").await;
            let choose = "const choice = document.querySelector('tr[data-place=\"4\"] select');
                choice.value = 'price'; choice.dispatchEvent(new Event('change'))";
            browser.execute(choose, Vec::new()).await.unwrap();
            wait_for(&browser, "return document.querySelector('tr[data-place=\"4\"] select').value === 'price' && !document.getElementById('start').disabled").await;
            let problems = text_of(&browser, "problem-list").await;
            assert!(problems.contains('7'), "the total is named: {problems}");
            browser.find(Locator::Id("start")).await.unwrap().click().await.unwrap();
            wait_for(&browser, "return document.activeElement.id === 'valued-title'").await;
            browser.find(Locator::Id("download")).await.unwrap().click().await.unwrap();
            check_result(&downloaded(&downloads).await);
        }

        // A lost connection is explained, and the choice is not lost.
        browser.execute("window.fetch = () => Promise.reject(new TypeError())", Vec::new()).await.unwrap();
        browser.find(Locator::Id("download")).await.unwrap().click().await.unwrap();
        let problem = wait_for(&browser, "return document.getElementById('problem').innerText").await;
        assert_eq!(problem, json!("The server does not respond. Try again."));
        let chosen = "return document.querySelector('tr[data-place=\"4\"] select').value";
        assert_eq!(browser.execute(chosen, Vec::new()).await.unwrap(), json!("price"));
        assert_no_external_requests(&browser, &server.address).await;
        browser.close().await.unwrap();
    });
}

/// The only file of a folder, once the browser has written all of it.
async fn downloaded(folder: &Path) -> PathBuf {
    for _ in 0..300 {
        let files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        if let [file] = &files[..]
            && file.extension().is_some_and(|extension| extension == "xlsx")
        {
            return file.clone();
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("nothing was downloaded to {}", folder.display());
}

/// The result has the list as it was, a price in each row of a car, and none in that of the total.
fn check_result(path: &Path) {
    let mut workbook: Xlsx<_> = open_workbook(path).unwrap();
    let range = workbook.worksheet_range_at(0).unwrap().unwrap();
    let rows: Vec<&[Data]> = range.rows().collect();
    assert_eq!(rows[2][0], Data::String("Автомобиль".into()));
    let price = rows[2].iter().position(|cell| cell.to_string().starts_with("Оценка")).unwrap();
    for row in &rows[3..6] {
        assert_eq!(row[3], Data::String("1 250 000 р.".into()));
        assert!(matches!(row[price], Data::Float(amount) if amount > 10_000.0), "{row:?}");
    }
    assert_eq!((&rows[6][0], &rows[6][price]), (&Data::String("Итого".into()), &Data::Empty));
}

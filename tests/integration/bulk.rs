//! The way of a dealer: a list of cars is checked, corrected by hand, valued and downloaded.

use std::path::Path;

use fantoccini::Locator;
use serde_json::json;
use tempfile::TempDir;

use super::{Driver, assert_no_external_requests, text_of, wait_for};
use crate::market::{block_on, server};

/// A dealer's list: a header with a typing error, columns that nobody needs, a price in thousands, an unknown make and a year
/// that cannot be.
fn write_list(path: &Path) {
    let mut workbook = rust_xlsxwriter::Workbook::new();
    let sheet = workbook.add_worksheet();
    let headers = ["№ п/п", "Марка ТС", "Модель", "Г.в.", "Пробек, тыс. км", "Цена, тыс. руб.", "Менеджер"];
    sheet.write_row(0, 0, headers).unwrap();
    for row in 1..=12_u32 {
        sheet.write(row, 0, row).unwrap();
        sheet.write(row, 1, if row == 11 { "Kiaaa" } else { "Kia" }).unwrap();
        sheet.write(row, 2, "Rio").unwrap();
        sheet.write(row, 3, if row == 12 { 1500 } else { 2010 + row }).unwrap();
        sheet.write(row, 4, 20 * row).unwrap();
        sheet.write(row, 5, 900).unwrap();
        sheet.write(row, 6, "Иванов").unwrap();
    }
    workbook.save(path).unwrap();
}

/// The script expression of the select for a header.
fn select(header: &str) -> String {
    format!(
        "[...document.querySelectorAll('#columns tbody tr')].find(row => row.querySelector('th').innerText === '{header}')\
         .querySelector('select')"
    )
}

#[test]
fn a_dealer_corrects_a_column_and_gets_the_list_with_prices() {
    let driver = Driver::start();
    let server = server();
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("склад.xlsx");
    write_list(&list);
    block_on(async {
        let browser = driver.open_browser().await;
        for (width, height) in [(320, 640), (390, 844), (1280, 800)] {
            driver.set_viewport(&browser, width, height).await;
            browser.goto(&server.url("/")).await.unwrap();
            browser.find(Locator::Css("nav a[href=\"/bulk\"]")).await.unwrap().click().await.unwrap();
            wait_for(&browser, "return !!document.querySelector('nav a[href=\"/\"]')").await;
            let chooser = browser.find(Locator::Id("file")).await.unwrap();
            chooser.send_keys(list.to_str().unwrap()).await.unwrap();
            wait_for(&browser, "return document.activeElement.id === 'checked-title'").await;

            // Without the mileage nothing can be valued; the page asks about the header like it.
            assert!(text_of(&browser, "understood").await.contains("Не хватает обязательного: Пробег"));
            let is_disabled = "return document.getElementById('start').disabled";
            assert_eq!(browser.execute(is_disabled, Vec::new()).await.unwrap(), json!(true));
            wait_for(&browser, &format!("return !!{}", select("Пробек, тыс. км"))).await;
            let suggestion = browser.find(Locator::Css("#columns tbody button")).await.unwrap();
            assert_eq!(suggestion.text().await.unwrap(), "Это Пробег?");
            suggestion.click().await.unwrap();
            wait_for(&browser, "return !document.getElementById('start').disabled").await;
            let chosen = format!("return {}.value", select("Пробек, тыс. км"));
            assert_eq!(browser.execute(&chosen, Vec::new()).await.unwrap(), json!("mileage"));
            assert!(text_of(&browser, "columns").await.contains("единица: тыс. км"));

            // The rows without a price are named before anything is valued, and so are the columns that are not used.
            let problems = text_of(&browser, "problem-list").await;
            assert!(problems.contains("строка 12") && problems.contains("Kiaaa"), "{problems}");
            assert!(problems.contains("строка 13") && problems.contains("1500"), "{problems}");
            let ignore = format!(
                "const choice = {}; choice.value = 'ignore'; choice.dispatchEvent(new Event('change'))",
                select("Менеджер")
            );
            browser.execute(&ignore, Vec::new()).await.unwrap();
            let is_ignored = format!(
                "return !document.getElementById('start').disabled && {}.value === 'ignore'",
                select("Менеджер")
            );
            wait_for(&browser, &is_ignored).await;
            assert_eq!(text_of(&browser, "start").await, "Оценить 10 строк");

            browser.find(Locator::Id("start")).await.unwrap().click().await.unwrap();
            wait_for(&browser, "return document.activeElement.id === 'valued-title'").await;
            assert!(text_of(&browser, "total").await.contains('₽'));
            assert!(text_of(&browser, "figures").await.contains("Оценено 10 из 12."));
            assert!(text_of(&browser, "unused").await.contains("Менеджер"));
            let rows = "return document.querySelectorAll('#first tbody tr').length";
            assert_eq!(browser.execute(rows, Vec::new()).await.unwrap(), json!(10));
            for part in ["furthest", "widest"] {
                assert!(text_of(&browser, part).await.contains("Kia Rio 20"), "{part}");
            }

            // Everything is in the language of the page.
            browser.find(Locator::Id("language")).await.unwrap().click().await.unwrap();
            let russian = "const text = document.querySelector('main').innerText
                .replace(/№ п\\/п|Марка ТС|Модель|Г\\.в\\.|Пробек|тыс\\. км|Цена, тыс\\. руб\\.|тыс\\. руб\\.|Менеджер|Иванов|склад/g, '');
                return (text.match(/[А-Яа-яё]{2,}/) || [''])[0]";
            assert_eq!(browser.execute(russian, Vec::new()).await.unwrap(), json!(""), "at {width} pixels");
            browser.find(Locator::Id("language")).await.unwrap().click().await.unwrap();

            let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(browser.execute(overflow, Vec::new()).await.unwrap(), json!(0), "at {width} pixels");
            browser.find(Locator::Id("download")).await.unwrap().click().await.unwrap();
            wait_for(&browser, "return document.getElementById('state').innerText === 'Файл сохранён.'").await;
            assert_no_external_requests(&browser, &server.address).await;
        }
        browser.close().await.unwrap();
    });
}

#[test]
fn a_kept_choice_of_columns_is_loaded_and_a_damaged_file_is_explained() {
    let driver = Driver::start();
    let server = server();
    let folder = TempDir::new().unwrap();
    let write = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let list = write("cars.csv", "Марка;Год;Пробек\nKia;2018;83 тыс\n");
    let mapping = write("columns.json", r#"{"Пробек": "mileage"}"#);
    let other = write("other.json", "[1, 2]");
    let damaged = write("damaged.xlsx", "PK");
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/bulk")).await.unwrap();
        browser.find(Locator::Id("file")).await.unwrap().send_keys(&list).await.unwrap();
        wait_for(&browser, "return document.activeElement.id === 'checked-title'").await;
        browser.find(Locator::Id("mapping")).await.unwrap().send_keys(&other).await.unwrap();
        wait_for(&browser, "return document.getElementById('problem').innerText.includes('не сохранённый выбор')")
            .await;
        browser.find(Locator::Id("mapping")).await.unwrap().send_keys(&mapping).await.unwrap();
        wait_for(&browser, "return !document.getElementById('start').disabled").await;
        assert_eq!(text_of(&browser, "problem").await, "");
        let is_shown = "return !document.getElementById('format-choice').hidden";
        assert_eq!(browser.execute(is_shown, Vec::new()).await.unwrap(), json!(true), "a CSV may become a workbook");

        browser.find(Locator::Id("file")).await.unwrap().send_keys(&damaged).await.unwrap();
        let problem = wait_for(&browser, "return document.getElementById('problem').innerText").await;
        assert!(problem.as_str().unwrap().contains("damaged.xlsx"), "{problem}");
        let is_hidden = "return document.getElementById('checked').hidden";
        assert_eq!(browser.execute(is_hidden, Vec::new()).await.unwrap(), json!(true));
        browser.close().await.unwrap();
    });
}

#[test]
fn one_of_two_equal_headers_is_chosen_with_the_keyboard() {
    let driver = Driver::start();
    let server = server();
    let folder = TempDir::new().unwrap();
    let list = folder.path().join("cars.csv");
    std::fs::write(&list, "Марка;Год;Пробег;Цена;Цена;\nKia;2018;83000;850000;900000;2\n").unwrap();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/bulk")).await.unwrap();
        browser.find(Locator::Id("file")).await.unwrap().send_keys(list.to_str().unwrap()).await.unwrap();
        wait_for(&browser, "return document.activeElement.id === 'checked-title'").await;
        // The column without a header comes last.
        for (place, steps) in [(4, "\u{e013}"), (6, "\u{e015}")] {
            let focus = format!("document.querySelector('tr[data-place=\"{place}\"] select').focus()");
            browser.execute(&focus, Vec::new()).await.unwrap();
            let value = format!("return document.querySelector('tr[data-place=\"{place}\"] select').value");
            let wanted = if place == 4 { "ignore" } else { "owners_count" };
            for _ in 0..40 {
                if browser.execute(&value, Vec::new()).await.unwrap() == json!(wanted) {
                    break;
                }
                browser.active_element().await.unwrap().send_keys(steps).await.unwrap();
                wait_for(&browser, "return document.getElementById('state').innerText === ''").await;
                let place = format!("return document.activeElement.closest('tr').dataset.place === '{place}'");
                wait_for(&browser, &place).await;
            }
            assert_eq!(browser.execute(&value, Vec::new()).await.unwrap(), json!(wanted));
        }
        let other = "return document.querySelector('tr[data-place=\"5\"] select').value";
        assert_eq!(browser.execute(other, Vec::new()).await.unwrap(), json!("price"));
        wait_for(&browser, "return !document.getElementById('start').disabled").await;
        assert_eq!(text_of(&browser, "start").await, "Оценить 1 строку");
        browser.close().await.unwrap();
    });
}

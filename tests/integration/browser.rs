//! The pages in a real browser.

mod bulk;

use std::fmt::Write;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::json;
use tempfile::TempDir;

use crate::market::{Home, Server, block_on, server};
use crate::tasks;

/// A chromedriver process.
pub struct Driver {
    process: Child,
    port: u16,
    profile: TempDir,
}

impl Driver {
    pub fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver must be installed; `make test` installs it");
        Self { process, port, profile: TempDir::new().unwrap() }
    }

    pub async fn open_browser(&self) -> Client {
        let mut arguments = vec![format!("--user-data-dir={}", self.profile.path().display())];
        arguments.extend(
            [
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                "--disable-dev-shm-usage",
                "--window-size=1200,1600",
            ]
            .map(str::to_owned),
        );
        let capabilities = json!({
            "goog:chromeOptions": { "args": arguments },
            "goog:loggingPrefs": { "performance": "ALL", "browser": "ALL" },
        });
        let serde_json::Value::Object(capabilities) = capabilities else { unreachable!() };
        for _ in 0..100 {
            let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
            if let Ok(client) =
                builder.capabilities(capabilities.clone()).connect(&format!("http://127.0.0.1:{}", self.port)).await
            {
                return client;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the browser did not start");
    }

    /// Sets the size of the window as a device has it: headless windows are at least 500 pixels wide.
    pub async fn set_viewport(&self, browser: &Client, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.command(browser, "Emulation.setDeviceMetricsOverride", metrics).await;
    }

    /// The result of a command of the `DevTools` protocol.
    pub async fn command(&self, browser: &Client, name: &str, parameters: serde_json::Value) -> serde_json::Value {
        self.post(browser, "goog/cdp/execute", json!({ "cmd": name, "params": parameters })).await
    }

    /// The errors in the console of the browser.
    pub async fn console_errors(&self, browser: &Client) -> Vec<String> {
        let entries = self.post(browser, "se/log", json!({ "type": "browser" })).await;
        let severe = entries.as_array().unwrap().iter().filter(|entry| entry["level"] == "SEVERE");
        severe.map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
    }

    /// Sends a command of chromedriver.
    async fn post(&self, browser: &Client, path: &str, body: serde_json::Value) -> serde_json::Value {
        let session = browser.session_id().await.unwrap().unwrap();
        let url = format!("http://127.0.0.1:{}/session/{session}/{path}", self.port);
        let response = reqwest::Client::new().post(url).json(&body).send().await.unwrap().error_for_status().unwrap();
        response.json::<serde_json::Value>().await.unwrap()["value"].take()
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until a script returns a value other than null, false and the empty string.
pub async fn wait_for(browser: &Client, script: &str) -> serde_json::Value {
    for _ in 0..150 {
        let value = browser.execute(script, Vec::new()).await.unwrap();
        if !(value.is_null() || value == json!(false) || value == json!("")) {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("timed out waiting for {script}: {}", browser.source().await.unwrap_or_default());
}

/// Asserts that the page has only loaded resources from the server.
pub async fn assert_no_external_requests(browser: &Client, address: &str) {
    let script = "return performance.getEntriesByType('resource').map(entry => entry.name)";
    let loaded = browser.execute(script, Vec::new()).await.unwrap();
    for url in loaded.as_array().unwrap() {
        let url = url.as_str().unwrap();
        let is_own =
            url.starts_with(&format!("http://{address}/")) || url.starts_with(&format!("blob:http://{address}/"));
        assert!(is_own || url.starts_with("data:"), "{url} was loaded from elsewhere");
    }
}

/// The script expression of an operation block of Swagger UI.
fn operation_block(path: &str) -> String {
    format!(
        "[...document.querySelectorAll('.opblock-post')].find(block => block.querySelector('[data-path=\"{path}\"]'))"
    )
}

#[test]
fn the_documentation_page_can_send_requests() {
    let driver = Driver::start();
    let server = server();
    let folder = TempDir::new().unwrap();
    let workbook = folder.path().join("cars.xlsx");
    let mut cars = rust_xlsxwriter::Workbook::new();
    let sheet = cars.add_worksheet();
    sheet.write_row(0, 0, ["brand", "year", "mileage"]).unwrap();
    sheet.write(1, 0, "Kia").unwrap();
    sheet.write_row(1, 1, [2018, 83000]).unwrap();
    cars.save(&workbook).unwrap();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/docs")).await.unwrap();

        let one = operation_block("/v1/valuations");
        wait_for(&browser, &format!("return !!{one}")).await;
        wait_for(&browser, &format!("{one}.querySelector('.opblock-summary-control').click(); return true")).await;
        let example =
            wait_for(&browser, &format!("return {one}.querySelector('textarea.body-param__text')?.value")).await;
        let example: serde_json::Value = serde_json::from_str(example.as_str().unwrap()).unwrap();
        assert!(example["brand"].is_string() && example["mileage"].is_number(), "{example}");
        browser.execute(&format!("{one}.querySelector('button.execute').click()"), Vec::new()).await.unwrap();
        let response = wait_for(
            &browser,
            &format!("return {one}.querySelector('.live-responses-table .response-col_description pre')?.innerText"),
        )
        .await;
        assert!(response.as_str().unwrap().contains("\"price\""), "{response}");

        let many = operation_block("/v1/valuations/xlsx");
        wait_for(&browser, &format!("{many}.querySelector('.opblock-summary-control').click(); return true")).await;
        wait_for(&browser, &format!("const input = {many}.querySelector('input[type=file]'); if (input) input.id = 'upload-here'; return !!input")).await;
        let chooser = browser.find(Locator::Id("upload-here")).await.unwrap();
        chooser.send_keys(workbook.to_str().unwrap()).await.unwrap();
        browser.execute(&format!("{many}.querySelector('button.execute').click()"), Vec::new()).await.unwrap();
        let link =
            wait_for(&browser, &format!("return {many}.querySelector('.live-responses-table a[download]')?.href"))
                .await;
        assert!(link.as_str().unwrap().starts_with("blob:"), "{link}");

        assert_no_external_requests(&browser, &server.address).await;
        browser.close().await.unwrap();
    });
}

/// Types a value into a field of the form.
async fn fill(browser: &Client, field: &str, value: &str) {
    let input = browser.find(Locator::Css(&format!("#car [name={field}]"))).await.unwrap();
    input.clear().await.unwrap();
    input.send_keys(value).await.unwrap();
}

/// Submits the form by a click.
async fn submit(browser: &Client) {
    browser.execute("document.querySelector('#car [type=submit]').click()", Vec::new()).await.unwrap();
}

/// The displayed price, or an empty string.
const PRICE: &str = "return document.getElementById('price').innerText";

/// Whether an element is wholly within the window.
async fn is_in_view(browser: &Client, id: &str) -> bool {
    let script = format!(
        "const {{ top, bottom }} = document.getElementById('{id}').getBoundingClientRect();
         return top >= 0 && bottom <= window.innerHeight && bottom > top"
    );
    browser.execute(&script, Vec::new()).await.unwrap() == json!(true)
}

/// A number as the page writes it, without spaces and units, and with a minus sign.
fn amount(text: &str) -> i64 {
    let digits = text.chars().filter(char::is_ascii_digit).collect::<String>().parse::<i64>().unwrap();
    if text.contains('−') { -digits } else { digits }
}

/// The text of an element.
async fn text_of(browser: &Client, id: &str) -> String {
    let script = format!("return document.getElementById('{id}').innerText");
    browser.execute(&script, Vec::new()).await.unwrap().as_str().unwrap().to_owned()
}

#[test]
fn the_page_shows_the_price_in_view() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        // A desktop, and phones, where the result is below the form.
        for (width, height) in [(1280, 800), (390, 844), (320, 640)] {
            driver.set_viewport(&browser, width, height).await;
            browser.goto(&server.url("/")).await.unwrap();
            wait_for(&browser, "return !!document.querySelector('#car [name=mileage]')").await;
            for (field, value) in [("brand", "Kia"), ("model", "Rio"), ("year", "2018"), ("mileage", "83000\u{e007}")] {
                fill(&browser, field, value).await;
            }
            // Enter leads to the answer.
            wait_for(&browser, "return document.activeElement.id === 'result-title'").await;
            let price = wait_for(&browser, PRICE).await;
            assert!(price.as_str().unwrap().contains('₽'), "{price}");
            assert!(is_in_view(&browser, "price").await && is_in_view(&browser, "range").await, "at {width} pixels");
            let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(browser.execute(overflow, Vec::new()).await.unwrap(), json!(0), "at {width} pixels");
            if width < 600 {
                browser.execute("window.scrollTo(0, 0)", Vec::new()).await.unwrap();
                wait_for(&browser, "return !document.getElementById('bar').hidden").await;
                assert!(is_in_view(&browser, "bar").await, "at {width} pixels");
                assert_eq!(text_of(&browser, "bar-price").await, price.as_str().unwrap());
            }
        }
        assert_no_external_requests(&browser, &server.address).await;
        browser.close().await.unwrap();
    });
}

/// Types a text into a field and takes the first suggestion by keyboard.
async fn choose(browser: &Client, field: &str, text: &str) {
    let input = browser.find(Locator::Css(&format!("#car [name={field}]"))).await.unwrap();
    input.click().await.unwrap();
    input.send_keys(text).await.unwrap();
    let is_open =
        format!("const list = document.getElementById('list-{field}'); return !list.hidden && list.innerText.trim()");
    wait_for(browser, &is_open).await;
    input.send_keys("\u{e015}\u{e007}").await.unwrap();
    wait_for(browser, &format!("return document.getElementById('list-{field}').hidden")).await;
}

#[test]
fn five_inputs_lead_to_a_price_in_view_without_scrolling() {
    let driver = Driver::start();
    let home = Home::new();
    home.ok(&["import", &home.write("cars.csv", versions_of_rio())]);
    home.ok(&[&["train", "--promote"], crate::market::SMALL.as_slice()].concat());
    let server = Server::start(&home);
    block_on(async {
        let browser = driver.open_browser().await;
        for (width, height) in [(1280, 800), (390, 844)] {
            driver.set_viewport(&browser, width, height).await;
            browser.goto(&server.url("/")).await.unwrap();
            wait_for(&browser, "return !!document.querySelector('#car [name=mileage]')").await;
            choose(&browser, "brand", "киа").await;
            choose(&browser, "model", "рио").await;
            fill(&browser, "year", "2018").await;
            // A person is slower than the answer about this year.
            let answered = "return performance.getEntriesByType('resource').some(({ name }) =>
                name.includes('/v1/versions') && name.includes('year=2018'))";
            wait_for(&browser, answered).await;
            // Each generation once, whatever its spelling; the likeliest first.
            choose(&browser, "vehicle_generation", "").await;
            let value = |field: &str| format!("return document.getElementById('field-{field}').value");
            let generation = browser.execute(&value("vehicle_generation"), Vec::new()).await.unwrap();
            assert_eq!(generation, json!("IV"));
            fill(&browser, "mileage", "83 тыс").await;
            let price = wait_for(&browser, PRICE).await;
            assert!(price.as_str().unwrap().contains('₽'), "{price}");
            assert_eq!(
                browser.execute("return window.scrollY", Vec::new()).await.unwrap(),
                json!(0),
                "at {width} pixels"
            );
            let shown = if width < 600 { "bar" } else { "price" };
            wait_for(&browser, "return document.getElementById('bar').hidden === (window.innerWidth > 600)").await;
            assert!(is_in_view(&browser, shown).await, "at {width} pixels");

            // The likeliest version is filled in and marked.
            for (field, expected) in [
                ("engine_volume", "1,6"),
                ("engine_power", "123"),
                ("transmission", "Автоматическая"),
                ("drive", "Передний"),
            ] {
                assert_eq!(browser.execute(&value(field), Vec::new()).await.unwrap(), json!(expected), "{field}");
                let is_assumed =
                    format!("return document.getElementById('field-{field}').classList.contains('assumed')");
                assert_eq!(browser.execute(&is_assumed, Vec::new()).await.unwrap(), json!(true), "{field}");
            }
            assert!(text_of(&browser, "assumption").await.contains("123"));
            // What the user states is not assumed any more, and the rest follows it.
            choose(&browser, "transmission", "мех").await;
            let follows = "const power = document.getElementById('field-engine_power');
                return power.value === '100' && power.classList.contains('assumed')
                    && !document.getElementById('field-transmission').classList.contains('assumed')
                    && document.getElementById('price').innerText";
            let manual = wait_for(&browser, follows).await;
            wait_for(&browser, "return !document.querySelector('.outdated') && location.search.includes('assumed=')")
                .await;
            // A shared address says what was assumed, and has the same price.
            let price = text_of(&browser, "price").await;
            browser.refresh().await.unwrap();
            let is_same = format!("return document.getElementById('price').innerText === {}", json!(price));
            wait_for(&browser, &is_same).await;
            assert!(text_of(&browser, "assumption").await.contains("100"), "{manual}");
        }
        browser.close().await.unwrap();
    });
}

/// Listings of a model with two spellings of a generation and two versions.
fn versions_of_rio() -> String {
    let mut file = String::from(
        "brand,model,vehicle_generation,year,mileage,engine_volume,engine_power,transmission,drive,fuel_type,price\n",
    );
    for car in 0..600_u32 {
        let generation = ["IV", "IV (2017—н. в.)", "IV", "III рестайлинг"][(car % 4) as usize];
        let (power, gearbox) = if car % 5 < 3 { (123, "АКПП") } else { (100, "МКПП") };
        let (year, mileage) = (2016 + car % 4, 20_000 + 217 * car);
        let price = 900_000 + 50_000 * (year - 2016) - mileage + 1000 * power;
        writeln!(file, "Kia,Rio,{generation},{year},{mileage},1.6,{power},{gearbox},передний,Бензин,{price}").unwrap();
    }
    file
}

#[test]
fn names_are_found_as_people_write_them_and_unknown_ones_are_asked_about() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/")).await.unwrap();
        wait_for(&browser, "return !!document.querySelector('#car [name=mileage]')").await;
        let value = |field: &str| format!("return document.getElementById('field-{field}').value");
        // A make with its model in one field.
        choose(&browser, "brand", "Тойота Камри").await;
        assert_eq!(browser.execute(&value("brand"), Vec::new()).await.unwrap(), json!("Toyota"));
        assert_eq!(browser.execute(&value("model"), Vec::new()).await.unwrap(), json!("Camry"));

        // A make by ear is not priced but asked about.
        for (field, text) in [("brand", "Kya Rio"), ("model", ""), ("year", "2018"), ("mileage", "83000")] {
            fill(&browser, field, text).await;
        }
        let asked = wait_for(
            &browser,
            "return document.querySelectorAll('#error-brand button').length > 1
            && document.getElementById('error-brand').innerText",
        )
        .await;
        assert!(asked.as_str().unwrap().contains("«Kya Rio»"), "{asked}");
        assert_eq!(browser.execute(PRICE, Vec::new()).await.unwrap(), json!(""));
        browser.find(Locator::Css("#error-brand button")).await.unwrap().click().await.unwrap();
        wait_for(&browser, PRICE).await;
        assert_eq!(browser.execute(&value("brand"), Vec::new()).await.unwrap(), json!("Kia"));
        assert_eq!(browser.execute(&value("model"), Vec::new()).await.unwrap(), json!("Rio"));

        // A model in another alphabet is understood; an unknown one is asked about beside the price.
        fill(&browser, "model", "Рио").await;
        fill(&browser, "mileage", "84000").await;
        wait_for(&browser, "return document.getElementById('field-model').value === 'Rio'").await;
        fill(&browser, "model", "Rioo").await;
        fill(&browser, "mileage", "85000").await;
        let asked = wait_for(&browser, "return !!document.querySelector('#error-model button') && document.getElementById('error-model').innerText").await;
        assert!(asked.as_str().unwrap().contains("Rio"), "{asked}");
        wait_for(&browser, PRICE).await;
        assert_no_external_requests(&browser, &server.address).await;
        browser.close().await.unwrap();
    });
}

/// The address of a car, typed as people do.
const CAR: &str = "/?brand=kia&model=rio&year=2018+%D0%B3.&mileage=83+%D1%82%D1%8B%D1%81&engine_volume=1600&transmission=\
                   %D0%B0%D0%BA%D0%BF%D0%BF&owners_count=3&asking_price=2500000";

#[test]
fn the_address_restores_a_car_whose_factors_add_up() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url(CAR)).await.unwrap();
        let price = wait_for(&browser, PRICE).await;
        assert!(text_of(&browser, "summary").await.contains("1,6\u{a0}л"), "1600 is a volume");
        let script = "return [...document.querySelectorAll('#factors .amount')].map(amount => amount.innerText)";
        let amounts = browser.execute(script, Vec::new()).await.unwrap();
        let mut amounts: Vec<i64> =
            amounts.as_array().unwrap().iter().map(|text| amount(text.as_str().unwrap())).collect();
        let total = amounts.pop().unwrap();
        assert!(amounts.len() > 1, "{amounts:?}");
        assert_eq!((amounts.iter().sum::<i64>(), total), (total, amount(price.as_str().unwrap())), "{amounts:?}");

        // Each part of the answer is there in both languages, and neither has words of the other.
        for (own, other) in [("ru", r"/[A-Za-z]{4,}/"), ("en", r"/[А-Яа-яё]{2,}/")] {
            for part in ["distribution", "confidence", "rating", "warnings", "questions", "factors", "cards", "charts"]
            {
                let script = format!(
                    "const text = document.getElementById('{part}').textContent.replace(/Chevrolet|Rio|Kia/g, '');
                     const isOptional = ['warnings', 'questions'].includes('{part}');
                     return text.trim() === '' && !isOptional ? 'nothing' : (text.match({other}) || [])[0] || ''"
                );
                let found = browser.execute(&script, Vec::new()).await.unwrap();
                assert_eq!(found, json!(""), "{part} in {own}: {}", text_of(&browser, part).await);
            }
            browser.find(Locator::Id("language")).await.unwrap().click().await.unwrap();
        }

        // Going back restores the earlier car, and values it.
        fill(&browser, "mileage", "150000").await;
        submit(&browser).await;
        wait_for(
            &browser,
            "return location.search.includes('mileage=150000') && !document.querySelector('.outdated') && document.getElementById('price').innerText",
        )
        .await;
        assert_ne!(text_of(&browser, "price").await, price.as_str().unwrap());
        browser.back().await.unwrap();
        let is_back = format!("return document.getElementById('price').innerText === {price}");
        wait_for(&browser, &is_back).await;
        assert_no_external_requests(&browser, &server.address).await;
        browser.close().await.unwrap();
    });
}

#[test]
fn the_english_page_is_english() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/")).await.unwrap();
        browser.find(Locator::Id("language")).await.unwrap().click().await.unwrap();
        let cyrillic = "document.getElementById('language').remove();
            return (document.body.innerText + [...document.querySelectorAll('#car input')].map(input => input.value).join(' ')
                + document.title).match(/[^\\n]*[А-Яа-яё][^\\n]*/g)";
        let is_valued = "return !!document.querySelector('#factors li')";
        let is_refused = "return document.getElementById('problem').innerText";
        for (car, is_answered) in [
            ("model=Rio&year=2018&mileage=83000&asking_price=1500000&color=whitey&transmission=automatic", is_valued),
            ("model=Rioo&year=2018&mileage=83000&region=Atlantis", is_valued),
            ("year=1500&mileage=150.000&engine_volume=much&owners_count=1.5&listing_date=1900-01-01", is_refused),
        ] {
            browser.goto(&server.url(&format!("/?brand=Kia&{car}"))).await.unwrap();
            wait_for(&browser, is_answered).await;
            let found = browser.execute(cyrillic, Vec::new()).await.unwrap();
            assert_eq!(found, json!(null), "{car}");
        }
        browser.goto(&server.url("/?brand=Kiaa&year=2018&mileage=83000")).await.unwrap();
        wait_for(&browser, is_refused).await;
        assert_eq!(browser.execute(cyrillic, Vec::new()).await.unwrap(), json!(null));

        // Suggestions are in the language of the page too.
        browser.goto(&server.url("/?brand=Kia&model=Rio&year=2018")).await.unwrap();
        wait_for(&browser, "return document.getElementById('field-transmission').value").await;
        browser.execute("document.getElementById('field-transmission').focus()", Vec::new()).await.unwrap();
        let options = wait_for(&browser, "return document.getElementById('list-transmission').innerText").await;
        assert!(
            options.as_str().unwrap().contains("Automatic") || options.as_str().unwrap().contains("Manual"),
            "{options}"
        );
        browser.close().await.unwrap();
    });
}

#[test]
fn the_page_leads_to_the_field_to_state_next() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/?brand=kia&model=rio&year=2018&mileage=83000")).await.unwrap();
        wait_for(&browser, "return !!document.querySelector('#questions button')").await;
        browser.find(Locator::Css("#questions button")).await.unwrap().click().await.unwrap();
        let focused = browser.execute("return document.activeElement.name", Vec::new()).await.unwrap();
        assert!(focused.as_str().is_some_and(|name| !name.is_empty()), "{focused}");
        browser.close().await.unwrap();
    });
}

#[test]
fn the_page_asks_about_a_number_with_two_meanings() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/?brand=kia&model=rio&year=2018&mileage=150.000")).await.unwrap();
        wait_for(&browser, "return document.querySelectorAll('#error-mileage button').length === 2").await;
        assert_eq!(text_of(&browser, "price").await, "");
        browser.execute("document.querySelectorAll('#error-mileage button')[1].click()", Vec::new()).await.unwrap();
        wait_for(&browser, PRICE).await;
        assert!(text_of(&browser, "summary").await.contains("150\u{a0}000\u{a0}км"));
        browser.close().await.unwrap();
    });
}

#[test]
fn the_page_explains_a_lost_connection() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/?brand=kia&year=2018&mileage=83000")).await.unwrap();
        wait_for(&browser, PRICE).await;
        browser.execute("window.fetch = () => Promise.reject(new TypeError())", Vec::new()).await.unwrap();
        submit(&browser).await;
        let problem = wait_for(&browser, "return document.getElementById('problem').innerText").await;
        assert_eq!(problem, json!("Сервер не отвечает. Попробуйте ещё раз."));
        assert_eq!(text_of(&browser, "price").await, "");
        assert!(is_in_view(&browser, "problem").await);
        browser.close().await.unwrap();
    });
}

#[test]
fn the_page_values_for_the_chosen_task() {
    let driver = Driver::start();
    let home = Home::new();
    home.ok(&["synth", "--rows", "1500"]);
    tasks::train(&home, "price");
    home.ok(&["import", "--market", "gb", &home.write("cars.csv", tasks::british(900))]);
    tasks::train(&home, "gb-price");
    let server = Server::start(&home);
    block_on(async {
        let browser = driver.open_browser().await;
        driver.set_viewport(&browser, 390, 844).await;
        browser.goto(&server.url("/")).await.unwrap();
        wait_for(&browser, "return document.querySelectorAll('#task option').length === 2").await;
        let choose = "const task = document.getElementById('task'); task.value = 'gb-price';
            task.dispatchEvent(new Event('change'))";
        browser.execute(choose, Vec::new()).await.unwrap();
        let label = "return document.getElementById('label-mileage').innerText";
        assert!(wait_for(&browser, label).await.as_str().unwrap().contains("мили"));
        // The makes are those of the task.
        wait_for(
            &browser,
            "document.activeElement.blur(); document.getElementById('field-brand').focus();
            return document.getElementById('list-brand').innerText.includes('Ford')",
        )
        .await;
        // The choice is in the address.
        browser.refresh().await.unwrap();
        wait_for(&browser, "return document.getElementById('task').value === 'gb-price'").await;
        for (field, value) in [("brand", "Ford"), ("model", "Fiesta"), ("year", "2016"), ("mileage", "31k")] {
            fill(&browser, field, value).await;
        }
        submit(&browser).await;
        let price = wait_for(&browser, PRICE).await;
        assert!(price.as_str().unwrap().contains('£'), "{price}");
        assert!(text_of(&browser, "summary").await.contains("31\u{a0}000\u{a0}миль"));
        for part in ["factors", "cards"] {
            let text = text_of(&browser, part).await;
            assert!(text.contains('£') && text.contains("миль"), "{part}: {text}");
        }
        assert!(text_of(&browser, "factors").await.contains("Обычная такая машина"));
        let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.execute(overflow, Vec::new()).await.unwrap(), json!(0));
        assert_no_external_requests(&browser, &server.address).await;
        browser.close().await.unwrap();
    });
}

#[test]
fn the_price_follows_the_fields() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/")).await.unwrap();
        wait_for(&browser, "return !!document.querySelector('#car [name=mileage]')").await;
        for (field, value) in [("brand", "Kia"), ("year", "2018"), ("mileage", "83 тыс")] {
            fill(&browser, field, value).await;
        }
        // Without a button, and the focus stays.
        let price = wait_for(&browser, PRICE).await;
        let focused = "return document.activeElement.id";
        assert_eq!(browser.execute(focused, Vec::new()).await.unwrap(), json!("field-mileage"));
        // What explains it comes once the typing pauses; only then screen readers hear of it.
        wait_for(&browser, "return !!document.querySelector('#factors li')").await;
        let announced = wait_for(&browser, "return document.getElementById('announcement').innerText").await;
        assert!(announced.as_str().unwrap().contains(price.as_str().unwrap()), "{announced}");

        let is_other = format!("{PRICE} && document.getElementById('price').innerText !== {price}");
        fill(&browser, "mileage", "184000").await;
        wait_for(&browser, &is_other).await;

        // No price stands beside a missing or an invalid field, which is marked once it is left.
        let is_hidden =
            "return document.getElementById('valuation').hidden && !document.getElementById('price').innerText";
        fill(&browser, "mileage", "").await;
        wait_for(&browser, is_hidden).await;
        assert!(text_of(&browser, "empty").await.contains("Пробег"));
        fill(&browser, "mileage", "много").await;
        wait_for(&browser, "return document.getElementById('empty').innerText.includes('верно')").await;
        assert_eq!(text_of(&browser, "error-mileage").await, "");
        browser.execute("document.getElementById('field-year').focus()", Vec::new()).await.unwrap();
        wait_for(&browser, "return document.getElementById('error-mileage').innerText").await;
        assert_eq!(browser.execute(is_hidden, Vec::new()).await.unwrap(), json!(true));

        submit(&browser).await;
        wait_for(&browser, "return document.getElementById('problem').innerText").await;
        assert_eq!(browser.execute(focused, Vec::new()).await.unwrap(), json!("field-mileage"));
        browser.close().await.unwrap();
    });
}

#[test]
fn an_older_answer_never_replaces_a_newer_one() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/?brand=kia&year=2018&mileage=83000")).await.unwrap();
        let price = wait_for(&browser, PRICE).await;
        // The answers for 183,000 km arrive after those for 283,000 km, though the page has given them up.
        let delay = "const send = window.fetch;
            window.late = 0;
            window.fetch = async (path, { signal, ...options }) => {
              const response = await send(path, options);
              if (options.body && options.body.includes('183000')) {
                await new Promise(resume => { window.release = resume; });
                window.late += 1;
              }
              return response;
            }";
        browser.execute(delay, Vec::new()).await.unwrap();
        fill(&browser, "mileage", "183000").await;
        wait_for(&browser, "return !!window.release").await;
        fill(&browser, "mileage", "283000").await;
        let newest = format!(
            "return !document.querySelector('.outdated') && document.getElementById('price').innerText !== {price} && document.getElementById('price').innerText"
        );
        let newest = wait_for(&browser, &newest).await;
        browser.execute("window.release()", Vec::new()).await.unwrap();
        wait_for(&browser, "return window.late > 0 && !document.querySelector('.outdated-details')").await;
        assert_eq!(browser.execute(PRICE, Vec::new()).await.unwrap(), newest);
        browser.close().await.unwrap();
    });
}

#[test]
fn the_page_names_the_nearest_make_and_can_value_without_it() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/")).await.unwrap();
        wait_for(&browser, "return !!document.querySelector('#car [name=mileage]')").await;
        let error = "return document.getElementById('error-brand').innerText";
        for (words, anyway) in [
            ("Марки «Kiaa» нет среди известных. Может быть, это", "Оценить без марки"),
            ("The make \"Kiaa\" is not known. Did you mean", "Value it without the make"),
        ] {
            for (field, value) in [("brand", "Kiaa"), ("year", "2018"), ("mileage", "83000")] {
                fill(&browser, field, value).await;
            }
            submit(&browser).await;
            let shown = wait_for(&browser, error).await;
            assert!(shown.as_str().unwrap().contains(words), "{shown}");
            let focused = "return document.activeElement.id";
            assert_eq!(browser.execute(focused, Vec::new()).await.unwrap(), json!("field-brand"));
            // The error is in the language of the page, also after a switch.
            for is_translated in [true, false] {
                browser.find(Locator::Id("language")).await.unwrap().click().await.unwrap();
                assert_eq!(!text_of(&browser, "error-brand").await.contains(words), is_translated, "{words}");
            }
            let button = browser.find(Locator::Css("#error-brand button:last-of-type")).await.unwrap();
            assert_eq!(button.text().await.unwrap(), anyway);
            button.click().await.unwrap();
            wait_for(&browser, PRICE).await;
            assert_eq!(browser.execute(error, Vec::new()).await.unwrap(), json!(""), "the error is gone");
            let warnings = wait_for(&browser, "return document.getElementById('warnings').innerText").await;
            assert!(warnings.as_str().unwrap().contains("Kia"), "{warnings}");
            browser.find(Locator::Id("language")).await.unwrap().click().await.unwrap();
        }
        browser.close().await.unwrap();
    });
}

#[test]
fn the_data_report_works_offline_in_both_languages() {
    let driver = Driver::start();
    let home = Home::new();
    let file = home.write("market.csv", crate::explore::market());
    home.ok(&["import", &file]);
    home.ok(&["explore", "--out", "report.html"]);
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&format!("file://{}", home.path("report.html").display())).await.unwrap();
        for (language, words) in [("ru", "Постоянный столбец: customs"), ("en", "Constant column: customs")]
        {
            let button = browser.find(Locator::Css(&format!("[data-language={language}]"))).await.unwrap();
            button.click().await.unwrap();
            let seen = wait_for(&browser, "return document.getElementById('findings').innerText").await;
            assert!(seen.as_str().unwrap().contains(words), "{seen}");
        }
        let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.execute(overflow, Vec::new()).await.unwrap(), json!(0));
        let loaded = "return performance.getEntriesByType('resource').length";
        assert_eq!(browser.execute(loaded, Vec::new()).await.unwrap(), json!(0));
        browser.close().await.unwrap();
    });
}

#[test]
fn the_pages_of_runs_show_what_the_server_renders() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/experiments")).await.unwrap();
        wait_for(&browser, "return document.querySelectorAll('tbody tr').length > 0").await;
        driver.set_viewport(&browser, 390, 844).await;
        let overflow = "return document.documentElement.scrollWidth <= document.documentElement.clientWidth";
        assert_eq!(browser.execute(overflow, Vec::new()).await.unwrap(), json!(true));
        browser.execute("document.querySelector('tbody a').click()", Vec::new()).await.unwrap();
        wait_for(&browser, "return document.querySelectorAll('path[data-points]').length > 3").await;
        assert_eq!(browser.execute(overflow, Vec::new()).await.unwrap(), json!(true));
        let hover = "const plot = document.querySelector('.plot'); const box = plot.getBoundingClientRect();
            plot.dispatchEvent(new PointerEvent('pointermove', { clientX: box.left + box.width / 2 }));
            return plot.parentElement.querySelector('.value').textContent";
        assert!(browser.execute(hover, Vec::new()).await.unwrap().as_str().unwrap().contains('→'));
        browser.execute("document.getElementById('language').click()", Vec::new()).await.unwrap();
        wait_for(&browser, "return document.querySelector('#content h1').textContent.startsWith('Run ')").await;
        browser.goto(&server.url("/experiments/999999")).await.unwrap();
        wait_for(
            &browser,
            "return document.getElementById('problem').innerText && !document.querySelector('#content h1')",
        )
        .await;
        assert_no_external_requests(&browser, &server.address).await;
        browser.close().await.unwrap();
    });
}

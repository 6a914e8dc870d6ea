//! The pages in a real browser.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::{Client, ClientBuilder, Locator};
use serde_json::json;
use tempfile::TempDir;

use crate::market::{Home, Server, block_on, server};
use crate::tasks;

/// A chromedriver process.
struct Driver {
    process: Child,
    port: u16,
    profile: TempDir,
}

impl Driver {
    fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let process = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver must be installed; `make test` installs it");
        Self { process, port, profile: TempDir::new().unwrap() }
    }

    async fn open_browser(&self) -> Client {
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
            "goog:loggingPrefs": { "performance": "ALL" },
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
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Waits until a script returns a value other than null, false and the empty string.
async fn wait_for(browser: &Client, script: &str) -> serde_json::Value {
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
async fn assert_no_external_requests(browser: &Client, address: &str) {
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

#[test]
fn the_page_shows_the_price_in_view() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        // A desktop, and a phone, where the result is below the form.
        for (width, height) in [(1280, 800), (390, 844)] {
            browser.set_window_size(width, height).await.unwrap();
            browser.goto(&server.url("/")).await.unwrap();
            wait_for(&browser, "return !!document.querySelector('#car [name=mileage]')").await;
            for (field, value) in [("brand", "Kia"), ("model", "Rio"), ("year", "2018"), ("mileage", "83000")] {
                fill(&browser, field, value).await;
            }
            submit(&browser).await;
            let price = wait_for(&browser, PRICE).await;
            assert!(price.as_str().unwrap().contains('₽'), "{price}");
            let is_in_view = "const { top, bottom } = document.getElementById('price').getBoundingClientRect();
                return top >= 0 && bottom <= window.innerHeight && bottom > top";
            assert_eq!(browser.execute(is_in_view, Vec::new()).await.unwrap(), json!(true), "at {width} pixels");
            let focused = "return document.activeElement.id";
            assert_eq!(browser.execute(focused, Vec::new()).await.unwrap(), json!("result-title"));
        }
        assert_no_external_requests(&browser, &server.address).await;
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
        browser.set_window_size(390, 844).await.unwrap();
        browser.goto(&server.url("/")).await.unwrap();
        wait_for(&browser, "return document.querySelectorAll('#task option').length === 2").await;
        let choose = "const task = document.getElementById('task'); task.value = 'gb-price';
            task.dispatchEvent(new Event('change'))";
        browser.execute(choose, Vec::new()).await.unwrap();
        let label = "return document.getElementById('label-mileage').innerText";
        assert!(wait_for(&browser, label).await.as_str().unwrap().contains("мили"));
        // The choice is in the address.
        browser.refresh().await.unwrap();
        wait_for(&browser, "return document.getElementById('task').value === 'gb-price'").await;
        for (field, value) in [("brand", "Ford"), ("model", "Fiesta"), ("year", "2016"), ("mileage", "31000")] {
            fill(&browser, field, value).await;
        }
        submit(&browser).await;
        let price = wait_for(&browser, PRICE).await;
        assert!(price.as_str().unwrap().contains('£'), "{price}");
        let factors = wait_for(&browser, "return document.getElementById('factors').innerText").await;
        let factors = factors.as_str().unwrap();
        assert!(factors.contains("Обычная такая машина") && factors.contains('£'), "{factors}");
        let similar = wait_for(&browser, "return document.getElementById('similar').innerText").await;
        assert!(similar.as_str().unwrap().contains("мили"), "{similar}");
        let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(browser.execute(overflow, Vec::new()).await.unwrap(), json!(0));
        assert_no_external_requests(&browser, &server.address).await;
        browser.close().await.unwrap();
    });
}

#[test]
fn the_page_hides_the_price_of_other_inputs() {
    let driver = Driver::start();
    let server = server();
    block_on(async {
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/")).await.unwrap();
        wait_for(&browser, "return !!document.querySelector('#car [name=mileage]')").await;
        for (field, value) in [("brand", "Kia"), ("year", "2018"), ("mileage", "83000")] {
            fill(&browser, field, value).await;
        }
        let shown = || browser.execute(PRICE, Vec::new());
        let is_hidden = || browser.execute("return document.getElementById('valuation').hidden", Vec::new());

        submit(&browser).await;
        wait_for(&browser, PRICE).await;
        fill(&browser, "mileage", "84000").await;
        assert_eq!((shown().await.unwrap(), is_hidden().await.unwrap()), (json!(""), json!(true)), "after an edit");

        submit(&browser).await;
        wait_for(&browser, PRICE).await;
        browser.execute("document.getElementById('field-year').value = '1500'", Vec::new()).await.unwrap();
        submit(&browser).await;
        wait_for(&browser, "return document.getElementById('problem').innerText").await;
        assert_eq!((shown().await.unwrap(), is_hidden().await.unwrap()), (json!(""), json!(true)), "after an error");
        assert_eq!(browser.execute("return document.activeElement.id", Vec::new()).await.unwrap(), json!("field-year"));

        // The response arrives after an edit that is made right after submitting.
        fill(&browser, "year", "2018").await;
        let edit_before_response = "const originalFetch = window.fetch;
            window.fetch = async (...request) => { const response = await originalFetch(...request); window.arrived = true; return response; };
            document.querySelector('#car [type=submit]').click();
            document.getElementById('field-mileage').dispatchEvent(new Event('input', { bubbles: true }))";
        browser.execute(edit_before_response, Vec::new()).await.unwrap();
        wait_for(&browser, "return window.arrived && !document.querySelector('#car [type=submit]').disabled").await;
        assert_eq!(shown().await.unwrap(), json!(""), "after a late response");
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
            ("Марки «Kiaa» нет среди известных. Может быть, kia?", "Оценить без марки"),
            ("The make \"Kiaa\" is not known. Did you mean kia?", "Value it without the make"),
        ] {
            for (field, value) in [("brand", "Kiaa"), ("year", "2018"), ("mileage", "83000")] {
                fill(&browser, field, value).await;
            }
            submit(&browser).await;
            let shown = wait_for(&browser, error).await;
            assert!(shown.as_str().unwrap().contains(words), "{shown}");
            let focused = "return document.activeElement.id";
            assert_eq!(browser.execute(focused, Vec::new()).await.unwrap(), json!("field-brand"));
            let button = browser.find(Locator::Css("#error-brand button")).await.unwrap();
            assert_eq!(button.text().await.unwrap(), anyway);
            button.click().await.unwrap();
            wait_for(&browser, PRICE).await;
            assert_eq!(browser.execute(error, Vec::new()).await.unwrap(), json!(""), "the error is gone");
            let warnings = wait_for(&browser, "return document.getElementById('warnings').innerText").await;
            assert!(warnings.as_str().unwrap().contains("kia"), "{warnings}");
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

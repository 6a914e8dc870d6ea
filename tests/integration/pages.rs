//! Every page in a real browser, in both languages and themes and at three widths: accessible by axe-core, without errors in the
//! console, without requests to elsewhere. Screenshots are kept in `target/screenshots`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use fantoccini::{Client, Locator};
use serde_json::json;

use crate::browser::{Driver, assert_no_external_requests, wait_for};
use crate::market::{Home, Server, block_on, server, trained};
use crate::sweep::SWEEP;

const SIZES: [(u32, u32); 3] = [(320, 640), (390, 844), (1280, 800)];

/// A browser with what the checks of a page need.
struct Viewer {
    driver: Driver,
    browser: Client,
}

impl Viewer {
    async fn open() -> Self {
        let driver = Driver::start();
        let browser = driver.open_browser().await;
        Self { driver, browser }
    }

    /// Opens an address and waits for what a script looks for.
    async fn go(&self, url: &str, is_ready: &str) {
        self.browser.goto(url).await.unwrap();
        wait_for(&self.browser, is_ready).await;
    }

    async fn set_theme(&self, theme: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
        self.driver.command(&self.browser, "Emulation.setEmulatedMedia", media).await;
    }

    /// Checks a page that is open and whose language a button switches, in all forms that it takes.
    async fn check(&self, name: &str, language_button: impl Fn(&str) -> String) {
        self.browser.execute(&axe(), Vec::new()).await.unwrap();
        for language in ["ru", "en"] {
            let button = language_button(language);
            let is_language = format!("return document.documentElement.lang === '{language}'");
            if self.browser.execute(&is_language, Vec::new()).await.unwrap() != json!(true) {
                self.browser.find(Locator::Css(&button)).await.unwrap().click().await.unwrap();
            }
            wait_for(&self.browser, &is_language).await;
            // Content that the server renders is fetched again.
            wait_for(&self.browser, "return !document.querySelector('[aria-busy]')").await;
            self.check_language(&format!("{name}-{language}")).await;
        }
    }

    /// Checks a page in the language that it has, with axe-core loaded.
    async fn check_language(&self, name: &str) {
        for theme in ["light", "dark"] {
            self.set_theme(theme).await;
            for (width, height) in SIZES {
                self.driver.set_viewport(&self.browser, width, height).await;
                self.keep_screenshot(&format!("{name}-{theme}-{width}"), width).await;
                self.driver.set_viewport(&self.browser, width, height).await;
                let place = format!("{name}, {theme}, {width} pixels");
                let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
                assert_eq!(self.browser.execute(overflow, Vec::new()).await.unwrap(), json!(0), "{place}");
                let found = self.browser.execute_async(RUN_AXE, Vec::new()).await.unwrap();
                assert_eq!(found, json!([]), "{place}: {found:#}");
            }
        }
    }

    /// Saves the whole page as a picture, at a width.
    async fn keep_screenshot(&self, name: &str, width: u32) {
        const MAX_HEIGHT: u64 = 12_000;
        let height = self.browser.execute("return document.documentElement.scrollHeight", Vec::new()).await.unwrap();
        let height = u32::try_from(height.as_u64().unwrap().min(MAX_HEIGHT)).unwrap();
        self.driver.set_viewport(&self.browser, width, height).await;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), self.browser.screenshot().await.unwrap()).unwrap();
    }

    /// Asserts that the console has no errors and the page loaded nothing from elsewhere.
    async fn close(self, server: &Server) {
        assert_eq!(self.driver.console_errors(&self.browser).await, Vec::<String>::new());
        assert_no_external_requests(&self.browser, &server.address).await;
        self.browser.close().await.unwrap();
    }
}

/// The source of axe-core.
fn axe() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; `make node` installs it", path.display()))
}

/// What axe-core finds, as far as it is certain.
const RUN_AXE: &str = "const done = arguments[arguments.length - 1];
    axe.run().then(({ violations }) => done(violations.map(({ id, impact, help, nodes }) =>
        ({ id, impact, help, nodes: nodes.slice(0, 4).map(({ html, failureSummary }) => `${html.slice(0, 200)}: ${failureSummary}`) }))))";

/// The button of our own pages, which have one for the other language.
fn own_button(_language: &str) -> String {
    "#language".to_owned()
}

#[test]
fn the_valuation_page_is_accessible() {
    let server: Arc<Server> = server();
    block_on(async {
        let viewer = Viewer::open().await;
        let car = "/?brand=Kia&model=Rio&year=2018&mileage=83000&listing_date=2026-03-17&asking_price=900000";
        viewer.go(&server.url(car), "return !document.getElementById('valuation').hidden && document.getElementById('cards').children.length").await;
        viewer.check("valuation", own_button).await;
        viewer.close(&server).await;
    });
}

#[test]
fn the_pages_of_the_market_are_accessible_and_lead_from_make_to_model() {
    let server = server();
    block_on(async {
        let viewer = Viewer::open().await;
        let is_shown = "return !document.getElementById('content').hidden && document.querySelectorAll('.sections > section').length";
        viewer.go(&server.url("/market"), is_shown).await;
        viewer.check("market", own_button).await;
        viewer.browser.find(Locator::LinkText("Kia")).await.unwrap().click().await.unwrap();
        wait_for(&viewer.browser, "return location.pathname === '/market/kia'").await;
        wait_for(&viewer.browser, is_shown).await;
        viewer.check("make", own_button).await;
        viewer.browser.find(Locator::LinkText("Rio")).await.unwrap().click().await.unwrap();
        wait_for(&viewer.browser, "return location.pathname === '/market/kia/rio'").await;
        wait_for(&viewer.browser, is_shown).await;
        viewer.check("model", own_button).await;
        viewer.close(&server).await;
    });
}

#[test]
fn the_documentation_of_the_api_is_accessible() {
    let server = server();
    block_on(async {
        let viewer = Viewer::open().await;
        let is_listed = "return document.querySelectorAll('.opblock').length > 30";
        viewer.go(&server.url("/docs/"), is_listed).await;
        viewer.browser.execute(&axe(), Vec::new()).await.unwrap();
        viewer.check_language("docs-en").await;
        // One operation of each kind.
        for method in ["post", "get", "put", "delete"] {
            let open = format!("document.querySelector('.opblock-{method} .opblock-summary-control').click()");
            viewer.browser.execute(&open, Vec::new()).await.unwrap();
            wait_for(
                &viewer.browser,
                &format!("return !!document.querySelector('.opblock-{method} .responses-table')"),
            )
            .await;
        }
        viewer.check_language("docs-open-en").await;
        viewer.close(&server).await;
    });
}

#[test]
fn the_data_page_is_accessible() {
    let server = server();
    block_on(async {
        let viewer = Viewer::open().await;
        let is_shown = "return !document.getElementById('content').hidden && document.querySelectorAll('.sections > section').length > 10";
        viewer.go(&server.url("/data"), is_shown).await;
        viewer.check("data", own_button).await;
        viewer.close(&server).await;
    });
}

#[test]
fn the_pages_of_runs_and_of_many_cars_are_accessible() {
    let server = server();
    block_on(async {
        let viewer = Viewer::open().await;
        let has_content = "return document.querySelectorAll('#content table').length > 0";
        for (name, path) in [("runs", "/experiments"), ("run", "/experiments/1")] {
            viewer.go(&server.url(path), has_content).await;
            viewer.check(name, own_button).await;
        }
        viewer.go(&server.url("/bulk"), "return !!document.getElementById('file')").await;
        viewer.check("bulk", own_button).await;
        viewer.close(&server).await;
    });
}

#[test]
fn the_pages_of_models_are_accessible() {
    let server = server();
    block_on(async {
        let viewer = Viewer::open().await;
        let has_content = "return document.querySelectorAll('#content table').length > 1";
        for (name, path) in [("models", "/models"), ("model", "/models/1")] {
            viewer.go(&server.url(path), has_content).await;
            viewer.check(name, own_button).await;
        }
        viewer.close(&server).await;
    });
}

#[test]
fn the_pages_of_sweeps_and_of_compared_runs_are_accessible() {
    let home = Home::new();
    home.ok(&["synth", "--rows", "600"]);
    home.write("space.toml", "[learning_rate]\nlow = 1e-3\nhigh = 1e-2\nlog = true\n[n_blocks]\nvalues = [1, 2]\n");
    home.ok(&[SWEEP.as_slice(), &["--trials=9"]].concat());
    // It never becomes ready, since there is no model.
    let process = home.command(&["serve", "--bind", "127.0.0.1:0"]).stdout(std::process::Stdio::piped()).spawn();
    let server = Server::from_process(process.unwrap());
    block_on(async {
        let viewer = Viewer::open().await;
        let has_content = "return document.querySelectorAll('#content table').length > 0";
        for (name, path, is_ready) in [
            ("sweeps", "/experiments/sweeps", has_content),
            // The best so far, a slice for each setting, and the importance, since there are enough trials.
            (
                "sweep",
                "/experiments/sweeps/space",
                "return document.querySelectorAll('.plot').length === 3 && document.querySelector('meter')",
            ),
            (
                "comparison",
                "/experiments/compare?run=1&run=2&run=3",
                "return document.querySelectorAll('.parallel [data-line]').length === 3",
            ),
            (
                "columns",
                "/experiments?column=mape&column=config.learning_rate",
                "return [...document.querySelectorAll('thead th')].map((cell) => cell.innerText).includes('learning_rate')",
            ),
        ] {
            viewer.go(&server.url(path), is_ready).await;
            viewer.check(name, own_button).await;
        }
        viewer.close(&server).await;
    });
}

#[test]
fn the_report_is_accessible() {
    let home = trained();
    let report: PathBuf = home.path("accessible.html");
    home.ok(&["explore", "--out", report.to_str().unwrap()]);
    block_on(async {
        let viewer = Viewer::open().await;
        viewer
            .go(&format!("file://{}", report.display()), "return document.querySelectorAll('section').length > 10")
            .await;
        viewer.check("report", |language| format!("[data-language={language}]")).await;
        assert_eq!(viewer.driver.console_errors(&viewer.browser).await, Vec::<String>::new());
        viewer.browser.close().await.unwrap();
    });
}

#[test]
fn pages_without_listings_say_so() {
    let home = Home::new();
    let process = home.command(&["serve", "--bind", "127.0.0.1:0"]).stdout(std::process::Stdio::piped()).spawn();
    let server = Server::from_process(process.unwrap());
    block_on(async {
        let viewer = Viewer::open().await;
        for path in ["/market", "/data"] {
            viewer
                .go(&server.url(path), "return document.getElementById('problem').innerText.includes('probeg import')")
                .await;
        }
        viewer.browser.close().await.unwrap();
    });
}

#[test]
fn pages_of_the_market_say_when_the_server_is_away_and_recover() {
    let home = trained();
    let server = Server::start(home);
    let address = server.address.clone();
    block_on(async {
        let viewer = Viewer::open().await;
        let is_shown = "return !document.getElementById('content').hidden";
        viewer.go(&server.url("/market/kia/rio"), is_shown).await;
        server.request_stop();
        assert_eq!(server.wait(), Some(0));
        viewer.browser.find(Locator::Id("again")).await.unwrap();
        viewer.browser.execute("document.getElementById('again').click()", Vec::new()).await.unwrap();
        wait_for(
            &viewer.browser,
            "return /не отвечает|does not respond/.test(document.getElementById('problem').innerText)",
        )
        .await;
        let process = home.command(&["serve", "--bind", &address]).stdout(std::process::Stdio::piped()).spawn();
        let _server = Server::from_process(process.unwrap());
        viewer.browser.find(Locator::Id("again")).await.unwrap().click().await.unwrap();
        wait_for(&viewer.browser, is_shown).await;
        wait_for(&viewer.browser, "return document.getElementById('trouble').hidden").await;
        viewer.browser.close().await.unwrap();
    });
}

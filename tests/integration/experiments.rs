//! The pages and the API of runs, for a run that was really trained.

use std::process::{Command, Stdio};

use fantoccini::{Client, Locator};
use serde_json::Value;

use crate::browser::{Driver, wait_for};
use crate::market::{Home, Server, block_on, server, wait_until};
use crate::parts::Machines;
use crate::sweep::SWEEP;

#[test]
fn runs_are_listed_shown_and_compared_over_http() {
    let server = server();
    block_on(async {
        let get = async |path: &str| reqwest::get(server.url(path)).await.unwrap();
        let listed = get("/v1/runs?sort=mape&status=completed&limit=1").await;
        assert!(listed.headers()["x-total-count"].to_str().unwrap().parse::<u32>().unwrap() >= 1);
        let runs: Value = listed.json().await.unwrap();
        assert_eq!(runs.as_array().unwrap().len(), 1);
        let run = runs[0]["id"].as_i64().unwrap();
        let none: Value = get("/v1/runs?tag=absent").await.json().await.unwrap();
        assert_eq!(none, Value::Array(Vec::new()));
        for wrong in ["sort=beauty", "limit=0", "status=fine", "color=red", "tag=%00", "tag=a&tag=b"] {
            assert_eq!(get(&format!("/v1/runs?{wrong}")).await.status(), 422, "{wrong}");
        }

        let figures: Value = get(&format!("/v1/runs/{run}/figures?points=5")).await.json().await.unwrap();
        let figures = figures.as_array().unwrap();
        let names: Vec<_> = figures.iter().map(|figure| figure["name"].as_str().unwrap()).collect();
        for name in ["train_loss", "validation_loss", "learning_rate", "memory"] {
            assert!(names.contains(&name), "{names:?}");
        }
        assert!(
            figures.iter().all(|figure| (1..=5).contains(&figure["points"].as_array().unwrap().len())),
            "{figures:?}"
        );
        assert_eq!(get("/v1/runs/999999/figures").await.status(), 404);
        assert_eq!(get(&format!("/v1/runs/{run}/figures?points=0")).await.status(), 422);

        let page = get(&format!("/experiments/{run}")).await;
        assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
        let fragment = async |path: String| {
            let response = get(&path).await;
            assert_eq!(response.status(), 200, "{path}");
            response.text().await.unwrap()
        };
        let table = fragment("/fragments/experiments?language=en".to_owned()).await;
        assert!(
            table.contains(&format!("<a href=\"/experiments/{run}\">")) && table.contains("Training runs"),
            "{table}"
        );
        let shown = fragment(format!("/fragments/experiments/{run}?language=en")).await;
        assert!(shown.contains("data-name=") && shown.contains("<meter") && shown.contains("Log"), "{shown}");
        let compared = fragment(format!("/fragments/experiments/compare?run={run}&language=ru")).await;
        assert!(compared.contains("Сравнение") && compared.contains("data-points="), "{compared}");
        assert_eq!(get("/fragments/experiments/999999").await.status(), 404);

        // The plots of the test split, from what the run has recorded.
        assert!(
            ["class=\"heat ", "Calibration", "Residuals by age"].iter().all(|part| shown.contains(part)),
            "{shown}"
        );
        let residuals: Value = get(&format!("/v1/runs/{run}/residuals")).await.json().await.unwrap();
        let levels = residuals["calibration"].as_array().unwrap();
        assert!(levels.iter().all(|level| (0.0..=1.0).contains(&level["observed"].as_f64().unwrap())), "{levels:?}");
        let rows = residuals["rows"].as_u64().unwrap();
        let counts = residuals["counts"].as_array().unwrap().iter().flat_map(|row| row.as_array().unwrap());
        assert_eq!(counts.map(|count| count.as_u64().unwrap()).sum::<u64>(), rows);
        let log: Value = get(&format!("/v1/runs/{run}/log")).await.json().await.unwrap();
        assert_eq!(log.as_array().unwrap().last().unwrap()["message"], "completed");

        let chosen = fragment("/fragments/experiments?column=config.ema&language=en".to_owned()).await;
        assert!(chosen.contains(">ema</th>") && !chosen.contains("Val. loss</a>"), "{chosen}");
    });
}

#[test]
fn what_served_at_a_moment_is_one_command_and_one_page() {
    let server = server();
    block_on(async {
        let get = async |path: &str| reqwest::get(server.url(path)).await.unwrap();
        let now: Value = get("/v1/models/served?task=price").await.json().await.unwrap();
        assert_eq!((&now["model"]["version"], &now["until"]), (&Value::from(1), &Value::Null));
        assert_eq!(now["run"]["config"]["k"], 2, "by which settings");
        assert!(now["run"]["data"]["rows"].as_u64().unwrap() > 3_000, "trained on what");
        assert_eq!(get("/v1/models/served?at=2000-01-01T00:00").await.status(), 404);
        for wrong in ["at=Tuesday", "at=", "task=absent", "when=now"] {
            assert_eq!(get(&format!("/v1/models/served?{wrong}")).await.status(), 422, "{wrong}");
        }
        let page = get("/fragments/models?language=en").await.text().await.unwrap();
        let fingerprint = now["run"]["data"]["fingerprint"].as_str().unwrap();
        assert!(page.contains(fingerprint) && page.contains("learning_rate"), "{page}");
        let before = get("/fragments/models?language=en&at=2000-01-01T00:00").await.text().await.unwrap();
        assert!(before.contains("no version served"), "{before}");
        assert_eq!(get("/fragments/models?at=Tuesday").await.status(), 422);
        assert_eq!(get("/fragments/models/999999").await.status(), 404);
        assert_eq!(get("/v1/sweeps").await.json::<Value>().await.unwrap(), Value::Array(Vec::new()));
        assert_eq!(get("/v1/sweeps/absent").await.status(), 404);
    });
}

/// Types into a field and sends its form.
async fn send(browser: &Client, field: &str, text: &str) {
    browser.find(Locator::Id(field)).await.unwrap().send_keys(&format!("{text}\n")).await.unwrap();
}

#[test]
fn a_version_is_promoted_and_rolled_back_on_its_page() {
    const TOKEN: &str = "a-token-of-sixteen-characters";
    const KEY: &str = "a-key-of-sixteen-characters-or-more";
    let home = Home::new();
    home.ok(&["synth", "--rows", "600"]);
    for promote in [true, false] {
        let linear = ["train", "--set=family=\"linear\"", "--set=backtest=false"];
        home.ok(&[linear.as_slice(), if promote { &["--promote"] } else { &[] }].concat());
    }
    let mut command = home.command(&["serve", "--bind", "127.0.0.1:0"]);
    command.env("PROBEG_ADMIN_TOKEN", TOKEN).env("PROBEG_API_KEYS", KEY);
    let server = Server::from_process(command.stdout(Stdio::piped()).spawn().unwrap());
    server.wait_until_ready();
    block_on(async {
        let driver = Driver::start();
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/models/2")).await.unwrap();
        wait_for(&browser, "return !document.getElementById('key').hidden").await;
        send(&browser, "api-key", KEY).await;
        wait_for(&browser, "return document.getElementById('token')").await;
        let says = |text: &str| format!("return document.getElementById('content').innerText.includes('{text}')");
        let outcome = |text: &str| format!("return document.getElementById('outcome').innerText.includes('{text}')");
        send(&browser, "token", "a-wrong-token").await;
        wait_for(&browser, &outcome("Ничего не изменилось")).await;
        wait_for(&browser, &says("Сейчас не работает: работает версия 1")).await;
        wait_for(&browser, "return document.getElementById('key').hidden").await;
        browser.find(Locator::Id("token")).await.unwrap().clear().await.unwrap();
        send(&browser, "token", TOKEN).await;
        wait_for(&browser, &outcome("теперь работает версия 2")).await;
        wait_for(&browser, &says("Работает сейчас")).await;
        send(&browser, "token", TOKEN).await;
        wait_for(&browser, &outcome("теперь работает версия 1")).await;
        wait_for(&browser, &says("Сейчас не работает: работает версия 1")).await;
        browser.close().await.unwrap();
    });
}

#[test]
fn a_run_that_is_deleted_while_its_page_is_open_is_not_shown_any_more() {
    let machines = Machines::new();
    machines.home.write("space.toml", "[n_blocks]\nvalues = [1, 2]\n");
    machines.ok("here", &[SWEEP.as_slice(), &["--trials=2"]].concat());
    let execute = |statement: &str| {
        let output = Command::new("psql").arg(machines.database_url()).args(["-c", statement]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    // As while it trains.
    execute(
        "UPDATE runs SET status = 'running', finished_at = NULL, heartbeat_at = now() + interval '1 hour' WHERE id = 1",
    );
    let mut command = machines.command("here", &["serve", "--bind", "127.0.0.1:0"]);
    let server = Server::from_process(command.stdout(Stdio::piped()).spawn().unwrap());
    block_on(async {
        let driver = Driver::start();
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/experiments/1")).await.unwrap();
        wait_for(&browser, "return document.querySelector('#content [data-refresh]')").await;
        execute(&["DELETE", "FROM runs WHERE id = 1"].join(" "));
        wait_for(
            &browser,
            "return !document.querySelector('#content h1') && document.getElementById('problem').innerText",
        )
        .await;
        browser.goto(&server.url("/experiments/compare?run=1&run=2")).await.unwrap();
        wait_for(&browser, "return document.querySelector('#content .warning')?.innerText.endsWith(': 1')").await;
        wait_for(&browser, "return document.querySelectorAll('#content path[data-points]').length > 0").await;
        // The sweep still has the trial, without its run.
        browser.goto(&server.url("/experiments/sweeps/space")).await.unwrap();
        wait_for(&browser, "return document.querySelectorAll('#content tbody tr').length > 1").await;
        browser.close().await.unwrap();
    });
}

#[test]
fn columns_are_chosen_in_the_form_and_kept_in_the_address() {
    let server = server();
    block_on(async {
        let driver = Driver::start();
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/experiments")).await.unwrap();
        wait_for(&browser, "return document.getElementById('columns')").await;
        browser.find(Locator::Css("#columns summary")).await.unwrap().click().await.unwrap();
        browser.find(Locator::Css("[value='config.ema']")).await.unwrap().click().await.unwrap();
        browser.find(Locator::Css("#columns button")).await.unwrap().click().await.unwrap();
        let has_column = "return [...document.querySelectorAll('thead th')].some((cell) => cell.innerText === 'ema')";
        wait_for(&browser, has_column).await;
        browser.refresh().await.unwrap();
        wait_for(&browser, has_column).await;
        assert!(browser.current_url().await.unwrap().query().unwrap().contains("column=config.ema"));
        // The default columns need no parameter.
        browser.find(Locator::Css("#columns summary")).await.unwrap().click().await.unwrap();
        browser.find(Locator::Css("[value='config.ema']")).await.unwrap().click().await.unwrap();
        browser.find(Locator::Css("#columns button")).await.unwrap().click().await.unwrap();
        wait_for(&browser, "return location.search === ''").await;
        // Each cell of the plot of prices says what it is.
        browser.goto(&server.url("/experiments/1")).await.unwrap();
        wait_for(&browser, "return document.querySelector('.heat')").await;
        let hover = "const cell = document.querySelector('.heat-6'); const box = cell.getBoundingClientRect();
            const at = { clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true };
            cell.dispatchEvent(new PointerEvent('pointermove', at));
            return [cell.dataset.text, cell.closest('figure').querySelector('.value').textContent]";
        let [expected, shown]: [String; 2] =
            serde_json::from_value(browser.execute(hover, Vec::new()).await.unwrap()).unwrap();
        assert!(!expected.is_empty() && expected == shown, "{expected}: {shown}");
        browser.close().await.unwrap();
    });
}

#[test]
fn the_page_of_a_sweep_shows_trials_as_they_come() {
    let home = Home::new();
    home.ok(&["synth", "--rows", "600"]);
    home.write("space.toml", "[n_blocks]\nvalues = [1, 2]\n[learning_rate]\nlow = 1e-3\nhigh = 1e-2\n");
    home.ok(&[SWEEP.as_slice(), &["--trials=1"]].concat());
    let mut command = home.command(&["serve", "--bind", "127.0.0.1:0"]);
    let server = Server::from_process(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut process = home.command(&[SWEEP.as_slice(), &["--trials=4"]].concat());
    let mut process = process.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("there are more trials to come", || home.ok(&["sweep", "list"]).contains(" of 4"));
    block_on(async {
        let driver = Driver::start();
        let browser = driver.open_browser().await;
        browser.goto(&server.url("/experiments/sweeps/space")).await.unwrap();
        wait_for(&browser, "return document.querySelector('#content h1')").await;
        browser.execute("window.isSamePage = true", Vec::new()).await.unwrap();
        assert!(process.wait().unwrap().success());
        wait_for(&browser, "return document.querySelectorAll('#content .runs tbody tr').length === 4").await;
        wait_for(&browser, "return !document.querySelector('[data-refresh]') && window.isSamePage").await;
        browser.close().await.unwrap();
    });
}

//! Runs, models and champions on a real MLflow server, and training beside servers that fail.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::market::{Home, SMALL, Server, block_on, fixture, rio, wait_for_epochs, wait_until};

/// An MLflow server, stopped on drop.
struct Mlflow {
    folder: TempDir,
    port: u16,
    process: Option<Child>,
}

impl Mlflow {
    fn start() -> Self {
        // A restarted server must have the same port, so it is chosen here.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder: TempDir::new().unwrap(), port, process: None };
        server.restart();
        server
    }

    /// Starts it on the same store.
    fn restart(&mut self) {
        let mut command = Command::new(python());
        command.args(["-m", "mlflow", "server", "--host", "127.0.0.1", "--workers", "1", "--port"]);
        command.arg(self.port.to_string());
        command.args(["--backend-store-uri", "sqlite:///store.db", "--artifacts-destination", "artifacts"]);
        command.current_dir(self.folder.path()).env("MLFLOW_DISABLE_TELEMETRY", "true");
        command.env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false");
        // It consists of several processes, which are stopped together.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.process = Some(command.spawn().unwrap());
        let url = format!("{}/health", self.uri());
        wait_until("MLflow responds", || {
            assert!(self.process.as_mut().unwrap().try_wait().unwrap().is_none(), "MLflow ended");
            block_on(async { reqwest::get(&url).await }).is_ok()
        });
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", process.id())]).status();
            let _ = process.wait();
        }
    }

    fn uri(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What MLflow's own client prints.
    fn client(&self, arguments: &[&str]) -> Value {
        let mut command = Command::new(python());
        command
            .arg(fixture("mlflow_client.py"))
            .arg(self.uri())
            .args(arguments)
            .env("MLFLOW_DISABLE_TELEMETRY", "true");
        let output = command.env("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn price(&self, model: &str) -> f64 {
        self.client(&["price", model, &rio().to_string()]).as_f64().unwrap()
    }

    /// The version that the champion of the task `price` has on MLflow, and its version here.
    fn champion(&self) -> Option<String> {
        let url = format!("{}/api/2.0/mlflow/registered-models/alias?name=probeg-price&alias=champion", self.uri());
        let found: Value = block_on(async { reqwest::get(url).await.unwrap().json().await.unwrap() });
        let tags = found["model_version"]["tags"].as_array()?.clone();
        let tag = tags.into_iter().find(|tag| tag["key"] == "probeg.version")?;
        Some(tag["value"].as_str()?.to_owned())
    }

    /// The last epoch of a run that has arrived.
    fn last_epoch(&self, run: &str) -> Option<u64> {
        let search = json!({ "experiment_ids": ["1"], "filter": format!("tags.`probeg.run` = '{run}'") });
        let url = format!("{}/api/2.0/mlflow/runs/search", self.uri());
        let found: Value = block_on(async {
            reqwest::Client::new().post(url).json(&search).send().await.unwrap().json().await.unwrap()
        });
        let metrics = found["runs"][0]["data"]["metrics"].as_array()?.clone();
        metrics.iter().find(|metric| metric["key"] == "epoch/train_loss")?["step"].as_u64()
    }
}

impl Drop for Mlflow {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The Python with MLflow that `make test` sets up.
#[expect(clippy::disallowed_methods, reason = "a variable of the tests")]
fn python() -> PathBuf {
    let path = std::env::var_os("PROBEG_TEST_MLFLOW").map(PathBuf::from).filter(|path| path.exists());
    path.expect("PROBEG_TEST_MLFLOW must be a Python with MLflow; `make test` sets one up")
}

fn publishing(home: &Home, uri: &str, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    command.env("MLFLOW_TRACKING_URI", uri);
    command
}

fn ok(mut command: Command) -> (String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let (stdout, stderr) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    assert!(status.success(), "{stderr}");
    (stdout, stderr)
}

/// All metrics of a run in the database, by the names that they have on MLflow: steps and values.
fn recorded(home: &Home, server: &Server, run: &str) -> BTreeMap<String, BTreeMap<u64, f64>> {
    let mut all: BTreeMap<String, BTreeMap<u64, f64>> = BTreeMap::new();
    let url = server.url(&format!("/v1/runs/{run}/figures?points=10000"));
    let figures: Value = block_on(async { reqwest::get(url).await.unwrap().json().await.unwrap() });
    for figure in figures.as_array().unwrap() {
        for point in figure["points"].as_array().unwrap() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small step")]
            let step = point[0].as_f64().unwrap() as u64;
            let name = figure["name"].as_str().unwrap().to_owned();
            all.entry(name).or_default().insert(step, point[1].as_f64().unwrap());
        }
    }
    let shown: Value = serde_json::from_str(&home.ok(&["runs", "show", run, "--json"])).unwrap();
    for epoch in shown["epochs"].as_array().unwrap() {
        for (name, value) in epoch["metrics"].as_object().unwrap() {
            let step = epoch["epoch"].as_u64().unwrap();
            all.entry(format!("epoch/{name}")).or_default().insert(step, value.as_f64().unwrap());
        }
    }
    assert!(all.contains_key("train_loss") && all.contains_key("epoch/validation_loss"), "{:?}", all.keys());
    all
}

/// What a resumed run measures anew when it repeats a step; MLflow has the first measurement.
const MEASURED: [&str; 6] =
    ["train_loss", "epoch/seconds", "epoch/rows_per_second", "rows_per_second", "cpu", "memory"];

/// Every point of the database is on MLflow, once, and nothing else but the accuracy card.
fn assert_all_metrics(published: &Value, recorded: &BTreeMap<String, BTreeMap<u64, f64>>, is_resumed: bool) {
    let mut histories = published["histories"].as_object().unwrap().clone();
    histories.retain(|name, _| !name.starts_with("test/"));
    assert_eq!(histories.keys().collect::<BTreeSet<_>>(), recorded.keys().collect());
    for (name, points) in recorded {
        let history = histories[name].as_array().unwrap();
        assert_eq!(history.len(), points.len(), "{name}");
        for point in history {
            let (step, value) = (point[0].as_u64().unwrap(), point[1].as_f64().unwrap());
            let expected = points[&step];
            let is_measured = is_resumed && MEASURED.contains(&name.as_str());
            assert!(
                is_measured || (value - expected).abs() <= 1e-12 * expected.abs(),
                "{name} {step}: {value} and {expected}"
            );
        }
    }
}

#[test]
fn a_run_its_model_and_the_champion_are_on_mlflow() {
    let (mlflow, home) = (Mlflow::start(), Home::new());
    home.ok(&["synth", "--rows", "4000"]);
    let named = ["--name", "first", "--tag", "baseline", "--tag", "осень", "--note", "on synthetic listings"];
    let train = [["train", "--promote"].as_slice(), &named, &SMALL].concat();
    let (_, stderr) = ok(publishing(&home, &mlflow.uri(), &train));
    assert!(!stderr.contains("MLflow"), "{stderr}");

    let run = mlflow.client(&["run", "1"]);
    let server = Server::from_process(
        publishing(&home, &mlflow.uri(), &["serve", "--bind", "127.0.0.1:0"])
            .env("PROBEG_ADMIN_TOKEN", "admin")
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    server.wait_until_ready();
    assert_all_metrics(&run, &recorded(&home, &server, "1"), false);
    assert_eq!((&run["name"], &run["status"]), (&json!("first"), &json!("FINISHED")));
    let shown: Value = serde_json::from_str(&home.ok(&["runs", "show", "1", "--json"])).unwrap();
    for (name, value) in shown["config"].as_object().unwrap() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(run["params"][name], text, "{name}");
    }
    for (tag, value) in [
        ("baseline", "true"),
        ("осень", "true"),
        ("mlflow.note.content", "on synthetic listings"),
        ("probeg.task", "price"),
        ("probeg.program", shown["program"].as_str().unwrap()),
        ("probeg.data", shown["data"]["fingerprint"].as_str().unwrap()),
    ] {
        assert_eq!(run["tags"][tag], value, "{tag}");
    }
    let model: Value = serde_json::from_str(&home.ok(&["models", "show", "1", "--json"])).unwrap();
    assert_eq!(run["histories"]["test/mape"], json!([[0, model["accuracy"]["mape"]]]));
    assert_eq!(run["artifacts"]["model/model.onnx"]["sha256"], model["sha256"]);
    let text = |path: &str| run["artifacts"][path]["text"].as_str().unwrap().to_owned();
    assert_eq!(serde_json::from_str::<Value>(&text("card.json")).unwrap(), model["accuracy"]);
    assert!(text("log.txt").contains("training with Probeg") && text("log.txt").ends_with("completed\n"));
    assert_eq!(run["models"][0][0], "probeg-price");

    let price = mlflow.price("models:/probeg-price@champion");
    let answer: Value = block_on(async {
        reqwest::Client::new().post(server.url("/v1/valuations")).json(&rio()).send().await.unwrap().json().await
    })
    .unwrap();
    let expected = answer["price"].as_f64().unwrap();
    assert!((price - expected).abs() <= 1e-4 * expected, "{price} and {expected}");

    // A version that MLflow does not have yet becomes the champion by the API, and another one by the command.
    home.ok(&[&["train", "--parent", "1"], SMALL.as_slice()].concat());
    let request = reqwest::Client::new().put(server.url("/v1/models/champion")).bearer_auth("admin");
    let promoted = block_on(async { request.json(&json!({ "version": 2 })).send().await.unwrap().status() });
    assert_eq!(promoted, 200);
    wait_until("version 2 is the champion on MLflow", || mlflow.champion().as_deref() == Some("2"));
    let child = mlflow.client(&["run", "2"]);
    assert_eq!(child["tags"]["mlflow.parentRunId"], run["run_id"]);
    assert_eq!(child["models"][0][1], "2");
    drop(server);
    ok(publishing(&home, &mlflow.uri(), &["models", "rollback"]));
    assert_eq!(mlflow.champion().as_deref(), Some("1"));

    // A model without a run, as that of another program, can be the champion too.
    let file = home.path("exported.onnx");
    home.ok(&["models", "export", "2", "-o", file.to_str().unwrap()]);
    home.ok(&["models", "import", file.to_str().unwrap()]);
    ok(publishing(&home, &mlflow.uri(), &["models", "promote", "3"]));
    assert_eq!(mlflow.champion().as_deref(), Some("3"));
    assert!((mlflow.price("models:/probeg-price/3") - expected).abs() <= 0.5 * expected);

    // What people change later arrives when the run is published again.
    home.ok(&["runs", "edit", "1", "--name", "renamed", "--tag", "kept", "--untag", "baseline"]);
    let published = ok(publishing(&home, &mlflow.uri(), &["runs", "publish", "--json"])).0;
    let published: Value = serde_json::from_str(&published).unwrap();
    assert_eq!(published["runs"].as_array().unwrap().len(), 2);
    assert_eq!(published["champions"], json!([]));
    let edited = mlflow.client(&["run", "1"]);
    assert_eq!((&edited["name"], &edited["tags"]["kept"]), (&json!("renamed"), &json!("true")));
    assert_eq!(edited["tags"]["baseline"], Value::Null);
    assert_eq!((&edited["histories"], &edited["models"]), (&run["histories"], &run["models"]));
}

#[test]
fn an_outage_loses_nothing_and_nothing_arrives_twice() {
    let (mut mlflow, home) = (Mlflow::start(), Home::new());
    home.ok(&["synth", "--rows", "4000"]);
    let endless = ["--set=epochs=4000", "--set=patience=4000"];
    let mut train = publishing(&home, &mlflow.uri(), &[&["train"], SMALL.as_slice(), &endless].concat());
    let log = home.path("train.log");
    let mut training = train.stderr(File::create(&log).unwrap()).spawn().unwrap();
    wait_until("an epoch has arrived", || mlflow.last_epoch("1").is_some());
    mlflow.kill();
    let before = epochs(&home, "1");
    wait_for_epochs(&home, "1", before + 3);
    mlflow.restart();
    let returned = epochs(&home, "1") as u64;
    wait_until("epochs from after the outage have arrived", || mlflow.last_epoch("1") > Some(returned));
    assert!(Command::new("kill").args(["-TERM", &training.id().to_string()]).status().unwrap().success());
    let status = training.wait().unwrap();
    let stderr = std::fs::read_to_string(log).unwrap();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.matches("is unavailable").count(), 1, "{stderr}");
    assert_eq!(stderr.matches("MLflow is available again").count(), 1, "{stderr}");

    // A run that is killed and resumed repeats some steps, which do not arrive again.
    let medium = [SMALL.as_slice(), &["--set=epochs=100", "--set=patience=100"]].concat();
    let mut train = publishing(&home, &mlflow.uri(), &[["train"].as_slice(), &medium].concat());
    let mut training = train.stderr(Stdio::null()).spawn().unwrap();
    wait_for_epochs(&home, "2", 50);
    training.kill().unwrap();
    training.wait().unwrap();
    // MLflow may still store what the killed process has sent.
    let mut arrived = None;
    wait_until("no request is under way", || {
        let before = arrived.replace(mlflow.client(&["run", "2"])["histories"].clone());
        before.is_some() && before == arrived
    });
    ok(publishing(&home, &mlflow.uri(), &["train", "--resume", "2"]));

    // An outage at the end.
    mlflow.kill();
    let (_, stderr) = ok(publishing(&home, &mlflow.uri(), &[&["train", "--promote"], SMALL.as_slice()].concat()));
    assert!(stderr.contains("warning: not all of run 3 was published to MLflow: MLflow at "), "{stderr}");
    assert!(stderr.contains("`probeg runs publish 3`"), "{stderr}");
    let stderr = publishing(&home, &mlflow.uri(), &["runs", "publish", "3"]).output().unwrap().stderr;
    assert!(String::from_utf8(stderr).unwrap().contains("run 3 was not published: MLflow at "));
    mlflow.restart();
    for _ in 0..2 {
        ok(publishing(&home, &mlflow.uri(), &["runs", "publish"]));
        let server = Server::start(&home);
        for (run, status) in [("1", "KILLED"), ("2", "FINISHED"), ("3", "FINISHED")] {
            let published = mlflow.client(&["run", run]);
            assert_eq!(published["status"], status);
            assert_all_metrics(&published, &recorded(&home, &server, run), run == "2");
        }
        assert_eq!(mlflow.champion().as_deref(), Some("2"));
    }
}

fn epochs(home: &Home, run: &str) -> usize {
    let run: Value = serde_json::from_str(&home.ok(&["runs", "show", run, "--json"])).unwrap();
    run["epochs"].as_array().unwrap().len()
}

/// A server that answers every request in the same way, or never.
fn fake_server(response: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = move |mut stream: TcpStream| {
        let mut request = [0; 8192];
        while stream.read(&mut request).is_ok_and(|bytes| bytes > 0) {
            if let Some(response) = response
                && stream.write_all(response.as_bytes()).is_err()
            {
                return;
            }
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || answer(stream.unwrap()));
        }
    });
    format!("http://{address}")
}

#[test]
fn wrong_servers_are_reported_once_and_never_stop_training() {
    const HTML: &str = "HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n<h1>Hello!</h1>";
    const DENIED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 6\r\n\r\nDenied";
    const ABSENT: &str = "HTTP/1.1 404 Not Found\r\ncontent-length: 5\r\n\r\nEmpty";
    const MOVED: &str = "HTTP/1.1 301 Moved\r\nlocation: https://mlflow.example/\r\ncontent-length: 0\r\n\r\n";
    let home = Home::new();
    home.ok(&["synth", "--rows", "2000"]);
    let train = [&["train", "--set=backtest=false", "--set=refit=false"], SMALL.as_slice()].concat();
    let servers = [
        (fake_server(Some(HTML)), "is not MLflow (status 200)"),
        (fake_server(Some(DENIED)), "denied access (status 401); check MLFLOW_TRACKING_USERNAME"),
        (fake_server(Some(ABSENT)), "is not MLflow (status 404)"),
        (fake_server(Some(MOVED)), "redirects to https://mlflow.example/"),
        (fake_server(None), "no response within"),
        ("http://127.0.0.1:1".to_owned(), "is unavailable: "),
    ];
    for (uri, expected) in &servers {
        let mut command = publishing(&home, uri, &train);
        command.env("MLFLOW_TRACKING_USERNAME", "ann").env("MLFLOW_TRACKING_PASSWORD", "secret");
        let (_, stderr) = ok(command);
        assert_eq!(stderr.matches("WARN").count(), 1, "{stderr}");
        assert!(stderr.contains(expected) && stderr.contains("probeg runs publish"), "{expected}: {stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
    }
    for uri in ["sqlite:///mlflow.db", "http://ann:secret@127.0.0.1:1", " "] {
        let (_, stderr) = ok(publishing(&home, uri, &train));
        assert_eq!(stderr.matches("Nothing is published to MLflow: ").count(), 1, "{stderr}");
        assert!(!stderr.contains("secret"), "{stderr}");
        let output = publishing(&home, uri, &["runs", "publish"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
    }
    assert!(home.fails(1, &["runs", "publish"]).contains("MLFLOW_TRACKING_URI is not set"));
}

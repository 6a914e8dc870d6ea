//! Searches over hyperparameters, by several processes.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use postgres::Cluster;
use serde_json::Value;
use storage::{Claim, Database, RunStatus, Taken};

use crate::market::{Home, block_on, signal, wait_for_epochs, wait_until};

const SPACE: &str = "[learning_rate]\nlow = 1e-3\nhigh = 1e-2\nlog = true\n[n_blocks]\nvalues = [1, 2]\n";

/// Networks so small that a trial takes a second or two.
pub const SWEEP: [&str; 9] = [
    "sweep",
    "--space=space.toml",
    "--set=k=1",
    "--set=d_block=16",
    "--set=epochs=8",
    "--set=n_bins=8",
    "--set=d_embedding=4",
    "--set=d_numeric=4",
    "--set=spool=false",
];

fn market(rows: &str) -> Home {
    let home = Home::new();
    home.ok(&["synth", "--rows", rows]);
    home.write("space.toml", SPACE);
    home
}

fn start(home: &Home, arguments: &[&str]) -> Child {
    home.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn sweep(home: &Home) -> Value {
    serde_json::from_str(&home.ok(&["sweep", "show", "space", "--json"])).unwrap()
}

fn results(sweep: &Value) -> &Vec<Value> {
    sweep["results"].as_array().unwrap()
}

#[test]
fn processes_share_the_trials_and_the_best_one_can_be_trained() {
    let home = market("600");
    let arguments = [SWEEP.as_slice(), &["--trials=6"]].concat();
    let processes = [start(&home, &arguments), start(&home, &arguments)];
    let workers = processes.map(|process| {
        let output = process.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    });
    let sweep = sweep(&home);
    let numbers: Vec<i64> = results(&sweep).iter().map(|trial| trial["number"].as_i64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    for trial in results(&sweep) {
        assert!(["completed", "pruned"].contains(&trial["status"].as_str().unwrap()), "{trial}");
        let line = format!("trial {} of 6: ", trial["number"]);
        assert_eq!(workers.iter().filter(|output| output.contains(&line)).count(), 1, "{line} in {workers:?}");
        let run = home.ok(&["runs", "show", &trial["run_id"].to_string(), "--json"]);
        let run: Value = serde_json::from_str(&run).unwrap();
        assert_eq!((&run["model_version"], &run["config"]["n_blocks"]), (&Value::Null, &trial["settings"]["n_blocks"]));
        let losses = run["epochs"].as_array().unwrap().iter().map(|epoch| &epoch["metrics"]["validation_loss"]);
        let best = losses.filter_map(Value::as_f64).fold(f64::INFINITY, f64::min);
        assert_eq!(trial["loss"].as_f64(), Some(best));
    }
    let best = results(&sweep).iter().find(|trial| trial["number"] == sweep["best"]).unwrap();
    home.write("best.toml", home.ok(&["sweep", "show", "space", "--best"]));
    let trained = home.ok(&["train", "--config=best.toml", "--set=backtest=false", "--set=refit=false", "--json"]);
    let run = serde_json::from_str::<Value>(&trained).unwrap()["run"].to_string();
    let run: Value = serde_json::from_str(&home.ok(&["runs", "show", &run, "--json"])).unwrap();
    let epochs =
        run["epochs"].as_array().unwrap().iter().map(|epoch| epoch["metrics"]["validation_loss"].as_f64().unwrap());
    assert_eq!(Value::from(epochs.fold(f64::INFINITY, f64::min)), best["loss"], "it repeats the trial");
    assert!(home.ok(&["sweep", "list"]).contains("6 of 6"));
}

#[test]
fn a_stopped_trial_continues_from_its_checkpoint_in_another_process() {
    let home = market("4000");
    let long = [SWEEP.as_slice(), &["--trials=1", "--set=epochs=60", "--set=patience=60"]].concat();
    let first = start(&home, &long);
    let epochs = || {
        let run: Value = serde_json::from_slice(&home.run(&["runs", "show", "1", "--json"]).stdout).unwrap_or_default();
        run["epochs"].as_array().map_or(0, Vec::len)
    };
    wait_until("the first epochs", || epochs() >= 3);
    signal("-TERM", &first.id().to_string());
    let output = first.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("the same command continues the sweep space"), "{error}");
    let before = epochs();
    assert_eq!(results(&sweep(&home))[0]["status"], "running");
    let output = home.run(&long);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && error.contains("trial 1 of 1, taken over"), "{error}");
    let sweep = sweep(&home);
    let trial = &results(&sweep)[0];
    assert_eq!((&trial["status"], &trial["attempt"], &trial["run_id"]), (&"completed".into(), &2.into(), &1.into()));
    assert!(before < 60 && epochs() == 60, "{before} and {} epochs", epochs());
}

#[test]
fn a_process_whose_trial_another_one_has_taken_leaves_the_run_alone() {
    let home = market("600");
    let long = [SWEEP.as_slice(), &["--trials=1", "--set=epochs=100000", "--set=patience=100000"]].concat();
    let mut first = start(&home, &long);
    wait_for_epochs(&home, "1", 1);
    let cluster = Cluster::open(&home.path("home"), None, &AtomicBool::new(false)).unwrap();
    block_on(async {
        let database = Database::connect(&cluster.url(), 1).await.unwrap();
        let sweeps = database.sweeps();
        let sweep = sweeps.get("space").await.unwrap().unwrap().id;
        // The first process may renew its lease in between.
        loop {
            sweeps.give_up(Claim { sweep, number: 1, attempt: 1 }).await.unwrap();
            let taken = sweeps.take(sweep, "another process", Duration::from_hours(1), |_| None).await.unwrap();
            if matches!(taken, Taken::Trial(_)) {
                break;
            }
        }
        let output = BufReader::new(first.stderr.take().unwrap());
        let mut lines = output.lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("now belongs to another process")));
        let run = database.runs().get(1).await.unwrap().unwrap();
        assert_eq!((run.status, run.error, run.finished_at), (RunStatus::Running, None, None));
        database.close().await;
    });
    signal("-TERM", &first.id().to_string());
    first.wait().unwrap();
}

#[test]
fn what_cannot_be_searched_is_refused() {
    let home = market("600");
    let fails = |space: &str, more: &[&str]| {
        home.write("space.toml", space);
        home.fails(1, &[SWEEP.as_slice(), more].concat())
    };
    assert!(fails("[learning_rat]\nvalues = [0.1]", &[]).contains("[learning_rat]"));
    assert!(fails("[k]\nlow = 4\nhigh = 2", &[]).contains("[k]: the range is empty"));
    assert!(fails("[n_blocks]\nvalues = [1, 2]", &[]).contains("only 2 combinations"));
    assert!(fails("[family]\nvalues = ['linear', 'network']", &[]).contains("a sweep trains networks"));
    assert!(home.fails(1, &["sweep", "show", "space"]).contains("there is no sweep"), "nothing was started");
    assert!(home.fails(1, &["sweep", "--space=other.toml"]).contains("other.toml cannot be read"));
    home.write("space.toml", "[n_blocks]\nvalues = [1, 2]");
    home.ok(&[SWEEP.as_slice(), &["--trials=1", "--name=named"]].concat());
    let error = fails("[n_blocks]\nvalues = [1, 3]", &["--trials=1", "--name=named"]);
    assert!(error.contains("there is a sweep named with another space"), "{error}");
    home.write("space.toml", "[n_blocks]\nvalues = [1, 2]");
    let error = home.fails(1, &[SWEEP.as_slice(), &["--trials=1", "--name=named", "--set=k=2"]].concat());
    assert!(error.contains("another configuration"), "{error}");
}

//! Interrupted training runs give the same result once resumed.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::market::{Home, SMALL, backends, postmaster, signal, wait_for_epochs, wait_until};

/// Long enough to be interrupted, and reading from the database in every epoch.
const LONG_RUN: [&str; 4] = ["--json", "--no-spool", "--set=epochs=12", "--set=patience=12"];

fn long_run() -> Vec<&'static str> {
    [&["train"], SMALL.as_slice(), LONG_RUN.as_slice()].concat()
}

fn market() -> Home {
    let home = Home::new();
    home.ok(&["synth", "--rows", "4000", "--clustered"]);
    home
}

/// The accuracy card, which identifies the weights.
fn accuracy(output: &str) -> Value {
    serde_json::from_str::<Value>(output).unwrap()["accuracy"].clone()
}

fn start(home: &Home, arguments: &[&str]) -> Child {
    home.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The folder of a run, if it exists.
fn run_folder(home: &Home, run: &str) -> Option<PathBuf> {
    let mut folders = std::fs::read_dir(home.path("home/runs")).unwrap().map(|entry| entry.unwrap().path());
    folders.find(|folder| folder.file_name().unwrap().to_str().unwrap().starts_with(&format!("{run}-")))
}

fn status(home: &Home, run: usize) -> String {
    let output: Value = serde_json::from_str(&home.ok(&["runs", "list", "--json"])).unwrap();
    let runs = output.as_array().unwrap();
    runs.iter().find(|entry| entry["run"] == run).unwrap()["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_repeatedly_killed_run_ends_with_the_same_weights() {
    let home = market();
    let expected = accuracy(&home.ok(&long_run()));
    let mut training = start(&home, &long_run());
    let has_file = |name: &str| run_folder(&home, "2").is_some_and(|folder| folder.join(name).exists());
    let has_epochs = |count: usize| {
        let output: Value = serde_json::from_slice(&home.run(&["runs", "show", "2", "--json"]).stdout).unwrap();
        output["epochs"].as_array().unwrap().len() >= count
    };
    // From the start to the refit.
    let points: [(&str, &dyn Fn() -> bool); 7] = [
        ("the folder exists", &|| run_folder(&home, "2").is_some()),
        ("the manifest is written", &|| has_file("run")),
        ("the vocabularies are fitted", &|| has_file("learning.checkpoint")),
        ("one epoch is complete", &|| has_epochs(1)),
        ("seven epochs are complete", &|| has_epochs(7)),
        ("the backtest has started", &|| has_file("origin-0.checkpoint")),
        ("the refit has started", &|| has_file("refit.checkpoint")),
    ];
    for (point, is_reached) in points {
        wait_until(point, || {
            assert!(training.try_wait().unwrap().is_none(), "the run ended before {point}");
            is_reached()
        });
        training.kill().unwrap();
        training.wait().unwrap();
        assert_ne!(status(&home, 2), "completed", "{point}");
        training = start(&home, &["train", "--resume", "2", "--json"]);
    }
    let output = training.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(accuracy(&String::from_utf8(output.stdout).unwrap()), expected);
    assert_eq!(status(&home, 2), "completed");
    assert!(run_folder(&home, "2").is_none(), "the folder of a complete run is removed");
    assert!(home.fails(1, &["train", "--resume", "2"]).contains("run 2 is complete"));
}

#[test]
fn a_memory_budget_that_is_too_small_names_the_minimum() {
    let home = market();
    let error = home.fails(1, &[["train", "--memory", "64MiB"].as_slice(), &SMALL].concat());
    assert!(error.contains("--memory 64.0 MiB is too small"), "{error}");
    let minimum = error.split("at least ").nth(1).unwrap().split(';').next().unwrap().replace(' ', "");
    home.ok(&[["train", "--memory", &minimum].as_slice(), &SMALL].concat());
    assert!(home.fails(2, &["train", "--memory", "plenty"]).contains("--memory"));
}

#[test]
fn training_works_within_a_limited_address_space() {
    let home = market();
    let train = home.command(&[["train"].as_slice(), &SMALL].concat());
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 1048576 && exec \"$0\" \"$@\""]).arg(train.get_program()).args(train.get_args());
    shell.current_dir(home.path("")).env("PROBEG_HOME", home.path("home")).env_remove("DATABASE_URL");
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_stopped_run_says_how_to_resume() {
    let home = market();
    let mut arguments = long_run();
    arguments.extend(["--set=epochs=400", "--set=patience=400"]);
    let training = start(&home, &arguments);
    wait_for_epochs(&home, "1", 2);
    assert!(home.fails(1, &["train", "--resume", "1"]).contains("run 1 is running in another process"));
    assert!(Command::new("kill").args(["-TERM", &training.id().to_string()]).status().unwrap().success());
    let output = training.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("`probeg train --resume 1`"), "{error}");
    assert_eq!(status(&home, 1), "interrupted");
    assert!(home.fails(1, &["train", "--resume", "7"]).contains("there is no run 7"));
    assert!(home.fails(2, &["train", "--resume", "1", "--set=k=1"]).contains("cannot be used with"));
}

#[test]
fn imports_and_database_restarts_do_not_affect_a_run() {
    let home = market();
    let expected = accuracy(&home.ok(&long_run()));
    let training = start(&home, &long_run());
    wait_for_epochs(&home, "2", 1);
    home.ok(&["synth", "--rows", "500", "--seed", "9"]);
    let backends = backends(&home, &["COPY", "idle in transaction"]);
    assert!(backends.len() >= 2, "{backends:?}");
    backends.iter().take(2).for_each(|pid| signal("-TERM", pid));
    wait_for_epochs(&home, "2", 3);
    // A fast shutdown; the next command restarts the server.
    signal("-INT", &postmaster(&home));
    wait_for_epochs(&home, "2", 5);
    let output = training.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{error}");
    assert!(error.contains("The database is unavailable"), "{error}");
    assert_eq!(accuracy(&String::from_utf8(output.stdout).unwrap()), expected);
}

#[test]
fn a_run_can_be_resumed_after_a_database_failure() {
    let home = market();
    let expected = accuracy(&home.ok(&long_run()));
    let mut arguments = long_run();
    arguments.extend(["--retry-for", "1"]);
    let training = start(&home, &arguments);
    wait_for_epochs(&home, "2", 2);
    signal("-INT", &postmaster(&home));
    let output = training.wait_with_output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("remained unavailable for 1 seconds") && error.contains("--resume 2"), "{error}");
    assert_eq!(accuracy(&home.ok(&["train", "--resume", "2", "--json"])), expected);
}

#[test]
fn a_run_waiting_for_the_database_can_be_stopped() {
    let home = market();
    let mut arguments = long_run();
    arguments.extend(["--set=epochs=400", "--set=patience=400"]);
    let mut training = start(&home, &arguments);
    let mut lines = BufReader::new(training.stderr.take().unwrap()).lines().map(Result::unwrap);
    wait_for_epochs(&home, "1", 2);
    signal("-INT", &postmaster(&home));
    assert!(lines.any(|line| line.contains("The database is unavailable")), "the outage is not reported");
    let started = Instant::now();
    signal("-INT", &training.id().to_string());
    let output = lines.collect::<Vec<_>>().join("\n");
    assert!(!training.wait().unwrap().success());
    assert!(started.elapsed() < Duration::from_secs(15), "the run did not stop while waiting");
    assert!(output.contains("--resume 1"), "{output}");
}

#[test]
fn a_corrupted_spool_is_detected_and_rewritten() {
    let home = market();
    let expected = accuracy(&home.ok(&long_run()));
    let spooled: Vec<_> = long_run().into_iter().filter(|argument| *argument != "--no-spool").collect();
    let mut training = start(&home, &spooled);
    // Early, so that every block is still to be read.
    wait_until("the vocabularies are fitted", || {
        assert!(training.try_wait().unwrap().is_none());
        run_folder(&home, "2").is_some_and(|folder| folder.join("learning.checkpoint").exists())
    });
    training.kill().unwrap();
    training.wait().unwrap();
    let spool = run_folder(&home, "2").unwrap().join("learning.train.arrow");
    let mut bytes = std::fs::read(&spool).unwrap();
    // Corrupts an id in the middle.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&spool, bytes).unwrap();
    let error = home.fails(1, &["train", "--resume", "2"]);
    assert!(error.contains("a checksum does not match") && error.contains("--resume 2"), "{error}");
    assert_eq!(accuracy(&home.ok(&["train", "--resume", "2", "--json"])), expected);
}

#[test]
fn a_run_can_be_resumed_after_a_full_disk() {
    let home = market();
    let expected = accuracy(&home.ok(&long_run()));
    let spooled: Vec<_> = long_run().into_iter().filter(|argument| *argument != "--no-spool").collect();
    let mut training = start(&home, &spooled);
    wait_for_epochs(&home, "2", 2);
    training.kill().unwrap();
    training.wait().unwrap();
    // Without its spool the run must write a new one, to a device that rejects all writes.
    let folder = run_folder(&home, "2").unwrap();
    std::fs::remove_file(folder.join("learning.train.arrow")).unwrap();
    let partial = folder.join("learning.train.arrow.partial");
    std::os::unix::fs::symlink("/dev/full", &partial).unwrap();
    let error = home.fails(1, &["train", "--resume", "2"]);
    assert!(
        error.contains("No space left on device (os error 28); free some space there") && error.contains("--resume 2"),
        "{error}"
    );
    assert_eq!(status(&home, 2), "failed");
    assert!(!partial.exists());
    assert_eq!(accuracy(&home.ok(&["train", "--resume", "2", "--json"])), expected);
}

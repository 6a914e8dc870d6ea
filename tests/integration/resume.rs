//! Training that is killed, stopped or cut off from its database ends as if nothing had happened.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::market::{Home, SMALL, backends, postmaster, signal, wait_for_epochs, wait_until};

/// Long enough to be disturbed, and read from the database in every epoch.
const LONGER: [&str; 4] = ["--json", "--no-spool", "--set=epochs=12", "--set=patience=12"];

fn longer() -> Vec<&'static str> {
    [&["train"], SMALL.as_slice(), LONGER.as_slice()].concat()
}

fn market() -> Home {
    let home = Home::new();
    home.ok(&["synth", "--rows", "4000", "--clustered"]);
    home
}

/// All figures of the accuracy card, which no other weights have.
fn accuracy(told: &str) -> Value {
    serde_json::from_str::<Value>(told).unwrap()["accuracy"].clone()
}

fn start(home: &Home, arguments: &[&str]) -> Child {
    home.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// What a run has left.
fn folder(home: &Home, run: &str) -> Option<PathBuf> {
    let mut folders = std::fs::read_dir(home.path("home/runs")).unwrap().map(|entry| entry.unwrap().path());
    folders.find(|folder| folder.file_name().unwrap().to_str().unwrap().starts_with(&format!("{run}-")))
}

fn status(home: &Home, run: usize) -> String {
    let told: Value = serde_json::from_str(&home.ok(&["runs", "list", "--json"])).unwrap();
    let runs = told.as_array().unwrap();
    runs.iter().find(|told| told["run"] == run).unwrap()["status"].as_str().unwrap().to_owned()
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_weights() {
    let home = market();
    let undisturbed = accuracy(&home.ok(&longer()));
    let mut training = start(&home, &longer());
    let left = |name: &str| folder(&home, "2").is_some_and(|folder| folder.join(name).exists());
    let has_epochs = |count: usize| {
        let told: Value = serde_json::from_slice(&home.run(&["runs", "show", "2", "--json"]).stdout).unwrap();
        told["epochs"].as_array().unwrap().len() >= count
    };
    // From the first statement to the second learning.
    let points: [(&str, &dyn Fn() -> bool); 7] = [
        ("it has a folder", &|| folder(&home, "2").is_some()),
        ("its manifest is written", &|| left("run")),
        ("its vocabularies are fitted", &|| left("learning.checkpoint")),
        ("an epoch is over", &|| has_epochs(1)),
        ("seven epochs are over", &|| has_epochs(7)),
        ("the backtest has begun", &|| left("backtest.checkpoint")),
        ("the refit has begun", &|| left("refit.checkpoint")),
    ];
    for (point, is_reached) in points {
        wait_until(point, || {
            assert!(training.try_wait().unwrap().is_none(), "it ended before {point}");
            is_reached()
        });
        training.kill().unwrap();
        training.wait().unwrap();
        assert_ne!(status(&home, 2), "completed", "{point}");
        training = start(&home, &["train", "--resume", "2", "--json"]);
    }
    let output = training.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(accuracy(&String::from_utf8(output.stdout).unwrap()), undisturbed);
    assert_eq!(status(&home, 2), "completed");
    assert!(folder(&home, "2").is_none(), "what a complete run needs no more is removed");
    assert!(home.fails(1, &["train", "--resume", "2"]).contains("run 2 is complete"));
}

#[test]
fn a_budget_that_is_too_small_is_refused_with_one_that_is_not() {
    let home = market();
    let told = home.fails(1, &[["train", "--memory", "64MiB"].as_slice(), &SMALL].concat());
    assert!(told.contains("--memory 64.0 MiB is too small"), "{told}");
    let minimum = told.split("at least ").nth(1).unwrap().split(';').next().unwrap().replace(' ', "");
    home.ok(&[["train", "--memory", &minimum].as_slice(), &SMALL].concat());
    assert!(home.fails(2, &["train", "--memory", "plenty"]).contains("--memory"));
}

#[test]
fn address_space_is_enough_where_it_is_what_is_limited() {
    let home = market();
    let train = home.command(&[["train"].as_slice(), &SMALL].concat());
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -v 1048576 && exec \"$0\" \"$@\""]).arg(train.get_program()).args(train.get_args());
    shell.current_dir(home.path("")).env("PROBEG_HOME", home.path("home")).env_remove("DATABASE_URL");
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_run_that_is_stopped_says_how_to_go_on() {
    let home = market();
    let mut arguments = longer();
    arguments.extend(["--set=epochs=400", "--set=patience=400"]);
    let training = start(&home, &arguments);
    wait_for_epochs(&home, "1", 2);
    assert!(home.fails(1, &["train", "--resume", "1"]).contains("run 1 is running in another process"));
    assert!(Command::new("kill").args(["-TERM", &training.id().to_string()]).status().unwrap().success());
    let output = training.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && told.contains("`probeg train --resume 1`"), "{told}");
    assert_eq!(status(&home, 1), "interrupted");
    assert!(home.fails(1, &["train", "--resume", "7"]).contains("there is no run 7"));
    assert!(home.fails(2, &["train", "--resume", "1", "--set=k=1"]).contains("cannot be used with"));
}

#[test]
fn listings_that_come_and_servers_that_go_change_nothing() {
    let home = market();
    let undisturbed = accuracy(&home.ok(&longer()));
    let training = start(&home, &longer());
    wait_for_epochs(&home, "2", 1);
    home.ok(&["synth", "--rows", "500", "--seed", "9"]);
    let backends = backends(&home, &["COPY", "idle in transaction"]);
    assert!(backends.len() >= 2, "{backends:?}");
    backends.iter().take(2).for_each(|pid| signal("-TERM", pid));
    wait_for_epochs(&home, "2", 3);
    // A fast shutdown; the next command starts the server again.
    signal("-INT", &postmaster(&home));
    wait_for_epochs(&home, "2", 5);
    let output = training.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{told}");
    assert!(told.contains("The database is unavailable"), "{told}");
    assert_eq!(accuracy(&String::from_utf8(output.stdout).unwrap()), undisturbed);
}

#[test]
fn a_database_that_stays_away_leaves_a_run_to_resume() {
    let home = market();
    let undisturbed = accuracy(&home.ok(&longer()));
    let mut arguments = longer();
    arguments.extend(["--retry-for", "1"]);
    let training = start(&home, &arguments);
    wait_for_epochs(&home, "2", 2);
    signal("-INT", &postmaster(&home));
    let output = training.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("remained unavailable for 1 seconds") && told.contains("--resume 2"), "{told}");
    assert_eq!(accuracy(&home.ok(&["train", "--resume", "2", "--json"])), undisturbed);
}

#[test]
fn a_run_that_waits_for_its_database_can_be_stopped() {
    let home = market();
    let mut arguments = longer();
    arguments.extend(["--set=epochs=400", "--set=patience=400"]);
    let mut training = start(&home, &arguments);
    let mut lines = BufReader::new(training.stderr.take().unwrap()).lines().map(Result::unwrap);
    wait_for_epochs(&home, "1", 2);
    signal("-INT", &postmaster(&home));
    assert!(lines.any(|line| line.contains("The database is unavailable")), "it does not say so");
    let began = Instant::now();
    signal("-INT", &training.id().to_string());
    let told = lines.collect::<Vec<_>>().join("\n");
    assert!(!training.wait().unwrap().success());
    assert!(began.elapsed() < Duration::from_secs(15), "it waits for two minutes without that");
    assert!(told.contains("--resume 1"), "{told}");
}

#[test]
fn a_spool_that_rots_on_the_disk_is_noticed_and_rewritten() {
    let home = market();
    let undisturbed = accuracy(&home.ok(&longer()));
    let spooled: Vec<_> = longer().into_iter().filter(|argument| *argument != "--no-spool").collect();
    let mut training = start(&home, &spooled);
    // At the beginning, so that every block is still to be read.
    wait_until("the vocabularies are fitted", || {
        assert!(training.try_wait().unwrap().is_none());
        folder(&home, "2").is_some_and(|folder| folder.join("learning.checkpoint").exists())
    });
    training.kill().unwrap();
    training.wait().unwrap();
    let spool = folder(&home, "2").unwrap().join("learning.train.arrow");
    let mut bytes = std::fs::read(&spool).unwrap();
    // An id in the middle, which becomes another or none.
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&spool, bytes).unwrap();
    let told = home.fails(1, &["train", "--resume", "2"]);
    assert!(told.contains("a checksum does not match") && told.contains("--resume 2"), "{told}");
    assert_eq!(accuracy(&home.ok(&["train", "--resume", "2", "--json"])), undisturbed);
}

#[test]
fn a_disk_that_is_full_leaves_a_run_to_resume() {
    let home = market();
    let undisturbed = accuracy(&home.ok(&longer()));
    let spooled: Vec<_> = longer().into_iter().filter(|argument| *argument != "--no-spool").collect();
    let mut training = start(&home, &spooled);
    wait_for_epochs(&home, "2", 2);
    training.kill().unwrap();
    training.wait().unwrap();
    // Without its spool the run must write another, onto a device that takes no byte.
    let folder = folder(&home, "2").unwrap();
    std::fs::remove_file(folder.join("learning.train.arrow")).unwrap();
    let partial = folder.join("learning.train.arrow.partial");
    std::os::unix::fs::symlink("/dev/full", &partial).unwrap();
    let told = home.fails(1, &["train", "--resume", "2"]);
    assert!(told.contains("No space left") && told.contains("--resume 2"), "{told}");
    assert_eq!(status(&home, 2), "failed");
    assert!(!partial.exists());
    assert_eq!(accuracy(&home.ok(&["train", "--resume", "2", "--json"])), undisturbed);
}

//! Commands stop soon after a signal and leave no partial output.

use std::fmt::Write;
use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::market::{Home, trained, wait_until};

/// Far longer than stopping takes, and far shorter than the commands would run.
const STOP_TIMEOUT: Duration = Duration::from_secs(8);

fn start(home: &Home, arguments: &[&str], variables: &[(&str, &str)]) -> Child {
    let mut command = home.command(arguments);
    command.envs(variables.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let process = command.spawn().unwrap();
    wait_for_signal_handler(&process);
    process
}

/// Without a handler, the signal would kill the process.
fn wait_for_signal_handler(process: &Child) {
    const SIGTERM: u64 = 1 << 14;
    let caught = || {
        let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim();
        u64::from_str_radix(caught, 16).unwrap()
    };
    let started = Instant::now();
    while caught() & SIGTERM == 0 {
        assert!(started.elapsed() < Duration::from_mins(1));
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Processor time used, in hundredths of a second.
fn processor_ticks(process: &Child) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

/// Sends a signal; returns the exit code and the standard error.
fn stop(mut process: Child, signal: &str) -> (Option<i32>, String) {
    assert!(Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap().success());
    let started = Instant::now();
    while process.try_wait().unwrap().is_none() {
        if started.elapsed() > STOP_TIMEOUT {
            process.kill().unwrap();
            panic!("still running: {:?}", process.wait_with_output().unwrap());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = process.wait_with_output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_starting_server_can_be_stopped() {
    let home = Home::new();
    std::fs::create_dir(home.path("home")).unwrap();
    // It waits for the private cluster, which another command has locked.
    let gate = File::create(home.path("home/cluster.gate.lock")).unwrap();
    gate.lock().unwrap();
    for command in ["serve", "up"] {
        let server = start(&home, &[command, "--bind", "127.0.0.1:0"], &[]);
        let (code, error) = stop(server, "-TERM");
        assert_eq!(code, Some(0), "{error}");
        assert!(error.contains("stopped on request"), "{error}");
    }
    // A database that accepts connections but never responds.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://probeg@{}/probeg", silent.local_addr().unwrap());
    for (command, signal) in [("serve", "-TERM"), ("serve", "-INT"), ("up", "-TERM")] {
        let server = start(&home, &[command, "--bind", "127.0.0.1:0"], &[("DATABASE_URL", &url)]);
        let (_connection, _) = silent.accept().unwrap();
        let (code, error) = stop(server, signal);
        assert_eq!(code, Some(0), "{error}");
    }
}

#[test]
fn running_commands_can_be_stopped_without_side_effects() {
    let home = trained();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let mut cars = String::from("brand,model,year,mileage,listing_date,price\n");
    for number in 0..100_000 {
        writeln!(cars, "Kia,Rio,{},{},2026-03-17,700000", 2008 + number % 16, 5_000 + number).unwrap();
    }
    std::fs::write(path("cars.csv"), cars).unwrap();
    std::fs::write(path("out.csv"), "existing content").unwrap();
    for arguments in [
        &["predict", &path("cars.csv"), "-o", &path("out.csv")][..],
        &["evaluate", "--data", &path("cars.csv")],
        &["models", "cost", "champion"],
        &["explore", "--out", &path("report.html")],
    ] {
        let command = start(home, arguments, &[]);
        wait_until("the command is computing", || processor_ticks(&command) >= 10);
        let (code, error) = stop(command, "-INT");
        assert_eq!(code, Some(1), "{arguments:?}: {error}");
        assert!(error.contains("stopped on request"), "{arguments:?}: {error}");
        let mut files: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        files.sort();
        assert_eq!(files, ["cars.csv", "out.csv"], "{arguments:?}");
        assert_eq!(std::fs::read(path("out.csv")).unwrap(), b"existing content");
    }
}

//! The private server as commands use it, which start, share and crash on it.
#![expect(clippy::unwrap_used, reason = "what a test prepares may fail as the test does")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postgres::{Cluster, Error};
use sqlx::{Connection, PgConnection};

/// Nobody asks these tests to stop.
static GO_ON: AtomicBool = AtomicBool::new(false);

const HOME: &str = "PROBEG_TEST_CLUSTER_HOME";

/// Not a test by itself: other tests start this binary again with it, as another process that uses
/// a cluster. It says "open" and stays until its input ends.
#[test]
#[expect(clippy::disallowed_methods, reason = "a variable of the tests, not of the product")]
fn another_process_uses_the_cluster() {
    let Some(home) = std::env::var_os(HOME) else { return };
    let cluster = Cluster::open(Path::new(&home), None, &GO_ON).unwrap();
    println!("\nopen");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    drop(cluster);
}

fn start_another(home: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["another_process_uses_the_cluster", "--exact", "--nocapture"]).env(HOME, home);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

fn wait_until_open(child: &mut Child) {
    let output = BufReader::new(child.stdout.as_mut().unwrap());
    assert!(output.lines().any(|line| line.unwrap() == "open"), "the other process did not open the cluster");
}

fn data_directory(home: &Path) -> PathBuf {
    match fs::read_to_string(home.join("cluster.location")) {
        Ok(location) => PathBuf::from(location.trim()).join("data"),
        Err(_) => home.join("cluster/data"),
    }
}

fn server_pid(home: &Path) -> Option<String> {
    let text = fs::read_to_string(data_directory(home).join("postmaster.pid")).ok()?;
    text.lines().next().map(str::to_owned)
}

fn answers(cluster: &Cluster) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(&cluster.url()).await.unwrap();
        let answer = connection.ping().await;
        connection.close().await.unwrap();
        answer.is_ok()
    })
}

/// A folder that the server's user may enter, wherever the tests run from.
fn public_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

fn kill(pid: &str) {
    assert!(Command::new("kill").args(["-9", pid]).status().unwrap().success());
}

#[test]
fn users_share_the_server_and_the_last_one_stops_it() {
    let folder = public_folder();
    let home = folder.path().join("a'b c\"%");
    let mut other = start_another(&home);
    wait_until_open(&mut other);
    let pid = server_pid(&home).unwrap();
    let cluster = Cluster::open(&home, None, &GO_ON).unwrap();
    assert_eq!(server_pid(&home), Some(pid.clone()));
    drop(other.stdin.take());
    assert!(other.wait().unwrap().success());
    assert!(answers(&cluster), "it was pulled from under its second user");
    drop(cluster);
    assert_eq!(server_pid(&home), None, "the last user did not stop it");
}

#[test]
fn a_new_home_may_be_opened_by_two_at_once() {
    let folder = public_folder();
    let home = folder.path().join("home");
    let mut others = [start_another(&home), start_another(&home)];
    others.iter_mut().for_each(wait_until_open);
    let cluster = Cluster::open(&home, None, &GO_ON).unwrap();
    for mut other in others {
        drop(other.stdin.take());
        assert!(other.wait().unwrap().success());
    }
    assert!(answers(&cluster));
}

#[test]
fn what_killed_processes_leave_is_taken_over() {
    let folder = public_folder();
    let home = folder.path();
    let mut other = start_another(home);
    wait_until_open(&mut other);
    let pid = server_pid(home).unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    let cluster = Cluster::open(home, None, &GO_ON).unwrap();
    assert_eq!(server_pid(home), Some(pid.clone()), "a server without its parent is adopted");
    assert!(answers(&cluster));

    kill(&pid);
    drop(cluster);
    let cluster = Cluster::open(home, None, &GO_ON).unwrap();
    assert_ne!(server_pid(home), Some(pid), "a killed server is started again");
    assert!(answers(&cluster));
    kill(&server_pid(home).unwrap());
    let second = Cluster::open(home, None, &GO_ON).unwrap();
    assert!(answers(&second), "also when it dies under a user in the same process");
    drop(cluster);
    assert!(answers(&second));
}

#[test]
fn a_stale_process_number_stops_nobody() {
    let folder = public_folder();
    let home = folder.path();
    drop(Cluster::open(home, None, &GO_ON).unwrap());
    let pid_file = data_directory(home).join("postmaster.pid");
    // This process is alive, and it is no PostgreSQL.
    fs::write(&pid_file, format!("{}\n{}\n", std::process::id(), home.display())).unwrap();
    assert!(answers(&Cluster::open(home, None, &GO_ON).unwrap()));
}

#[test]
fn an_interrupted_initdb_leaves_a_home_that_starts() {
    let folder = public_folder();
    let home = folder.path();
    let mut other = start_another(home);
    let begun = Instant::now();
    let making = || {
        let entries = fs::read_dir(home.join("cluster")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).find(|path| path.join("PG_VERSION").exists())
    };
    while making().is_none() {
        assert!(begun.elapsed() < Duration::from_mins(1), "initdb did not begin");
        std::thread::sleep(Duration::from_millis(10));
    }
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(answers(&Cluster::open(home, None, &GO_ON).unwrap()));
}

#[test]
fn a_home_that_the_server_may_not_enter_works() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let home = folder.path().join("x".repeat(100));
    let cluster = Cluster::open(&home, None, &GO_ON).unwrap();
    assert!(answers(&cluster));
    drop(cluster);
    let data = data_directory(&home);
    assert!(data.join("PG_VERSION").exists());
    assert!(answers(&Cluster::open(&home, None, &GO_ON).unwrap()), "the data is found again");
    if !data.starts_with(&home) {
        assert!(data.starts_with("/var/lib/probeg"));
        fs::remove_dir_all(data.parent().unwrap()).unwrap();
    }
}

#[test]
fn failures_say_what_to_do() {
    let folder = public_folder();
    let error = Cluster::open(folder.path(), Some(Path::new("/nowhere")), &GO_ON).unwrap_err();
    assert!(matches!(error, Error::NoServer { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere"), "{error}");

    let cluster = Cluster::open(folder.path(), None, &GO_ON).unwrap();
    drop(cluster);
    let configuration = data_directory(folder.path()).join("postgresql.conf");
    fs::write(&configuration, "nonsense\n").unwrap();
    let error = Cluster::open(folder.path(), None, &GO_ON).unwrap_err();
    assert!(matches!(error, Error::NotStarted { .. }), "{error}");
    assert!(error.to_string().contains("syntax error"), "{error}");
    fs::write(&configuration, "").unwrap();
    assert!(answers(&Cluster::open(folder.path(), None, &GO_ON).unwrap()));
}

#[test]
fn a_file_in_the_place_of_the_home_is_reported() {
    let folder = public_folder();
    let path = folder.path().join("file");
    fs::write(&path, "").unwrap();
    let error = Cluster::open(&path, None, &GO_ON).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
}

#[test]
fn whoever_is_asked_to_stop_waits_for_nothing() {
    let home = public_folder();
    let home = home.path();
    // Another command is at work on the cluster.
    let gate = fs::OpenOptions::new().create(true).append(true).open(home.join("cluster.gate.lock")).unwrap();
    gate.lock().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| Cluster::open(home, None, &stop));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!opened.is_finished());
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(opened.join().unwrap(), Err(Error::Stopped)));
    });
    gate.unlock().unwrap();
    // While the data is being made.
    stop.store(false, Ordering::Relaxed);
    let is_making = || {
        fs::read_dir(home.join("cluster")).is_ok_and(|mut entries| {
            entries.any(|entry| entry.unwrap().file_name().to_str().unwrap().starts_with("making-"))
        })
    };
    std::thread::scope(|scope| {
        let opened = scope.spawn(|| Cluster::open(home, None, &stop));
        while !is_making() {
            assert!(!opened.is_finished());
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(opened.join().unwrap(), Err(Error::Stopped)));
    });
    assert!(!is_making(), "what was made is removed");
    assert!(answers(&Cluster::open(home, None, &GO_ON).unwrap()));
}

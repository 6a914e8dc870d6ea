//! The private server as used by commands that start it, share it and crash.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use postgres::{Cluster, Error};
use sqlx::{Connection, PgConnection};

/// Never set: these tests are not stopped.
static NEVER_STOP: AtomicBool = AtomicBool::new(false);

const HOME_VARIABLE: &str = "PROBEG_TEST_CLUSTER_HOME";

/// Not a test by itself: other tests run this binary with it as another process that uses the cluster. It prints "open"
/// and exits when its input ends.
#[test]
#[expect(clippy::disallowed_methods, reason = "a variable of the tests")]
fn cluster_user_process() {
    let Some(home) = std::env::var_os(HOME_VARIABLE) else { return };
    let cluster = Cluster::open(Path::new(&home), None, &NEVER_STOP).unwrap();
    println!("\nopen");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    drop(cluster);
}

fn spawn_user(home: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["cluster_user_process", "--exact", "--nocapture"]).env(HOME_VARIABLE, home);
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

fn is_reachable(cluster: &Cluster) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = PgConnection::connect(&cluster.url()).await.unwrap();
        let pong = connection.ping().await;
        connection.close().await.unwrap();
        pong.is_ok()
    })
}

/// A folder that the server's user may enter.
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
    let mut other = spawn_user(&home);
    wait_until_open(&mut other);
    let pid = server_pid(&home).unwrap();
    let cluster = Cluster::open(&home, None, &NEVER_STOP).unwrap();
    assert_eq!(server_pid(&home), Some(pid.clone()));
    drop(other.stdin.take());
    assert!(other.wait().unwrap().success());
    assert!(is_reachable(&cluster), "the server was stopped while in use");
    drop(cluster);
    assert_eq!(server_pid(&home), None, "the last user did not stop the server");
}

#[test]
fn a_new_home_can_be_opened_concurrently() {
    let folder = public_folder();
    let home = folder.path().join("home");
    let mut others = [spawn_user(&home), spawn_user(&home)];
    others.iter_mut().for_each(wait_until_open);
    let cluster = Cluster::open(&home, None, &NEVER_STOP).unwrap();
    for mut other in others {
        drop(other.stdin.take());
        assert!(other.wait().unwrap().success());
    }
    assert!(is_reachable(&cluster));
}

#[test]
fn servers_of_killed_processes_are_adopted_or_restarted() {
    let folder = public_folder();
    let home = folder.path();
    let mut other = spawn_user(home);
    wait_until_open(&mut other);
    let pid = server_pid(home).unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    let cluster = Cluster::open(home, None, &NEVER_STOP).unwrap();
    assert_eq!(server_pid(home), Some(pid.clone()), "an orphaned server is adopted");
    assert!(is_reachable(&cluster));

    kill(&pid);
    drop(cluster);
    let cluster = Cluster::open(home, None, &NEVER_STOP).unwrap();
    assert_ne!(server_pid(home), Some(pid), "a killed server is restarted");
    assert!(is_reachable(&cluster));
    kill(&server_pid(home).unwrap());
    let second = Cluster::open(home, None, &NEVER_STOP).unwrap();
    assert!(is_reachable(&second), "a server that dies while in use by this process is restarted");
    drop(cluster);
    assert!(is_reachable(&second));
}

#[test]
fn a_stale_pid_file_is_ignored() {
    let folder = public_folder();
    let home = folder.path();
    drop(Cluster::open(home, None, &NEVER_STOP).unwrap());
    let pid_file = data_directory(home).join("postmaster.pid");
    // This process is running, but it is not PostgreSQL.
    fs::write(&pid_file, format!("{}\n{}\n", std::process::id(), home.display())).unwrap();
    assert!(is_reachable(&Cluster::open(home, None, &NEVER_STOP).unwrap()));
}

#[test]
fn an_interrupted_initdb_is_repeated() {
    let folder = public_folder();
    let home = folder.path();
    let mut other = spawn_user(home);
    let started = Instant::now();
    let unfinished_data = || {
        let entries = fs::read_dir(home.join("cluster")).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).find(|path| path.join("PG_VERSION").exists())
    };
    while unfinished_data().is_none() {
        assert!(started.elapsed() < Duration::from_mins(1), "initdb did not start");
        std::thread::sleep(Duration::from_millis(10));
    }
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(is_reachable(&Cluster::open(home, None, &NEVER_STOP).unwrap()));
}

#[test]
fn a_home_closed_to_the_servers_user_works() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let home = folder.path().join("x".repeat(100));
    let cluster = Cluster::open(&home, None, &NEVER_STOP).unwrap();
    assert!(is_reachable(&cluster));
    drop(cluster);
    let data = data_directory(&home);
    assert!(data.join("PG_VERSION").exists());
    assert!(is_reachable(&Cluster::open(&home, None, &NEVER_STOP).unwrap()), "the data is found again");
    if !data.starts_with(&home) {
        assert!(data.starts_with("/var/lib/probeg"));
        fs::remove_dir_all(data.parent().unwrap()).unwrap();
    }
}

#[test]
fn errors_name_the_cause() {
    let folder = public_folder();
    let error = Cluster::open(folder.path(), Some(Path::new("/nowhere")), &NEVER_STOP).unwrap_err();
    assert!(matches!(error, Error::NoServer { .. }), "{error}");
    assert!(error.to_string().contains("/nowhere"), "{error}");

    let cluster = Cluster::open(folder.path(), None, &NEVER_STOP).unwrap();
    drop(cluster);
    let configuration = data_directory(folder.path()).join("postgresql.conf");
    fs::write(&configuration, "nonsense\n").unwrap();
    let error = Cluster::open(folder.path(), None, &NEVER_STOP).unwrap_err();
    assert!(matches!(error, Error::NotStarted { .. }), "{error}");
    assert!(error.to_string().contains("syntax error"), "{error}");
    fs::write(&configuration, "").unwrap();
    assert!(is_reachable(&Cluster::open(folder.path(), None, &NEVER_STOP).unwrap()));
}

#[test]
fn a_file_instead_of_the_home_is_an_error() {
    let folder = public_folder();
    let path = folder.path().join("file");
    fs::write(&path, "").unwrap();
    let error = Cluster::open(&path, None, &NEVER_STOP).unwrap_err();
    assert!(matches!(error, Error::File { .. }), "{error}");
}

#[test]
fn opening_can_be_aborted_at_any_time() {
    let home = public_folder();
    let home = home.path();
    // Another command holds the lock.
    let gate = fs::OpenOptions::new().create(true).append(true).open(home.join("cluster.gate.lock")).unwrap();
    gate.lock().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| Cluster::open(home, None, &stop));
        std::thread::sleep(Duration::from_millis(100));
        assert!(!opening.is_finished());
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(opening.join().unwrap(), Err(Error::Stopped)));
    });
    gate.unlock().unwrap();
    // While initdb runs.
    stop.store(false, Ordering::Relaxed);
    let is_initializing = || {
        fs::read_dir(home.join("cluster")).is_ok_and(|mut entries| {
            entries.any(|entry| entry.unwrap().file_name().to_str().unwrap().starts_with("making-"))
        })
    };
    std::thread::scope(|scope| {
        let opening = scope.spawn(|| Cluster::open(home, None, &stop));
        while !is_initializing() {
            assert!(!opening.is_finished());
            std::thread::sleep(Duration::from_millis(5));
        }
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(opening.join().unwrap(), Err(Error::Stopped)));
    });
    assert!(!is_initializing(), "the unfinished data is removed");
    assert!(is_reachable(&Cluster::open(home, None, &NEVER_STOP).unwrap()));
}

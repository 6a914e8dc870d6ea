//! Shared fixtures: a home folder, a trained model, a running server.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A temporary folder with its own private cluster.
pub struct Home {
    folder: TempDir,
}

impl Home {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command to be run in this folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probeg"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PROBEG_HOME", self.path("home"))
            .env_remove("DATABASE_URL")
            .env_remove("RUST_LOG");
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command that must succeed and returns its standard output.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a command that must fail with this exit code and returns its standard error.
    pub fn fails(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert!(!error.contains("panicked"), "{error}");
        error
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

/// A configuration that trains in seconds in a debug build.
pub const SMALL: [&str; 9] = [
    "--set=epochs=4",
    "--set=k=2",
    "--set=d_block=32",
    "--set=d_embedding=8",
    "--set=n_bins=12",
    "--set=d_numeric=6",
    "--set=learning_rate=0.01",
    "--set=ema=0.9",
    "--set=n_blocks=1",
];

/// A home with a trained champion, shared by all tests that do not modify it.
pub fn trained() -> &'static Home {
    static TRAINED: OnceLock<Home> = OnceLock::new();
    TRAINED.get_or_init(|| {
        let home = Home::new();
        home.ok(&["synth", "--rows", "4000"]);
        home.ok(&[&["train", "--promote"], SMALL.as_slice()].concat());
        home
    })
}

/// A server on a free port, stopped on drop.
pub struct Server {
    process: Child,
    pub address: String,
}

impl Server {
    pub fn start(home: &Home) -> Self {
        let mut command = home.command(&["serve", "--bind", "127.0.0.1:0"]);
        let server = Self::from_process(command.stdout(Stdio::piped()).spawn().unwrap());
        server.wait_until_ready();
        server
    }

    /// Wraps a server process with piped output, without waiting until it is ready.
    pub fn from_process(mut process: Child) -> Self {
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        // Other messages of the command come first.
        let first = lines.by_ref().map(Result::unwrap).find(|line| line.contains("http://")).unwrap();
        let address = first.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        // Keep reading, or the process would block.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Peak resident memory in bytes.
    pub fn peak_memory(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// Requests a stop without waiting for it.
    pub fn request_stop(&self) {
        let status = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(status.is_ok());
    }

    /// Waits until the server has stopped after [`Self::request_stop`].
    pub fn wait_until_exit(&mut self) {
        assert!(self.process.wait().unwrap().success());
    }

    /// Waits until the server has stopped and returns its exit code.
    pub fn wait(mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    pub fn wait_until_ready(&self) {
        for _ in 0..300 {
            if block_on(async { Ok::<_, reqwest::Error>(reqwest::get(self.url("/health/ready")).await?.status()) })
                .is_ok_and(|status| status.is_success())
            {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("the server on {} never became ready", self.address);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have exited already.
        if matches!(self.process.try_wait(), Ok(None)) {
            self.request_stop();
            let _ = self.process.wait();
        }
    }
}

/// A server shared by all tests that do not modify it.
pub fn server() -> Arc<Server> {
    static SERVER: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SERVER.lock().unwrap();
    shared.upgrade().unwrap_or_else(|| {
        let server = Arc::new(Server::start(trained()));
        *shared = Arc::downgrade(&server);
        server
    })
}

/// Waits until a condition holds, for at most two minutes.
pub fn wait_until(condition: &str, mut is_met: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_met() {
        assert!(started.elapsed() < Duration::from_mins(2), "timed out waiting until {condition}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a run has trained for some epochs.
pub fn wait_for_epochs(home: &Home, run: &str, epochs: usize) {
    wait_until(&format!("run {run} has {epochs} epochs"), || {
        let output = home.run(&["runs", "show", run, "--json"]);
        let run: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        run["epochs"].as_array().is_some_and(|recorded| recorded.len() >= epochs)
    });
}

/// The process id of the private server.
pub fn postmaster(home: &Home) -> String {
    running_postmaster(home).expect("the private server must be running")
}

/// The same; `None` before it has written its process id.
fn running_postmaster(home: &Home) -> Option<String> {
    let pid = std::fs::read_to_string(data_directory(home).join("postmaster.pid")).ok()?;
    pid.lines().next().map(str::to_owned)
}

fn data_directory(home: &Home) -> PathBuf {
    match std::fs::read_to_string(home.path("home/cluster.location")) {
        Ok(location) => PathBuf::from(location.trim()).join("data"),
        Err(_) => home.path("home/cluster/data"),
    }
}

/// The backend processes of the private server whose titles contain one of these states.
pub fn backends(home: &Home, states: &[&str]) -> Vec<String> {
    let Some(postmaster) = running_postmaster(home) else { return Vec::new() };
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| {
        let read = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let parent =
            read("status").lines().find_map(|line| line.strip_prefix("PPid:").map(|pid| pid.trim().to_owned()));
        let title = read("cmdline");
        parent.as_deref() == Some(postmaster.as_str()) && states.iter().any(|state| title.contains(state))
    })
    .collect()
}

pub fn signal(signal: &str, pid: &str) {
    assert!(Command::new("kill").args([signal, pid]).status().unwrap().success());
}

pub fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A listing whose values the trained model knows.
pub fn rio() -> serde_json::Value {
    serde_json::json!({
        "brand": "Kia", "model": "Rio", "year": 2018, "mileage": 83000, "body_type": "седан", "fuel_type": "Бензин",
        "engine_volume": 1.6, "engine_power": 123, "transmission": "АКПП", "drive": "передний",
        "listing_date": "2026-03-17",
    })
}

/// The Python with onnxruntime that `make test` sets up.
#[expect(clippy::disallowed_methods, reason = "a variable of the tests")]
pub fn python() -> PathBuf {
    let path = std::env::var_os("PROBEG_TEST_PYTHON").map(PathBuf::from).filter(|path| path.exists());
    path.expect("PROBEG_TEST_PYTHON must be a Python with onnxruntime; `make test` sets one up")
}

pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration").join(name)
}

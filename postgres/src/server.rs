//! Initializing, starting, adopting and stopping the server.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::Signal;

use crate::account::Account;
use crate::error::{Error, Result};
use crate::layout::{Layout, PORT};
use crate::nofollow;
use crate::process::{self, last_lines, pause, terminate};
use crate::programs::Programs;

/// The role that owns everything in the cluster.
pub(crate) const SUPERUSER: &str = "probeg";

/// A large database may take minutes to recover from a crash.
const START_TIMEOUT: Duration = Duration::from_mins(10);
/// How long orphaned backends of a killed server may hold its shared memory.
const ORPHAN_TIMEOUT: Duration = Duration::from_secs(30);
/// A starting server writes its `postmaster.pid` within this time.
const PID_FILE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an interrupted `initdb` may take to exit before it is killed; its output is removed anyway.
const INITDB_STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a server that has just been started may take to shut down before it is killed.
const SERVER_STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// A larger log is deleted before the server starts.
const MAX_LOG_BYTES: u64 = 10 * 1024 * 1024;
/// Prefix of a data directory that `initdb` is still writing.
const UNFINISHED_PREFIX: &str = "making-";

/// Settings for bulk loads on a machine shared with training.
const SETTINGS: [&str; 6] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "shared_buffers=128MB",
    "max_wal_size=2GB",
    "max_connections=50",
    // JIT compilation takes longer than running our statements.
    "jit=off",
];

#[derive(Debug)]
pub(crate) struct Server {
    layout: Layout,
    programs: Programs,
    account: Account,
    /// The server process, if this process started it.
    child: Option<Child>,
}

/// A running server, as described by `postmaster.pid`.
struct Postmaster {
    pid: u32,
    is_ready: bool,
}

enum StartOutcome {
    Ready(Child),
    /// The server exited immediately; these are the last lines of its log.
    Exited(String),
}

impl Server {
    pub(crate) fn new(layout: Layout, programs: Programs, account: Account) -> Self {
        Self { layout, programs, account, child: None }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.layout.directory
    }

    pub(crate) fn socket_directory(&self) -> &str {
        &self.layout.socket
    }

    /// Initializes the data directory if there is none, then starts the server or adopts a running one. The caller must
    /// hold the exclusive lock.
    pub(crate) fn ensure_running(&mut self, stop: &AtomicBool) -> Result<()> {
        if !self.layout.data.exists() {
            self.initialize_data(stop)?;
        }
        let started = Instant::now();
        loop {
            match self.postmaster()? {
                Some(postmaster) if postmaster.is_ready => return Ok(()),
                // Starting, recovering or stopping after its process was killed: soon ready or gone.
                Some(_) if started.elapsed() < START_TIMEOUT => {}
                Some(_) => return Err(self.start_error(log_tail(&self.layout.log, 0))),
                None => match self.start_server(stop)? {
                    StartOutcome::Ready(child) => {
                        self.child = Some(child);
                        return Ok(());
                    }
                    StartOutcome::Exited(log_tail) if is_transient(&log_tail) && started.elapsed() < ORPHAN_TIMEOUT => {
                    }
                    StartOutcome::Exited(log_tail) => return Err(self.start_error(log_tail)),
                },
            }
            pause(stop)?;
        }
    }

    /// Stops the server, whichever process started it. The caller must hold the exclusive lock and be the only user.
    pub(crate) fn stop(&mut self) -> Result<()> {
        let stopped = match self.postmaster()? {
            Some(_) => self.pg_ctl_stop("fast").or_else(|_| self.pg_ctl_stop("immediate")),
            None => Ok(()),
        };
        if let Some(mut child) = self.child.take()
            && stopped.is_ok()
        {
            child.wait().map_err(Error::file("wait for the server of", &self.layout.data))?;
        }
        stopped
    }

    fn pg_ctl_stop(&self, mode: &str) -> Result<()> {
        let mut command = self.command("pg_ctl");
        command.args(["stop", "-w", "-t", "60", "-m", mode, "-D"]).arg(&self.layout.data);
        process::run_program("pg_ctl", &mut command)
    }

    /// Runs `initdb` in a temporary directory, which is renamed once it is complete.
    fn initialize_data(&self, stop: &AtomicBool) -> Result<()> {
        self.remove_unfinished();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let unfinished = self.layout.directory.join(format!("{UNFINISHED_PREFIX}{}-{now}", std::process::id()));
        let mut command = self.command("initdb");
        command.args(["--encoding=UTF8", "--locale=C", "--auth=trust", "--username", SUPERUSER, "-D"]).arg(&unfinished);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|cause| process::not_run("initdb", &cause))?;
        while child.try_wait().map_err(|cause| process::not_run("initdb", &cause))?.is_none() {
            pause(stop).inspect_err(|_| {
                terminate(&mut child, Signal::TERM, INITDB_STOP_TIMEOUT);
                self.remove_unfinished();
            })?;
        }
        // Its output fits into the pipe buffer.
        process::check_output("initdb", child.wait_with_output())?;
        fs::rename(&unfinished, &self.layout.data).map_err(Error::file("rename", &unfinished))
    }

    /// Removes leftovers of interrupted `initdb` runs. An orphaned one may still be writing, so errors are ignored: the
    /// next start tries again.
    fn remove_unfinished(&self) {
        for entry in fs::read_dir(&self.layout.directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED_PREFIX) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn start_server(&self, stop: &AtomicBool) -> Result<StartOutcome> {
        let log = self.open_log()?;
        let log_start = log.metadata().map_err(Error::file("examine", &self.layout.log))?.len();
        let errors = log.try_clone().map_err(Error::file("open", &self.layout.log))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(&self.layout.data).arg("-k").arg(&self.layout.socket).arg("-p").arg(PORT.to_string());
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        command.stdout(log).stderr(errors);
        let mut child = command.spawn().map_err(|cause| process::not_run("postgres", &cause))?;
        let started = Instant::now();
        while started.elapsed() < START_TIMEOUT {
            if self.postmaster()?.is_some_and(|postmaster| postmaster.pid == child.id() && postmaster.is_ready) {
                return Ok(StartOutcome::Ready(child));
            }
            if child.try_wait().map_err(Error::file("wait for the server of", &self.layout.data))?.is_some() {
                return Ok(StartOutcome::Exited(log_tail(&self.layout.log, log_start)));
            }
            pause(stop).inspect_err(|_| terminate(&mut child, Signal::INT, SERVER_STOP_TIMEOUT))?;
        }
        self.pg_ctl_stop("immediate")?;
        Err(self.start_error(log_tail(&self.layout.log, log_start)))
    }

    /// Opens the log for the server.
    fn open_log(&self) -> Result<File> {
        let path = &self.layout.log;
        let is_too_long = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES);
        if is_too_long {
            fs::remove_file(path).map_err(Error::file("remove", path))?;
        }
        nofollow::open_for_append(path).map_err(Error::file("open", path))
    }

    /// The server of this cluster, if it is running.
    fn postmaster(&self) -> Result<Option<Postmaster>> {
        let path = self.layout.data.join("postmaster.pid");
        let text = match nofollow::read_small(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Error::file("read", &path)(cause)),
        };
        let mut lines = text.lines();
        let Some(pid) = lines.next().and_then(|line| line.trim().parse().ok()) else {
            // Being written, or left by a server that was killed while writing it.
            let age = fs::metadata(&path).and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
            let is_stale = matches!(age, Ok(Ok(age)) if age > PID_FILE_TIMEOUT);
            return if is_stale { self.remove_locks(&path).map(|()| None) } else { Ok(None) };
        };
        let Ok(command_line) = fs::read(format!("/proc/{pid}/cmdline")) else { return Ok(None) };
        let data = self.layout.data.as_os_str().as_encoded_bytes();
        if command_line.split(|byte| *byte == 0).any(|argument| argument == data) {
            let is_ready = lines.nth(6).is_some_and(|status| status.trim() == "ready");
            return Ok(Some(Postmaster { pid, is_ready }));
        }
        // The server died, and its process id now belongs to another process or to a zombie. PostgreSQL would mistake that
        // for a running server and refuse to start. It detects surviving orphans by their shared memory, without these
        // files.
        self.remove_locks(&path).map(|()| None)
    }

    /// Removes the lock files of a dead server, `postmaster.pid` last since it shows that they are stale.
    fn remove_locks(&self, postmaster_pid: &Path) -> Result<()> {
        remove_if_present(&Path::new(&self.layout.socket).join(format!(".s.PGSQL.{PORT}.lock")))?;
        remove_if_present(postmaster_pid)
    }

    /// A command that runs as the server's account, without `PG*` environment variables, and in its own process group, so
    /// that Ctrl-C stops Probeg but not the database.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.path(program));
        command.current_dir("/").stdin(Stdio::null()).process_group(0).env("LC_ALL", "C");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        if self.account.drops_privileges {
            command.uid(self.account.uid).gid(self.account.gid);
        }
        command
    }

    fn start_error(&self, tail: String) -> Error {
        Error::NotStarted { log: self.layout.log.clone(), tail }
    }
}

/// Whether a server exited for a temporary reason: orphans of a killed server still hold its shared memory, or another
/// server is starting.
fn is_transient(log_tail: &str) -> bool {
    log_tail.contains("is still in use") || log_tail.contains("lock file \"postmaster.pid\"")
}

fn remove_if_present(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(Error::file("remove", path)(cause)),
        _ => Ok(()),
    }
}

/// The last lines of a log, starting at an offset.
fn log_tail(log: &Path, start: u64) -> String {
    let mut text = Vec::new();
    let read = nofollow::open_for_read(log).and_then(|mut file| {
        let start = start.max(file.metadata()?.len().saturating_sub(16 * 1024));
        file.seek(SeekFrom::Start(start))?;
        file.read_to_end(&mut text)
    });
    match read {
        Ok(_) => last_lines(&String::from_utf8_lossy(&text)),
        Err(cause) => format!("(cannot be read: {cause})"),
    }
}

//! The server: its data initialized, its process started, adopted and stopped.

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
/// How long the orphans of a killed server may keep its shared memory.
const ORPHANS_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that starts fills in its `postmaster.pid` within this time.
const PID_FILE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an interrupted `initdb` may take to end before it is killed: what it has written is removed anyway.
const INITDB_STOP_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a server that has just been started may take to shut down before it is killed.
const SERVER_STOP_TIMEOUT: Duration = Duration::from_secs(5);
/// A log that has grown larger is started afresh.
const MAX_LOG_BYTES: u64 = 10 * 1024 * 1024;
/// Prefix of a data directory that `initdb` is still writing.
const UNFINISHED: &str = "making-";

/// Settings for bulk loads on a machine that is shared with the training.
const SETTINGS: [&str; 6] = [
    "listen_addresses=",
    "unix_socket_permissions=0700",
    "shared_buffers=128MB",
    "max_wal_size=2GB",
    "max_connections=50",
    // Compiling a statement takes longer than running ours.
    "jit=off",
];

#[derive(Debug)]
pub(crate) struct Server {
    layout: Layout,
    programs: Programs,
    account: Account,
    /// The server's process where this one started it, to be waited for.
    child: Option<Child>,
}

/// A server that is alive, as it describes itself in `postmaster.pid`.
struct Postmaster {
    pid: u32,
    is_ready: bool,
}

enum Launch {
    Ready(Child),
    /// The server ended at once; these are the last lines of its log.
    Ended(String),
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

    /// Initializes the data directory if there is none, then starts the server or adopts the one that runs. The caller
    /// holds the exclusive lock.
    pub(crate) fn ensure_running(&mut self, stop: &AtomicBool) -> Result<()> {
        if !self.layout.data.exists() {
            self.initialize_data(stop)?;
        }
        let started = Instant::now();
        loop {
            match self.postmaster()? {
                Some(postmaster) if postmaster.is_ready => return Ok(()),
                // Starting, recovering or stopping on behalf of a process that was killed: soon ready or gone.
                Some(_) if started.elapsed() < START_TIMEOUT => {}
                Some(_) => return Err(self.not_started(log_tail(&self.layout.log, 0))),
                None => match self.start(stop)? {
                    Launch::Ready(child) => {
                        self.child = Some(child);
                        return Ok(());
                    }
                    Launch::Ended(log_tail) if is_transient(&log_tail) && started.elapsed() < ORPHANS_TIMEOUT => {}
                    Launch::Ended(log_tail) => return Err(self.not_started(log_tail)),
                },
            }
            pause(stop)?;
        }
    }

    /// Stops the server, whoever started it. The caller holds the exclusive lock and is the only user.
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
        process::run("pg_ctl", &mut command)
    }

    /// `initdb` into a directory of its own, which takes its name only when it is complete.
    fn initialize_data(&self, stop: &AtomicBool) -> Result<()> {
        self.remove_unfinished();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let unfinished = self.layout.directory.join(format!("{UNFINISHED}{}-{now}", std::process::id()));
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
        // It prints less than fits into a pipe.
        process::check_output("initdb", child.wait_with_output())?;
        fs::rename(&unfinished, &self.layout.data).map_err(Error::file("rename", &unfinished))
    }

    /// Removes what interrupted `initdb`s left. One that lost its parent may still be writing, so failing is fine: the
    /// next start tries again.
    fn remove_unfinished(&self) {
        for entry in fs::read_dir(&self.layout.directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn start(&self, stop: &AtomicBool) -> Result<Launch> {
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
                return Ok(Launch::Ready(child));
            }
            if child.try_wait().map_err(Error::file("wait for the server of", &self.layout.data))?.is_some() {
                return Ok(Launch::Ended(log_tail(&self.layout.log, log_start)));
            }
            pause(stop).inspect_err(|_| terminate(&mut child, Signal::INT, SERVER_STOP_TIMEOUT))?;
        }
        self.pg_ctl_stop("immediate")?;
        Err(self.not_started(log_tail(&self.layout.log, log_start)))
    }

    /// Opens the log on behalf of the server.
    fn open_log(&self) -> Result<File> {
        let path = &self.layout.log;
        let is_too_long = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.len() > MAX_LOG_BYTES);
        if is_too_long {
            fs::remove_file(path).map_err(Error::file("remove", path))?;
        }
        nofollow::open_to_append(path).map_err(Error::file("open", path))
    }

    /// The server of this cluster, if it is alive.
    fn postmaster(&self) -> Result<Option<Postmaster>> {
        let path = self.layout.data.join("postmaster.pid");
        let text = match nofollow::read_small(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Error::file("read", &path)(cause)),
        };
        let mut lines = text.lines();
        let Some(pid) = lines.next().and_then(|line| line.trim().parse().ok()) else {
            // Just being written, or left by a server that was killed while writing it.
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
        // The server died, and its process id belongs to another process or to a zombie. PostgreSQL would take that for
        // itself and never start; it recognises surviving orphans by their shared memory, without these files.
        self.remove_locks(&path).map(|()| None)
    }

    /// Removes the lock files of a dead server; last the one that shows they are stale.
    fn remove_locks(&self, postmaster_pid: &Path) -> Result<()> {
        remove_if_present(&Path::new(&self.layout.socket).join(format!(".s.PGSQL.{PORT}.lock")))?;
        remove_if_present(postmaster_pid)
    }

    /// A command that runs as the server's account, in a process group of its own (so that Ctrl-C ends Probeg and not
    /// the database under it) and without settings from the environment.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.path(program));
        command.current_dir("/").stdin(Stdio::null()).process_group(0).env("LC_ALL", "C");
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG")) {
            command.env_remove(name);
        }
        if self.account.is_dropped_to {
            command.uid(self.account.uid).gid(self.account.gid);
        }
        command
    }

    fn not_started(&self, tail: String) -> Error {
        Error::NotStarted { log: self.layout.log.clone(), tail }
    }
}

/// Whether a server ended for a reason that goes away by itself: orphans of a killed one still hold its shared memory,
/// or another is just starting on behalf of a process that was killed.
fn is_transient(log_tail: &str) -> bool {
    log_tail.contains("is still in use") || log_tail.contains("lock file \"postmaster.pid\"")
}

fn remove_if_present(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(Error::file("remove", path)(cause)),
        _ => Ok(()),
    }
}

/// The last lines of a log, from a place in it on.
fn log_tail(log: &Path, from: u64) -> String {
    let mut text = Vec::new();
    let read = nofollow::open_to_read(log).and_then(|mut file| {
        let from = from.max(file.metadata()?.len().saturating_sub(16 * 1024));
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut text)
    });
    match read {
        Ok(_) => last_lines(&String::from_utf8_lossy(&text)),
        Err(cause) => format!("(it cannot be read: {cause})"),
    }
}

//! The server process: made, started, found again and stopped.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process_group};

use super::account::Account;
use super::files;
use super::programs::Programs;
use super::site::Site;
use crate::error::{Error, Result};

/// The role that owns everything in the cluster.
pub(super) const SUPERUSER: &str = "probeg";
/// Only names the socket: the server listens on no network.
pub(super) const PORT: u16 = 5432;

/// A large database may take minutes to recover from a crash.
const START_TIMEOUT: Duration = Duration::from_mins(10);
/// How long the orphans of a killed server may keep its shared memory.
const ORPHANS_TIMEOUT: Duration = Duration::from_secs(30);
/// A server that starts fills in its `postmaster.pid` within this time.
const WRITTEN_WITHIN: Duration = Duration::from_secs(5);
/// How long an `initdb` that is interrupted may take to notice: what it has made is removed anyway.
const INITDB_ENDS_WITHIN: Duration = Duration::from_millis(500);
/// How long a server that has just been started may take to shut down.
const SERVER_ENDS_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(20);
const LARGEST_LOG: u64 = 10 * 1024 * 1024;
const TAIL_LINES: usize = 12;
const MAKING: &str = "making-";

/// For bulk loads on a machine that is shared with the training.
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
pub(super) struct Server {
    site: Site,
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
    pub(super) fn new(site: Site, programs: Programs, account: Account) -> Self {
        Self { site, programs, account, child: None }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.site.directory
    }

    pub(super) fn socket_directory(&self) -> &str {
        &self.site.socket
    }

    /// Makes the data directory if there is none, then starts the server or adopts the one that
    /// runs. Only under the exclusive lock.
    pub(super) fn ensure_running(&mut self, stop: &AtomicBool) -> Result<()> {
        if !self.site.data.exists() {
            self.make_data(stop)?;
        }
        let begun = Instant::now();
        loop {
            match self.postmaster()? {
                Some(postmaster) if postmaster.is_ready => return Ok(()),
                // Starting, recovering or stopping on behalf of a process that was killed: soon ready or gone.
                Some(_) if begun.elapsed() < START_TIMEOUT => {}
                Some(_) => return Err(self.not_started(tail(&self.site.log, 0))),
                None => match self.launch(stop)? {
                    Launch::Ready(child) => {
                        self.child = Some(child);
                        return Ok(());
                    }
                    Launch::Ended(tail) if passes(&tail) && begun.elapsed() < ORPHANS_TIMEOUT => {}
                    Launch::Ended(tail) => return Err(self.not_started(tail)),
                },
            }
            pause(stop)?;
        }
    }

    /// Stops the server, whoever started it. Only under the exclusive lock, with no other user.
    pub(super) fn stop(&mut self) -> Result<()> {
        let stopped = match self.postmaster()? {
            Some(_) => self.control_stop("fast").or_else(|_| self.control_stop("immediate")),
            None => Ok(()),
        };
        if let Some(mut child) = self.child.take()
            && stopped.is_ok()
        {
            child.wait().map_err(Error::file("wait for the server of", &self.site.data))?;
        }
        stopped
    }

    fn control_stop(&self, mode: &str) -> Result<()> {
        let mut command = self.command("pg_ctl");
        command.args(["stop", "-w", "-t", "60", "-m", mode, "-D"]).arg(&self.site.data);
        run("pg_ctl", &mut command)
    }

    /// `initdb` into a directory of its own, which takes its name only when it is complete.
    fn make_data(&self, stop: &AtomicBool) -> Result<()> {
        self.remove_unfinished();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        let making = self.site.directory.join(format!("{MAKING}{}-{now}", std::process::id()));
        let mut command = self.command("initdb");
        command.args(["--encoding=UTF8", "--locale=C", "--auth=trust", "--username", SUPERUSER, "-D"]).arg(&making);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|cause| not_run("initdb", &cause))?;
        while child.try_wait().map_err(|cause| not_run("initdb", &cause))?.is_none() {
            pause(stop).inspect_err(|_| {
                interrupt(&mut child, Signal::TERM, INITDB_ENDS_WITHIN);
                self.remove_unfinished();
            })?;
        }
        // It prints less than fits into a pipe.
        check("initdb", child.wait_with_output())?;
        fs::rename(&making, &self.site.data).map_err(Error::file("rename", &making))
    }

    /// Removes what interrupted `initdb`s left. One that lost its parent may still be writing, so
    /// failing is fine: the next start tries again.
    fn remove_unfinished(&self) {
        for entry in fs::read_dir(&self.site.directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(MAKING) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    }

    fn launch(&self, stop: &AtomicBool) -> Result<Launch> {
        let log = self.open_log()?;
        let seen = log.metadata().map_err(Error::file("examine", &self.site.log))?.len();
        let errors = log.try_clone().map_err(Error::file("open", &self.site.log))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(&self.site.data).arg("-k").arg(&self.site.socket).arg("-p").arg(PORT.to_string());
        for setting in SETTINGS {
            command.arg("-c").arg(setting);
        }
        command.stdout(log).stderr(errors);
        let mut child = command.spawn().map_err(|cause| not_run("postgres", &cause))?;
        let begun = Instant::now();
        while begun.elapsed() < START_TIMEOUT {
            if self.postmaster()?.is_some_and(|postmaster| postmaster.pid == child.id() && postmaster.is_ready) {
                return Ok(Launch::Ready(child));
            }
            if child.try_wait().map_err(Error::file("wait for the server of", &self.site.data))?.is_some() {
                return Ok(Launch::Ended(tail(&self.site.log, seen)));
            }
            pause(stop).inspect_err(|_| interrupt(&mut child, Signal::INT, SERVER_ENDS_WITHIN))?;
        }
        self.control_stop("immediate")?;
        Err(self.not_started(tail(&self.site.log, seen)))
    }

    /// Opens the log on behalf of the server.
    fn open_log(&self) -> Result<File> {
        let path = &self.site.log;
        let grown = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.len() > LARGEST_LOG);
        if grown {
            fs::remove_file(path).map_err(Error::file("remove", path))?;
        }
        files::open_to_append(path).map_err(Error::file("open", path))
    }

    /// The server of this cluster, if it is alive.
    fn postmaster(&self) -> Result<Option<Postmaster>> {
        let path = self.site.data.join("postmaster.pid");
        let text = match files::read_small(&path) {
            Ok(text) => text,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Error::file("read", &path)(cause)),
        };
        let mut lines = text.lines();
        let Some(pid) = lines.next().and_then(|line| line.trim().parse().ok()) else {
            // Just being written, or what a server left that was killed at this very moment.
            let age = fs::metadata(&path).and_then(|metadata| metadata.modified()).map(|time| time.elapsed());
            let is_stale = matches!(age, Ok(Ok(age)) if age > WRITTEN_WITHIN);
            return if is_stale { self.remove_locks(&path).map(|()| None) } else { Ok(None) };
        };
        let Ok(command_line) = fs::read(format!("/proc/{pid}/cmdline")) else { return Ok(None) };
        let data = self.site.data.as_os_str().as_encoded_bytes();
        if command_line.split(|byte| *byte == 0).any(|argument| argument == data) {
            let is_ready = lines.nth(6).is_some_and(|status| status.trim() == "ready");
            return Ok(Some(Postmaster { pid, is_ready }));
        }
        // The server died and its number went to another process, or nobody has buried it yet.
        // PostgreSQL would take that for itself and never start; it recognises surviving orphans
        // by their shared memory, without these files.
        self.remove_locks(&path).map(|()| None)
    }

    /// Removes what a dead server left to say that it lives, the file that leads here last.
    fn remove_locks(&self, postmaster_pid: &Path) -> Result<()> {
        remove_if_present(&Path::new(&self.site.socket).join(format!(".s.PGSQL.{PORT}.lock")))?;
        remove_if_present(postmaster_pid)
    }

    /// A command that runs as the server's account, outside the terminal's process group (so that
    /// Ctrl-C ends Probeg and not the database under it) and without settings from the environment.
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
        Error::NotStarted { log: self.site.log.clone(), tail }
    }
}

/// Waits a little.
///
/// # Errors
/// [`Error::Stopped`] once `stop` is set.
pub(super) fn pause(stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(Error::Stopped);
    }
    std::thread::sleep(POLL);
    Ok(())
}

/// Asks a program, and those that it runs, to end, and kills them where that takes too long.
fn interrupt(child: &mut Child, signal: Signal, limit: Duration) {
    // Each program leads a process group of its own.
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let tell = |signal| group.map(|group| kill_process_group(group, signal));
    tell(signal);
    let begun = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if begun.elapsed() > limit {
            tell(Signal::KILL);
        }
        std::thread::sleep(POLL);
    }
}

fn remove_if_present(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(Error::file("remove", path)(cause)),
        _ => Ok(()),
    }
}

/// Whether the reason why a server ended goes away by itself: orphans of a killed one still hold
/// its memory, or another is just starting on behalf of a process that was killed.
fn passes(tail: &str) -> bool {
    tail.contains("is still in use") || tail.contains("lock file \"postmaster.pid\"")
}

fn run(program: &'static str, command: &mut Command) -> Result<()> {
    check(program, command.output())
}

fn check(program: &'static str, output: std::io::Result<Output>) -> Result<()> {
    let output = output.map_err(|cause| not_run(program, &cause))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    Err(Error::Program { program, output: last_lines(&printed) })
}

fn not_run(program: &'static str, cause: &std::io::Error) -> Error {
    Error::Program { program, output: cause.to_string() }
}

/// The last lines of a log, from a place in it on.
fn tail(log: &Path, from: u64) -> String {
    let mut text = Vec::new();
    let read = files::open_to_read(log).and_then(|mut file| {
        let from = from.max(file.metadata()?.len().saturating_sub(16 * 1024));
        file.seek(SeekFrom::Start(from))?;
        file.read_to_end(&mut text)
    });
    match read {
        Ok(_) => last_lines(&String::from_utf8_lossy(&text)),
        Err(cause) => format!("(it cannot be read: {cause})"),
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

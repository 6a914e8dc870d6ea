//! A cluster (a data directory and its server) that all commands of a home share.
//!
//! Each command holds a shared lock on one file. The server is started and stopped under an exclusive lock on a second
//! file, and a command only stops it on exit if no other process holds the first. The kernel releases both locks when a
//! process is killed; the next command then finds the server running and adopts it.

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::account::Account;
use crate::error::{Error, Result};
use crate::layout::{Layout, PORT};
use crate::nofollow;
use crate::process::pause;
use crate::programs::Programs;
use crate::server::{SUPERUSER, Server};

/// What is encoded in the URL: all but letters, digits and these.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// A running cluster. The last instance to be dropped, across all processes, stops the server; a process that exits
/// without dropping it (`std::process::exit`, a signal) leaves the server to the next command.
#[derive(Debug)]
pub struct Cluster {
    server: Server,
    users: File,
    gate: File,
}

impl Cluster {
    /// Opens the cluster in the folder `home`, initializing and starting it if necessary. The PostgreSQL programs are
    /// taken from `pg_bin_dir`, or from the usual locations.
    ///
    /// If this process is root, the server runs as `postgres` or `nobody`. If that user may not enter `home`, the data is
    /// stored under `/var/lib/probeg`, at the path in `home/cluster.location`.
    ///
    /// Blocks for seconds the first time, for tenths of a second later on, and for minutes at worst, when a large database
    /// recovers from a crash. Setting `stop` aborts the start.
    ///
    /// # Errors
    /// No server binaries, unusable folders, a server that does not start (with the last lines of its log), or
    /// [`Error::Stopped`].
    pub fn open(home: &Path, pg_bin_dir: Option<&Path>, stop: &AtomicBool) -> Result<Self> {
        DirBuilder::new().recursive(true).mode(0o755).create(home).map_err(Error::file("create", home))?;
        let home = home.canonicalize().map_err(Error::file("find", home))?;
        let users_path = home.join("cluster.users.lock");
        let users = open_lock(&users_path)?;
        let gate_path = home.join("cluster.gate.lock");
        let gate = open_lock(&gate_path)?;

        lock(&gate, &gate_path, stop)?;
        users.lock_shared().map_err(Error::file("lock", &users_path))?;
        let account = Account::for_server()?;
        let layout = Layout::prepare(&home, account)?;
        let programs = Programs::find(pg_bin_dir, layout.version().as_deref())?;
        let mut server = Server::new(layout, programs, account);
        server.ensure_running(stop)?;
        gate.unlock().map_err(Error::file("unlock", &gate_path))?;
        Ok(Self { server, users, gate })
    }

    /// The URL of the cluster's default database.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// The URL of a database in the cluster.
    #[must_use]
    pub fn url_of(&self, database: &str) -> String {
        format!(
            "postgres://{}@localhost:{}/{}?host={}",
            SUPERUSER,
            PORT,
            utf8_percent_encode(database, ENCODED),
            utf8_percent_encode(self.server.socket_directory(), ENCODED)
        )
    }

    fn release(&mut self) -> Result<()> {
        let home = self.server.directory().to_owned();
        self.gate.lock().map_err(Error::file("lock the cluster in", &home))?;
        self.users.unlock().map_err(Error::file("unlock the cluster in", &home))?;
        let result = match self.users.try_lock() {
            Ok(()) => self.server.stop(),
            Err(TryLockError::WouldBlock) => Ok(()),
            Err(TryLockError::Error(cause)) => Err(Error::file("lock the cluster in", &home)(cause)),
        };
        // Unlock explicitly: a child process that another thread is spawning may hold copies of both files.
        let unlocked = self.users.unlock().and_then(|()| self.gate.unlock());
        result.and(unlocked.map_err(Error::file("unlock the cluster in", &home)))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Err(error) = self.release() {
            tracing::warn!(%error, "The private database could not be stopped; the next command will adopt it.");
        }
    }
}

/// Waits for a lock. Another command holds it while it starts the server.
fn lock(file: &File, path: &Path, stop: &AtomicBool) -> Result<()> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) => pause(stop)?,
            Err(TryLockError::Error(cause)) => return Err(Error::file("lock", path)(cause)),
        }
    }
}

fn open_lock(path: &Path) -> Result<File> {
    nofollow::open_for_append(path).map_err(Error::file("open", path))
}

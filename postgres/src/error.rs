//! What can go wrong with the private server, in words for whoever has to act.

use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with the private server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server binaries were found for the private cluster.
    #[error(
        "no PostgreSQL server was found in {searched}: install one (apt-get install postgresql), \
         or set PG_BIN_DIR to the folder of initdb, or set DATABASE_URL to a running database"
    )]
    NoServer {
        /// The places that were searched.
        searched: String,
    },
    /// Root must not run PostgreSQL, and there is nobody else to run it.
    #[error(
        "PostgreSQL refuses to run as root, and /etc/passwd names neither `postgres` nor `nobody` to run it instead: \
         add one of them, or set DATABASE_URL to a running database"
    )]
    NoAccount,
    /// A directory of the cluster belongs to somebody else.
    #[error(
        "{path} belongs to user {owner}, but the database would run as user {expected}: run probeg as the user who \
         made it, or set PROBEG_HOME to another folder"
    )]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// The user id that the server runs as.
        expected: u32,
    },
    /// The data is where the server's user can no longer reach it.
    #[error(
        "the database in {path} is inside a folder that user {account} may not enter: \
         allow it to (chmod o+x), or set PROBEG_HOME to another folder"
    )]
    HiddenCluster {
        /// The directory of the cluster.
        path: PathBuf,
        /// The user id that the server runs as.
        account: u32,
    },
    /// A path that cannot be written into a database address.
    #[error("{0} is not valid UTF-8: set PROBEG_HOME to another folder")]
    PathNotText(PathBuf),
    /// A file or directory could not be used.
    #[error("cannot {action} {path}: {cause}")]
    File {
        /// What was tried.
        action: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        cause: std::io::Error,
    },
    /// A program of the server failed.
    #[error("{program} failed: {output}")]
    Program {
        /// The program.
        program: &'static str,
        /// What it printed, or why it could not be run.
        output: String,
    },
    /// The private cluster did not start.
    #[error("PostgreSQL did not start; its log {log} ends with:\n{tail}")]
    NotStarted {
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// Whoever waited for the private cluster was asked to stop.
    #[error("stopped on request")]
    Stopped,
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::File { action, path: path.to_owned(), cause }
    }
}

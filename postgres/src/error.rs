//! Errors of the private server, worded for the user.

use std::path::{Path, PathBuf};

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the private server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server binaries were found.
    #[error(
        "no PostgreSQL server was found in {searched}: install one (apt-get install postgresql), \
         or set PG_BIN_DIR to the folder of initdb, or set DATABASE_URL to a running database"
    )]
    NoServer {
        /// The locations searched.
        searched: String,
    },
    /// PostgreSQL refuses to run as root, and there is no other account.
    #[error(
        "PostgreSQL refuses to run as root, and /etc/passwd has neither a `postgres` nor a `nobody` user: \
         add one of them, or set DATABASE_URL to a running database"
    )]
    NoAccount,
    /// A directory of the cluster belongs to another user.
    #[error(
        "{path} belongs to user {owner}, but the database would run as user {expected}: run probeg as the user who \
         created it, or set PROBEG_HOME to another folder"
    )]
    ForeignDirectory {
        /// The directory.
        path: PathBuf,
        /// The user id of its owner.
        owner: u32,
        /// The user id that the server runs as.
        expected: u32,
    },
    /// The server's user can no longer access the data.
    #[error(
        "the database in {path} is in a folder that user {account} cannot access: \
         grant access (chmod o+x), or set PROBEG_HOME to another folder"
    )]
    HiddenCluster {
        /// The directory of the cluster.
        path: PathBuf,
        /// The user id that the server runs as.
        account: u32,
    },
    /// A path that cannot be part of a database URL.
    #[error("{0} is not valid UTF-8: set PROBEG_HOME to another folder")]
    PathNotText(PathBuf),
    /// A file operation failed.
    #[error("cannot {action} {path}: {cause}")]
    File {
        /// The operation.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
    /// A PostgreSQL program failed.
    #[error("{program} failed: {output}")]
    Program {
        /// The program.
        program: &'static str,
        /// Its output, or why it could not be run.
        output: String,
    },
    /// The private server did not start.
    #[error("PostgreSQL did not start; its log {log} ends with:\n{tail}")]
    NotStarted {
        /// The log file.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },
    /// Stopped on request.
    #[error("stopped on request")]
    Stopped,
}

impl Error {
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::File { action, path: path.to_owned(), cause }
    }
}

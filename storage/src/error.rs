//! Errors of storage, worded for whoever has to act on them.

use std::path::{Path, PathBuf};

use crate::copy::Malformed;

/// The result of storage's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of storage. No message ever contains a password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
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
    /// `DATABASE_URL` cannot be read.
    #[error("DATABASE_URL is not an address such as postgres://user:password@host:5432/database: {0}")]
    Address(sqlx::Error),
    /// Nothing answers at the address.
    #[error("the database at {place} did not answer: {cause}; is it running? check DATABASE_URL")]
    Unreachable {
        /// Host or socket, and database name.
        place: String,
        /// What the client saw.
        cause: String,
    },
    /// The database refused the connection.
    #[error("the database at {place} refused the connection: {cause}; check DATABASE_URL")]
    Refused {
        /// Host or socket, and database name.
        place: String,
        /// The server's message.
        cause: sqlx::Error,
    },
    /// The tables could not be brought up to date.
    #[error("the migrations could not be applied: {0}")]
    Migration(Box<sqlx::migrate::MigrateError>),
    /// The tables were changed by a program that is newer than this one.
    #[error(
        "the database belongs to a newer version of probeg: it is at migration {applied}, and this program knows migrations \
         up to {known}; use the newer version"
    )]
    NewerDatabase {
        /// The newest migration of the database.
        applied: i64,
        /// The newest migration of this program.
        known: i64,
    },
    /// A statement failed, or the connection broke.
    #[error("the database failed: {0}")]
    Database(#[from] sqlx::Error),
    /// The stream of rows is not what PostgreSQL documents.
    #[error("the database sent rows that cannot be read: {0}")]
    Malformed(#[from] Malformed),
    /// A snapshot was used after one of its reads failed or was cancelled.
    #[error("this snapshot of the listings ended with a read that failed or was cancelled: take another")]
    SnapshotOver,
    /// The database stayed unavailable for too long.
    #[error("the database did not come back within {seconds} seconds: {cause}")]
    StillAway {
        /// How long it was waited for.
        seconds: u64,
        /// The last failure.
        cause: Box<Error>,
    },
    /// The table was rewritten since the snapshot was taken.
    #[error(
        "the table of listings was rewritten (by another version of Probeg, VACUUM FULL, CLUSTER or a restored dump) \
         since the snapshot was taken, so its rows or their order are lost: start another run"
    )]
    ListingsMoved,
    /// A spool cannot be read or written.
    #[error("the spool {path} cannot be read or written: {cause}")]
    Spool {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: arrow2::error::Error,
    },
    /// A spool was corrupted on disk.
    #[error(
        "the spool {path} was damaged on the disk: it no longer contains what was written; check the disk, and resume the run, \
         which writes another"
    )]
    DamagedSpool {
        /// The file.
        path: PathBuf,
    },
    /// The run does not exist.
    #[error("there is no run {0}: see `probeg runs list`")]
    NoRun(i64),
    /// The model version does not exist.
    #[error("there is no model version {0}: see `probeg models list`")]
    NoModel(i64),
    /// A stored model differs from what was registered.
    #[error(
        "model version {0} is damaged: its bytes no longer have the SHA-256 of its registration; promote another version"
    )]
    DamagedModel(i64),
    /// A model file that is larger than the registry takes.
    #[error("the model file has {size} bytes; at most {limit} are accepted")]
    ModelTooLarge {
        /// Its size in bytes.
        size: u64,
        /// The largest size in bytes.
        limit: u64,
    },
    /// No version served before the present one.
    #[error("there is nothing to roll back to: no version was champion before the current one")]
    NoEarlierChampion,
}

impl Error {
    /// Whether the database is unavailable or overloaded, so that a retry may succeed.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Database(error) | Self::Refused { cause: error, .. } => match error {
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Tls(_) => true,
                // 57P: the server is starting or stopping; class 53: it is out of connections or memory.
                sqlx::Error::Database(error) => {
                    error.code().is_some_and(|code| code.starts_with("57P") || code.starts_with("53"))
                }
                _ => false,
            },
            _ => false,
        }
    }

    /// The database did not answer in time.
    pub(crate) fn silence(waited: std::time::Duration) -> Self {
        let cause =
            std::io::Error::new(std::io::ErrorKind::TimedOut, format!("no answer within {} seconds", waited.as_secs()));
        Self::Database(cause.into())
    }

    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |cause| Self::File { action, path: path.to_owned(), cause }
    }
}

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Self::Migration(Box::new(error))
    }
}

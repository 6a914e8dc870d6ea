//! Storage errors, with advice.

use std::path::{Path, PathBuf};

use crate::copy::Malformed;

/// The result of storage operations.
pub type Result<T> = std::result::Result<T, Error>;

/// A storage error. No message contains a password.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or directory could not be used.
    #[error("cannot {action} {path}: {cause}{}", files::advice_on(cause))]
    File {
        /// The operation.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        cause: std::io::Error,
    },
    /// `DATABASE_URL` is invalid.
    #[error("DATABASE_URL is not a URL such as postgres://user:password@host:5432/database: {0}")]
    Address(sqlx::Error),
    /// The database is unavailable.
    #[error("the database at {address} is unavailable: {cause}; is it running? check DATABASE_URL")]
    Unreachable {
        /// The host or socket and the database name.
        address: String,
        /// The cause.
        cause: String,
    },
    /// The database refused the connection.
    #[error("the database at {address} refused the connection: {cause}; check DATABASE_URL")]
    Refused {
        /// The host or socket and the database name.
        address: String,
        /// The server's message.
        cause: sqlx::Error,
    },
    /// The migrations could not be applied.
    #[error("the migrations could not be applied: {0}")]
    Migration(Box<sqlx::migrate::MigrateError>),
    /// The database was migrated by a newer version.
    #[error(
        "the database belongs to a newer version of Probeg: it is at migration {applied}, but this version only knows migrations \
         up to {known}; use the newer version"
    )]
    NewerDatabase {
        /// The newest migration of the database.
        applied: i64,
        /// The newest migration of this version.
        known: i64,
    },
    /// A query failed, or the connection was lost.
    #[error("database error: {0}")]
    Database(#[from] sqlx::Error),
    /// A stream of rows is malformed.
    #[error("the database sent malformed rows: {0}")]
    Malformed(#[from] Malformed),
    /// A snapshot was used after one of its reads failed or was cancelled.
    #[error("this snapshot of the listings ended with a failed or cancelled read; create a new one")]
    SnapshotEnded,
    /// The database remained unavailable.
    #[error("the database remained unavailable for {seconds} seconds: {cause}")]
    UnavailableTooLong {
        /// The time limit for retries.
        seconds: u64,
        /// The last failure.
        cause: Box<Error>,
    },
    /// The table was rewritten since the snapshot was created.
    #[error(
        "the table of listings was rewritten (by another version of Probeg, VACUUM FULL, CLUSTER or a restored dump) \
         since the snapshot was created, so its rows or their order are lost; start a new run"
    )]
    ListingsMoved,
    /// A spool cannot be read or written.
    #[error("the spool {path} cannot be read or written: {cause}")]
    Spool {
        /// The file.
        path: PathBuf,
        /// The cause.
        cause: arrow2::error::Error,
    },
    /// A spool was corrupted on disk.
    #[error(
        "the spool {path} is damaged: a checksum does not match; check the disk and resume the run, which will write the spool \
         again"
    )]
    DamagedSpool {
        /// The file.
        path: PathBuf,
    },
    /// The run does not exist.
    #[error("there is no run {0}; see `probeg runs list`")]
    NoRun(i64),
    /// Another process has taken over a part of a run.
    #[error(
        "another process has taken over this part of run {0}, since this one did not renew its lease in time; its result is discarded"
    )]
    LeaseLost(i64),
    /// The sweep does not exist.
    #[error("there is no sweep {0:?}; see `probeg sweep list`")]
    NoSweep(String),
    /// The model version does not exist.
    #[error("there is no model version {0}; see `probeg models list`")]
    NoModel(i64),
    /// A stored model does not match its checksum.
    #[error("model version {0} is damaged: its SHA-256 checksum does not match; promote another version")]
    DamagedModel(i64),
    /// A model file exceeds the size limit.
    #[error("the model file has {size} bytes; at most {limit} are accepted")]
    ModelTooLarge {
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// There is no such market.
    #[error("there is no market {0:?}; see `probeg markets list`")]
    NoMarket(String),
    /// A stored market cannot be used.
    #[error("the market {name:?} cannot be used: {cause}; correct it with `probeg markets add`")]
    Market {
        /// Its name.
        name: String,
        /// What is wrong.
        cause: domain::market::MarketError,
    },
    /// A built-in market cannot be replaced.
    #[error("the market {0:?} is built in and cannot be replaced; choose another name")]
    BuiltInMarket(String),
    /// The listings of a market are in its units.
    #[error("the market {0:?} exists with another currency or unit of distance; choose another name")]
    MarketUnits(String),
    /// There is no such task.
    #[error("there is no task {name:?}; there are {known}")]
    NoTask {
        /// The requested name.
        name: String,
        /// The names of all tasks.
        known: String,
    },
    /// A stored task cannot be used.
    #[error("the task {name:?} cannot be used: {cause}")]
    Task {
        /// Its name.
        name: String,
        /// What is wrong.
        cause: domain::task::TaskError,
    },
    /// A table of prices cannot have this name.
    #[error(
        "{name:?} is not a name for a table; use letters, digits and _, at most {longest} bytes, if need be after a schema and a dot"
    )]
    TableName {
        /// The name.
        name: String,
        /// The longest name in bytes.
        longest: usize,
    },
    /// A table of prices exists.
    #[error("the table {0} exists; choose another name, or let it be replaced with --replace")]
    TableExists(String),
    /// Another process makes the table of prices.
    #[error("another process is valuing cars into the table {0}; wait for it or choose another name")]
    TableIsBeingMade(String),
    /// PostgreSQL did not permit a step on the way to a table of prices.
    #[error(
        "the database does not permit the table {table}: {cause}; the user needs SELECT on what the query reads and CREATE on the \
         schema of the table"
    )]
    TableForbidden {
        /// The table.
        table: String,
        /// The server's message.
        cause: String,
    },
    /// Something depends on the table to replace.
    #[error("the table {table} cannot be replaced: {cause}; choose another name, or drop what depends on it")]
    TableIsUsed {
        /// The table.
        table: String,
        /// The server's message.
        cause: String,
    },
    /// The query for cars failed.
    #[error("the query failed: {0}; nothing was written")]
    CarQuery(String),
    /// The query for cars has a column that the result needs.
    #[error(
        "the query has a column {0}, which is the name of a column of the result; rename it with AS, or leave it out"
    )]
    ReservedColumn(String),
    /// The query for cars lacks a key.
    #[error("the query has no column {key:?} for --key; its columns are {columns}")]
    NoKeyColumn {
        /// The key.
        key: String,
        /// The columns of the query.
        columns: String,
    },
    /// The columns of --key identify no cars.
    #[error("the columns of --key do not identify each car: {0}; nothing was written")]
    NotAKey(String),
    /// There are no cars to value.
    #[error("no cars are kept for the table {0}; `probeg predict --query` keeps them until all are valued")]
    NoCars(String),
    /// Some cars were not valued.
    #[error("{missing} cars of the table {table} were not valued; repeat the command")]
    CarsAreMissing {
        /// The table.
        table: String,
        /// Their number.
        missing: i64,
    },
    /// There is no earlier champion.
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

    /// Whether a statement took longer than its limit.
    #[must_use]
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Database(sqlx::Error::Database(error)) if error.code().as_deref() == Some("57014"))
    }

    /// The database did not respond in time.
    pub(crate) fn no_response(limit: std::time::Duration) -> Self {
        let cause = std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no response within {} seconds", limit.as_secs()),
        );
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

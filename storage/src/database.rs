//! The database client: a pool of connections, migrations, and locks between processes.

use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::error::{Error, Result};
use crate::listings::Listings;
use crate::models::Models;
use crate::runs::Runs;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// How long a connection may take to open.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request waits for a free connection before it fails.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A handle on the database; clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    place: Arc<str>,
}

/// Work that only one process does at a time, guarded by an advisory lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Looking for a model, and training the first one where there is none.
    Training,
}

/// A lock that is held. Dropping it releases the lock, as does the end of the process.
#[derive(Debug)]
#[must_use = "the lock is given back when this is dropped"]
pub struct Guard {
    connection: PgConnection,
}

impl Database {
    /// Connects and brings the tables up to date. At most `max_connections` are kept open; imports,
    /// snapshots and locks use one more each.
    ///
    /// # Errors
    /// The address cannot be parsed, the database does not answer or refuses the connection, or a migration fails.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self> {
        let database = Self::connect_lazy(url, max_connections)?;
        database.migrate().await?;
        Ok(database)
    }

    /// Prepares connections without opening one, for a server that must start while the database is unavailable. Does not
    /// migrate: see [`Database::migrate`].
    ///
    /// # Errors
    /// The address cannot be parsed.
    pub fn connect_lazy(url: &str, max_connections: u32) -> Result<Self> {
        let options: PgConnectOptions = url.parse().map_err(Error::Address)?;
        let options = options.application_name("probeg");
        let place = describe(&options).into();
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Ok(Self { pool, place })
    }

    /// Applies the migrations. Processes that do so at the same time wait for one another.
    ///
    /// # Errors
    /// The database does not answer or refuses the connection, a migration fails, or [`Error::NewerDatabase`].
    pub async fn migrate(&self) -> Result<()> {
        let mut connection = self.own_connection().await?;
        let migrated = MIGRATIONS.run_direct(None, &mut connection, false).await;
        let known = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
        if let Err(MigrateError::VersionMissing(applied)) = migrated
            && applied > known
        {
            let query = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations");
            let applied = query.fetch_one(&mut connection).await?;
            return Err(Error::NewerDatabase { applied, known });
        }
        migrated?;
        connection.close().await?;
        Ok(())
    }

    /// Checks that the database answers.
    ///
    /// # Errors
    /// The database does not answer within a few seconds.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Waits for a lock, however long that takes.
    ///
    /// # Errors
    /// The database does not answer, or the connection breaks while waiting.
    pub async fn lock(&self, lock: Lock) -> Result<Guard> {
        let mut connection = self.own_connection().await?;
        sqlx::query("SELECT pg_advisory_lock($1)").bind(lock.key()).execute(&mut connection).await?;
        Ok(Guard { connection })
    }

    /// Acquires a lock if no one holds it.
    ///
    /// # Errors
    /// The database does not answer, or the connection breaks.
    pub async fn try_lock(&self, lock: Lock) -> Result<Option<Guard>> {
        let mut connection = self.own_connection().await?;
        let query = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(lock.key());
        let is_taken: bool = query.fetch_one(&mut connection).await?;
        Ok(is_taken.then_some(Guard { connection }))
    }

    /// Closes the connections of all clones once those in use are returned.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// The listings.
    #[must_use]
    pub fn listings(&self) -> Listings {
        Listings::new(self.pool.clone())
    }

    /// The runs.
    #[must_use]
    pub fn runs(&self) -> Runs {
        Runs::new(self.pool.clone())
    }

    /// The model registry.
    #[must_use]
    pub fn models(&self) -> Models {
        Models::new(self.pool.clone())
    }

    /// A connection outside the pool. The server ends whatever it was doing when it is dropped.
    pub(crate) async fn own_connection(&self) -> Result<PgConnection> {
        // Waiting for a lock and reading millions of rows are slow by nature and need no warning.
        let options = PgConnectOptions::clone(&self.pool.connect_options()).disable_statement_logging();
        match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(cause @ sqlx::Error::Database(_))) => Err(Error::Refused { place: self.place.to_string(), cause }),
            Ok(Err(cause)) => Err(self.unreachable(cause.to_string())),
            Err(_) => Err(self.unreachable(format!("no answer within {} seconds", CONNECT_TIMEOUT.as_secs()))),
        }
    }

    fn unreachable(&self, cause: String) -> Error {
        Error::Unreachable { place: self.place.to_string(), cause }
    }
}

impl Lock {
    /// An arbitrary number, the same in every version.
    fn key(self) -> i64 {
        match self {
            Self::Training => 0x7072_6f62_6567_0001,
        }
    }
}

impl Guard {
    /// Releases the lock and waits until that is done.
    ///
    /// # Errors
    /// The connection broke; the lock is released all the same.
    pub async fn release(mut self) -> Result<()> {
        // The server may notice later that the connection is closed.
        sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut self.connection).await?;
        self.connection.close().await?;
        Ok(())
    }
}

/// Where the database is, without user and password.
fn describe(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or(options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{}/{database}", socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_names_no_user_and_no_password() {
        let options: PgConnectOptions = "postgres://ann:secret@db.example:5433/cars".parse().unwrap();
        assert_eq!(describe(&options), "db.example:5433/cars");
    }

    #[tokio::test]
    async fn an_absent_database_is_reported_without_its_password() {
        let error = Database::connect("postgres://ann:secret@127.0.0.1:1/cars", 1).await.unwrap_err();
        assert!(error.is_unavailable());
        let message = error.to_string();
        assert!(message.starts_with("the database at 127.0.0.1:1/cars did not answer: "), "{message}");
        assert!(message.ends_with("is it running? check DATABASE_URL"), "{message}");
        assert!(!message.contains("secret"), "{message}");
        let error = Database::connect("postgres://ann:secret@:nonsense", 1).await.unwrap_err();
        assert!(matches!(error, Error::Address(_)) && !error.to_string().contains("secret"), "{error}");
    }
}

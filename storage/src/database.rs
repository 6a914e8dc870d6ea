//! The database client: a pool of connections, migrations, and locks between processes.

use std::sync::Arc;
use std::time::Duration;

use domain::Market;
use sqlx::migrate::MigrateError;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::error::{Error, Result};
use crate::listings::Listings;
use crate::markets::{Markets, schema};
use crate::models::Models;
use crate::run_parts::RunParts;
use crate::runs::Runs;
use crate::sweeps::Sweeps;
use crate::tasks::Tasks;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");

/// The time limit for opening a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The time limit for acquiring a connection from the pool.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// A handle to the database and the listings of one market; clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    pool: PgPool,
    address: Arc<str>,
    market: Market,
}

/// An advisory lock, for work that only one process does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Training the first model if there is none.
    Training,
    /// Creating a run or a model version on an MLflow server, unless it exists there.
    Publishing,
}

/// A lock that is held until this is dropped or the process ends.
#[derive(Debug)]
#[must_use = "the lock is released on drop"]
pub struct LockGuard {
    connection: PgConnection,
}

impl Database {
    /// Connects and applies the migrations. The pool has at most `max_connections`; imports, snapshots and locks use one more
    /// each.
    ///
    /// # Errors
    /// The URL is invalid, the database is unavailable or refuses the connection, or a migration fails.
    pub async fn connect(url: &str, max_connections: u32) -> Result<Self> {
        let database = Self::connect_lazy(url, max_connections)?;
        database.migrate().await?;
        Ok(database)
    }

    /// Creates the pool without connecting, for a server that must start while the database is unavailable. Does not apply the
    /// migrations; see [`Database::migrate`].
    ///
    /// # Errors
    /// The URL is invalid.
    pub fn connect_lazy(url: &str, max_connections: u32) -> Result<Self> {
        let options: PgConnectOptions = url.parse().map_err(Error::Address)?;
        let options = options.application_name("probeg");
        let address = describe(&options).into();
        let pool = PgPoolOptions::new()
            .max_connections(max_connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Ok(Self { pool, address, market: Market::russia().clone() })
    }

    /// The market whose listings are read and written; Russia unless chosen by [`Database::in_market`].
    #[must_use]
    pub fn market(&self) -> &Market {
        &self.market
    }

    /// The same database with a pool of connections that find the listings of a market.
    pub(crate) fn with_search_path(&self, market: &Market) -> Self {
        let path = format!("{}, public", schema(market));
        let options = PgConnectOptions::clone(&self.pool.connect_options()).options([("search_path", path)]);
        let pool = PgPoolOptions::new()
            .max_connections(self.pool.options().get_max_connections())
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options);
        Self { pool, address: Arc::clone(&self.address), market: market.clone() }
    }

    /// Applies the migrations. Concurrent processes wait for each other.
    ///
    /// # Errors
    /// The database is unavailable or refuses the connection, a migration fails, or [`Error::NewerDatabase`].
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

    /// Checks that the database responds.
    ///
    /// # Errors
    /// The database does not respond within a few seconds.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// Acquires a lock, waiting indefinitely.
    ///
    /// # Errors
    /// The database is unavailable, or the connection is lost while waiting.
    pub async fn lock(&self, lock: Lock) -> Result<LockGuard> {
        let mut connection = self.own_connection().await?;
        sqlx::query("SELECT pg_advisory_lock($1)").bind(lock.key()).execute(&mut connection).await?;
        Ok(LockGuard { connection })
    }

    /// Acquires a lock if it is free.
    ///
    /// # Errors
    /// The database is unavailable, or the connection is lost.
    pub async fn try_lock(&self, lock: Lock) -> Result<Option<LockGuard>> {
        let mut connection = self.own_connection().await?;
        let query = sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(lock.key());
        let is_acquired: bool = query.fetch_one(&mut connection).await?;
        Ok(is_acquired.then_some(LockGuard { connection }))
    }

    /// Closes the connections of all clones once they are no longer in use.
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

    /// The parts of runs that are split among processes.
    #[must_use]
    pub fn run_parts(&self) -> RunParts {
        RunParts::new(self.pool.clone())
    }

    /// The markets.
    #[must_use]
    pub fn markets(&self) -> Markets {
        Markets::new(self.pool.clone())
    }

    /// The sweeps.
    #[must_use]
    pub fn sweeps(&self) -> Sweeps {
        Sweeps::new(self.pool.clone())
    }

    /// The tasks.
    #[must_use]
    pub fn tasks(&self) -> Tasks {
        Tasks::new(self.pool.clone())
    }

    /// The model registry.
    #[must_use]
    pub fn models(&self) -> Models {
        Models::new(self.pool.clone())
    }

    /// A connection outside the pool. Dropping it cancels its transaction.
    pub(crate) async fn own_connection(&self) -> Result<PgConnection> {
        // Waiting for a lock and reading millions of rows are slow anyway, so slow statements are not logged.
        let options = PgConnectOptions::clone(&self.pool.connect_options()).disable_statement_logging();
        match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(cause @ sqlx::Error::Database(_))) => {
                Err(Error::Refused { address: self.address.to_string(), cause })
            }
            Ok(Err(cause)) => Err(self.unreachable(cause.to_string())),
            Err(_) => Err(self.unreachable(format!("no response within {} seconds", CONNECT_TIMEOUT.as_secs()))),
        }
    }

    fn unreachable(&self, cause: String) -> Error {
        Error::Unreachable { address: self.address.to_string(), cause }
    }
}

impl Lock {
    /// The key of the lock: arbitrary, but the same in every version.
    fn key(self) -> i64 {
        match self {
            Self::Training => 0x7072_6f62_6567_0001,
            Self::Publishing => 0x7072_6f62_6567_0011,
        }
    }
}

impl LockGuard {
    /// Releases the lock and waits for confirmation.
    ///
    /// # Errors
    /// The connection is lost; the lock is released anyway.
    pub async fn release(mut self) -> Result<()> {
        // Explicitly, since the server may detect the closed connection later.
        sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut self.connection).await?;
        self.connection.close().await?;
        Ok(())
    }
}

/// The address of the database, without user and password.
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
    fn an_address_has_no_user_and_no_password() {
        let options: PgConnectOptions = "postgres://ann:secret@db.example:5433/cars".parse().unwrap();
        assert_eq!(describe(&options), "db.example:5433/cars");
    }

    #[tokio::test]
    async fn an_absent_database_is_reported_without_its_password() {
        let error = Database::connect("postgres://ann:secret@127.0.0.1:1/cars", 1).await.unwrap_err();
        assert!(error.is_unavailable());
        let message = error.to_string();
        assert!(message.starts_with("the database at 127.0.0.1:1/cars is unavailable: "), "{message}");
        assert!(message.ends_with("is it running? check DATABASE_URL"), "{message}");
        assert!(!message.contains("secret"), "{message}");
        let error = Database::connect("postgres://ann:secret@:nonsense", 1).await.unwrap_err();
        assert!(matches!(error, Error::Address(_)) && !error.to_string().contains("secret"), "{error}");
    }
}

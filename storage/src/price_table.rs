//! Tables of prices: the cars of a query are numbered and kept, ranges of them are valued by any number of processes, and the
//! result becomes a table in one transaction.
//!
//! Until then there are three tables beside it, which any process may read: the cars, their prices, and the parts that are done.

mod error;
mod name;
mod part;

use std::fmt::{self, Display, Formatter};

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use crate::database::Database;
use crate::error::{Error, Result};
use error::refused;
use name::{NUMBER, TableName, quoted};
pub use part::{CarPrice, CarRange, PricePart};

/// The columns that a table of prices has besides those of the query.
const PRICES: [&str; 4] = ["predict_value", "predict_low", "predict_high", "predict_status"];

/// A table of prices, which may not exist yet.
#[derive(Clone, Debug)]
pub struct PriceTable {
    database: Database,
    name: TableName,
}

/// The cars to value, and what becomes of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CarQuery {
    /// The query, a single SELECT.
    pub sql: String,
    /// The columns that identify a car, which are the only ones of the result besides the prices; all columns if there are none.
    pub keys: Vec<String>,
    /// Whether to replace a table of this name.
    pub replaces: bool,
}

/// The numbers of cars of a table of prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PricedCounts {
    /// The parts that are done.
    pub parts: usize,
    /// Their cars.
    pub rows: u64,
    /// Those with a price.
    pub valued: u64,
}

/// The right to make a table of prices, which is held until this is dropped or the process ends.
#[derive(Debug)]
#[must_use = "the right ends on drop"]
pub struct PriceTableLock {
    connection: PgConnection,
}

impl Database {
    /// A table of prices, with or without a schema in its name.
    ///
    /// # Errors
    /// [`Error::TableName`].
    pub fn price_table(&self, name: &str) -> Result<PriceTable> {
        Ok(PriceTable { database: self.clone(), name: name.parse()? })
    }
}

impl PriceTable {
    /// The names of the columns of a query, which is not executed.
    ///
    /// # Errors
    /// The query is wrong or not permitted, or the database is unavailable.
    pub async fn columns_of(&self, query: &CarQuery) -> Result<Vec<String>> {
        let mut connection = self.database.own_connection().await?;
        let mut transaction = connection.begin().await?;
        let sql = query.select();
        let create = format!("CREATE TEMPORARY TABLE probeg_columns AS SELECT * FROM ({sql}) AS query WITH NO DATA");
        self.execute(&mut transaction, &create).await?;
        let columns = columns(&mut transaction, "probeg_columns").await?;
        transaction.rollback().await?;
        if let Some(reserved) = columns.iter().find(|column| *column == NUMBER || PRICES.contains(&column.as_str())) {
            return Err(Error::ReservedColumn(reserved.clone()));
        }
        if let Some(missing) = query.keys.iter().find(|key| !columns.contains(key)) {
            return Err(Error::NoKeyColumn { key: missing.clone(), columns: columns.join(", ") });
        }
        Ok(columns)
    }

    /// Executes the query and keeps its cars in order. What an earlier attempt has left is removed.
    ///
    /// # Errors
    /// The table exists and is not to be replaced, another process makes it, the query failed or something is not permitted, or the
    /// database is unavailable.
    pub async fn prepare(&self, query: &CarQuery) -> Result<(PriceTableLock, u64)> {
        let mut connection = self.database.own_connection().await?;
        let lock = "SELECT pg_try_advisory_lock(hashtextextended('probeg price table ' || $1, 0))";
        let lock = sqlx::query_scalar(lock).bind(self.name.to_string());
        if !lock.fetch_one(&mut connection).await? {
            return Err(Error::TableIsBeingMade(self.name.to_string()));
        }
        if query.replaces {
            // Whether it can be dropped is found before the work.
            let mut transaction = connection.begin().await?;
            self.execute(&mut transaction, &format!("DROP TABLE IF EXISTS {}", self.name.quoted())).await?;
            transaction.rollback().await?;
        } else if self.exists(&mut connection).await? {
            return Err(Error::TableExists(self.name.to_string()));
        }
        let mut transaction = connection.begin().await?;
        self.drop_work(&mut transaction).await?;
        let rows = self.keep_cars(&mut transaction, query).await?;
        transaction.commit().await?;
        Ok((PriceTableLock { connection }, rows))
    }

    /// Makes the tables of the cars, their prices and the parts that are done; returns the number of cars.
    async fn keep_cars(&self, transaction: &mut PgConnection, query: &CarQuery) -> Result<u64> {
        let ([cars, prices, parts], sql) = (self.name.work(), query.select());
        let create =
            format!("CREATE TABLE {cars} AS SELECT row_number() OVER () AS {NUMBER}, query.* FROM ({sql}) AS query");
        let rows = self.execute(transaction, &create).await?;
        let mut statements = vec![
            format!("ALTER TABLE {cars} ADD PRIMARY KEY ({NUMBER})"),
            format!(
                "CREATE TABLE {prices} ({NUMBER} bigint PRIMARY KEY, predict_value double precision, \
                 predict_low double precision, predict_high double precision, predict_status text NOT NULL)"
            ),
            format!("CREATE TABLE {parts} (part integer PRIMARY KEY, rows bigint NOT NULL, valued bigint NOT NULL)"),
            format!("ANALYZE {cars}"),
        ];
        // Whether the keys are keys is found before the work.
        for key in &query.keys {
            statements.push(format!("ALTER TABLE {cars} ALTER COLUMN {} SET NOT NULL", quoted(key)));
        }
        if !query.keys.is_empty() {
            statements.push(format!("ALTER TABLE {cars} ADD UNIQUE ({})", query.key_list()));
        }
        for statement in statements {
            self.execute(transaction, &statement).await?;
        }
        Ok(rows)
    }

    /// The names of the columns of the cars that are kept.
    ///
    /// # Errors
    /// [`Error::NoCars`], or the database is unavailable.
    pub async fn columns(&self) -> Result<Vec<String>> {
        let mut connection = self.database.own_connection().await?;
        let [cars, ..] = self.name.work();
        let columns = columns(&mut connection, &cars).await?;
        if columns.is_empty() {
            return Err(Error::NoCars(self.name.to_string()));
        }
        Ok(columns.into_iter().filter(|column| column != NUMBER).collect())
    }

    /// Begins a part, which one process does at a time; `None` if it is done. The cars are cut into `count` ranges of equal size.
    ///
    /// # Errors
    /// [`Error::NoCars`], or the database is unavailable.
    pub async fn begin_part(&self, part: usize, count: usize) -> Result<Option<PricePart>> {
        PricePart::begin(&self.database, &self.name, part, count).await
    }

    /// What has been valued so far.
    ///
    /// # Errors
    /// [`Error::NoCars`], or the database is unavailable.
    pub async fn counts(&self) -> Result<PricedCounts> {
        let [.., parts] = self.name.work();
        let query =
            format!("SELECT count(*), coalesce(sum(rows), 0)::bigint, coalesce(sum(valued), 0)::bigint FROM {parts}");
        let mut connection = self.database.own_connection().await?;
        let row = sqlx::query(AssertSqlSafe(query)).fetch_one(&mut connection).await;
        let row = row.map_err(|error| refused(&self.name, error))?;
        let count = |index: usize| row.try_get::<i64, _>(index).map(i64::unsigned_abs);
        let parts = usize::try_from(count(0)?).unwrap_or(usize::MAX);
        Ok(PricedCounts { parts, rows: count(1)?, valued: count(2)? })
    }

    /// Makes the table of the cars and their prices, once all of them are valued, in one transaction.
    ///
    /// # Errors
    /// Not all cars are valued; the table exists and is not to be replaced, or something depends on it; the keys are not unique;
    /// something is not permitted; or the database is unavailable. The table is as before then.
    pub async fn finish(&self, query: &CarQuery, lock: &mut PriceTableLock) -> Result<PricedCounts> {
        let counts = self.counts().await?;
        let [cars, prices, _] = self.name.work();
        let mut transaction = lock.connection.begin().await?;
        let missing = format!("SELECT (SELECT count(*) FROM {cars}) - (SELECT count(*) FROM {prices})");
        let missing: i64 = sqlx::query_scalar(AssertSqlSafe(missing)).fetch_one(&mut *transaction).await?;
        if missing != 0 {
            return Err(Error::CarsAreMissing { table: self.name.to_string(), missing });
        }
        let name = self.name.quoted();
        if query.replaces {
            self.execute(&mut transaction, &format!("DROP TABLE IF EXISTS {name}")).await?;
        }
        let columns = if query.keys.is_empty() { self.columns().await? } else { query.keys.clone() };
        let columns: Vec<String> =
            columns.iter().map(|column| quoted(column)).chain(PRICES.map(str::to_owned)).collect();
        let columns = columns.join(", ");
        let create = format!(
            "CREATE TABLE {name} AS SELECT {columns} FROM {cars} JOIN {prices} USING ({NUMBER}) ORDER BY {NUMBER}"
        );
        self.execute(&mut transaction, &create).await?;
        if !query.keys.is_empty() {
            let keys = query.key_list();
            self.execute(&mut transaction, &format!("ALTER TABLE {name} ADD PRIMARY KEY ({keys})")).await?;
        }
        self.drop_work(&mut transaction).await?;
        transaction.commit().await?;
        Ok(counts)
    }

    /// Removes what has been kept, without a result.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn discard(&self, mut lock: PriceTableLock) -> Result<()> {
        self.drop_work(&mut lock.connection).await
    }

    async fn exists(&self, connection: &mut PgConnection) -> Result<bool> {
        let query = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(self.name.quoted());
        query.fetch_one(connection).await.map_err(|error| refused(&self.name, error))
    }

    async fn drop_work(&self, connection: &mut PgConnection) -> Result<()> {
        let tables = self.name.work().join(", ");
        self.execute(connection, &format!("DROP TABLE IF EXISTS {tables}")).await.map(drop)
    }

    /// Executes a single statement: a query of the user must not bring others.
    async fn execute(&self, connection: &mut PgConnection, statement: &str) -> Result<u64> {
        let query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        let done = query.execute(connection).await.map_err(|error| refused(&self.name, error))?;
        Ok(done.rows_affected())
    }
}

impl Display for PriceTable {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.name.fmt(formatter)
    }
}

impl CarQuery {
    /// The keys for SQL.
    fn key_list(&self) -> String {
        self.keys.iter().map(|key| quoted(key)).collect::<Vec<_>>().join(", ")
    }

    /// The query, so that it can be part of another one.
    fn select(&self) -> String {
        // A comment at its end must not hide what follows.
        format!("{}\n", self.sql.trim().trim_end_matches(';'))
    }
}

/// The names of the columns of a table, in order; none if it does not exist.
async fn columns(connection: &mut PgConnection, table: &str) -> Result<Vec<String>> {
    let query = "SELECT attname::text FROM pg_attribute
         WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    Ok(sqlx::query_scalar(query).bind(table).fetch_all(connection).await?)
}

//! The tables of a market.
//!
//! Russian listings, which were stored before there were other markets, are in the schema `public`. Those of another market
//! are in tables of the same names in its own schema, which connections find through their `search_path`. So statements are
//! the same for every market, and its blocks are those of a database of its own.

use domain::Market;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::database::Database;
use crate::error::Result;
use crate::markets::schema;
use crate::transaction::{TransactionLock, acquire_lock, execute};

/// The tables that each market has.
const TABLES: [&str; 4] = ["listings", "imports", "canonical_form", "kept_buckets"];

impl Database {
    /// The same database with the listings of another market; creates its tables if necessary. Has a pool of its own.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn in_market(&self, market: &Market) -> Result<Self> {
        if market == self.market() {
            return Ok(self.clone());
        }
        let database = self.with_search_path(market);
        if market.name() != Market::russia().name() {
            create_tables(&mut self.own_connection().await?, &schema(market)).await?;
        }
        Ok(database)
    }
}

async fn create_tables(connection: &mut PgConnection, schema: &str) -> Result<()> {
    let query = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL").bind(format!("{schema}.{}", TABLES[3]));
    if query.fetch_one(&mut *connection).await? {
        return Ok(());
    }
    let mut transaction = connection.begin().await?;
    acquire_lock(&mut transaction, TransactionLock::Import).await?;
    execute(&mut transaction, &format!("CREATE SCHEMA IF NOT EXISTS {schema}")).await?;
    for table in TABLES {
        let create = format!("CREATE TABLE IF NOT EXISTS {schema}.{table} (LIKE public.{table} INCLUDING ALL)");
        execute(&mut transaction, &create).await?;
    }
    let form = format!("INSERT INTO {schema}.canonical_form DEFAULT VALUES ON CONFLICT DO NOTHING");
    sqlx::raw_sql(AssertSqlSafe(form)).execute(&mut *transaction).await?;
    Ok(transaction.commit().await?)
}

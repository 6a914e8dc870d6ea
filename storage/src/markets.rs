//! The markets and their tables.
//!
//! Russian listings, which were stored before there were other markets, are in the schema `public`. Those of another market
//! are in tables of the same names in its own schema, which connections find through their `search_path`. So statements are
//! the same for every market, and its blocks are those of a database of its own.

use std::sync::Arc;

use domain::Market;
use domain::market::Definition;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};

use crate::database::Database;
use crate::error::{Error, Result};
use crate::transaction::{TransactionLock, acquire_lock, execute};

/// The tables that each market has.
const TABLES: [&str; 4] = ["listings", "imports", "canonical_form", "kept_buckets"];

/// The markets.
#[derive(Clone, Debug)]
pub struct Markets {
    pool: PgPool,
}

impl Markets {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// All markets: the built-in ones, then the added ones by name.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Market`].
    pub async fn list(&self) -> Result<Vec<Market>> {
        let query = sqlx::query_scalar("SELECT definition FROM markets ORDER BY name");
        let added: Vec<Json<Definition>> = query.fetch_all(&self.pool).await?;
        let added = added.into_iter().map(|Json(definition)| {
            let name = definition.name.clone();
            Market::try_from(definition).map_err(|cause| Error::Market { name, cause })
        });
        Market::built_in().iter().cloned().map(Ok).chain(added).collect()
    }

    /// The market of this name, if it exists.
    ///
    /// # Errors
    /// See [`Markets::list`].
    pub async fn get(&self, name: &str) -> Result<Option<Market>> {
        Ok(self.list().await?.into_iter().find(|market| market.name() == name))
    }

    /// Adds a market, or replaces one whose currency and unit of distance are the same: its listings are then brought into the
    /// new spellings. Returns whether it is new.
    ///
    /// # Errors
    /// [`Error::BuiltInMarket`], [`Error::MarketUnits`], or the database is unavailable.
    pub async fn add(&self, market: &Market) -> Result<bool> {
        if Market::built_in().iter().any(|built_in| built_in.name() == market.name()) {
            return Err(Error::BuiltInMarket(market.name().to_owned()));
        }
        let earlier = self.get(market.name()).await?;
        let units = |market: &Market| (market.currency().to_owned(), market.definition().distance);
        if earlier.as_ref().is_some_and(|earlier| units(earlier) != units(market)) {
            return Err(Error::MarketUnits(market.name().to_owned()));
        }
        sqlx::query(
            "INSERT INTO markets (name, definition) VALUES ($1, $2)
             ON CONFLICT (name) DO UPDATE SET definition = EXCLUDED.definition, added_at = now()",
        )
        .bind(market.name())
        .bind(Json(market.definition()))
        .execute(&self.pool)
        .await?;
        Ok(earlier.is_none())
    }
}

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

/// The schema of a market's listings. The name of a market is safe in SQL.
pub(crate) fn schema(market: &Market) -> Arc<str> {
    if market.name() == Market::russia().name() { "public".into() } else { format!("market_{}", market.name()).into() }
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

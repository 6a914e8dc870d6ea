//! The markets.

use std::sync::Arc;

use domain::Market;
use domain::market::Definition;
use sqlx::PgPool;
use sqlx::types::Json;

use crate::error::{Error, Result};

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

/// The schema of a market's listings. The name of a market is safe in SQL.
pub(crate) fn schema(market: &Market) -> Arc<str> {
    if market.name() == Market::russia().name() { "public".into() } else { format!("market_{}", market.name()).into() }
}

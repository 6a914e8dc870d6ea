//! The stored listings.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::error::Result;

/// The stored listings.
#[derive(Clone, Debug)]
pub struct Listings {
    pool: PgPool,
}

impl Listings {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// When listings were last added; `None` if they never were.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn last_added(&self) -> Result<Option<DateTime<Utc>>> {
        let query = sqlx::query_scalar("SELECT max(imported_at) FROM imports WHERE added > 0");
        Ok(query.fetch_one(&self.pool).await?)
    }

    /// Whether there are no listings.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn is_empty(&self) -> Result<bool> {
        let query = sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM listings)");
        Ok(query.fetch_one(&self.pool).await?)
    }
}

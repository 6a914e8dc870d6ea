//! The stored listings.

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

    /// Whether there are no listings.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn is_empty(&self) -> Result<bool> {
        let query = sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM listings)");
        Ok(query.fetch_one(&self.pool).await?)
    }
}

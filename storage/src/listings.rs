//! The stored listings.

use chrono::{DateTime, NaiveDate, Utc};
use sqlx::PgPool;

use crate::error::Result;
use crate::runs::RunData;

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

    /// The listings up to a number. Imports are serialized and number listings in order.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn data_up_to(&self, last: i64) -> Result<RunData> {
        // The hashes are distinct, so their combination depends on the set of listings and not on their order.
        let query = sqlx::query_as(
            "WITH found AS (
                SELECT count(*) AS rows, min(listing_date) AS first, max(listing_date) AS last,
                       coalesce(bit_xor(uuid_hash_extended(content_hash, 0)), 0) AS hash, max(imported_at) AS imported_at
                FROM listings WHERE id <= $1)
             SELECT rows, first, last, hash, ARRAY(
                SELECT id FROM imports WHERE added > 0 AND imports.imported_at <= found.imported_at ORDER BY id)
             FROM found",
        );
        let row: (i64, Option<NaiveDate>, Option<NaiveDate>, i64, Vec<i64>) =
            query.bind(last).fetch_one(&self.pool).await?;
        let (rows, first_date, last_date, hash, imports) = row;
        Ok(RunData { rows: rows.unsigned_abs(), first_date, last_date, imports, fingerprint: format!("{hash:016x}") })
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

//! How many listings there are.

use domain::identity::Split;
use sqlx::PgPool;

use crate::error::Result;

/// The listings that are stored.
#[derive(Clone, Debug)]
pub struct Listings {
    pool: PgPool,
}

/// How many listings there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// In all.
    pub total: u64,
    /// In the training split.
    pub train: u64,
    /// In the validation split.
    pub validation: u64,
    /// In the test split.
    pub test: u64,
}

impl Listings {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Counts the listings; reads the whole table.
    ///
    /// # Errors
    /// A database that does not answer.
    pub async fn summary(&self) -> Result<Summary> {
        let mut query = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE bucket BETWEEN $1 AND $2),
                    count(*) FILTER (WHERE bucket BETWEEN $3 AND $4), count(*) FILTER (WHERE bucket BETWEEN $5 AND $6)
             FROM listings",
        );
        for split in [Split::Train, Split::Validation, Split::Test] {
            let (first, last) = split.buckets();
            query = query.bind(first).bind(last);
        }
        let counts: (i64, i64, i64, i64) = query.fetch_one(&self.pool).await?;
        Ok(Summary {
            total: counts.0.unsigned_abs(),
            train: counts.1.unsigned_abs(),
            validation: counts.2.unsigned_abs(),
            test: counts.3.unsigned_abs(),
        })
    }

    /// Whether there is no listing at all.
    ///
    /// # Errors
    /// A database that does not answer.
    pub async fn is_empty(&self) -> Result<bool> {
        let query = sqlx::query_scalar("SELECT NOT EXISTS (SELECT FROM listings)");
        Ok(query.fetch_one(&self.pool).await?)
    }
}

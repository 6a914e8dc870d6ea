//! The comparison of the epochs of an ensemble whose members are trained by different processes.

use serde::de::DeserializeOwned;
use sqlx::types::Json;
use sqlx::{PgPool, Postgres, Transaction};

use crate::error::{Error, Result};

/// What a member predicts for some rows of the validation split.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PredictedChunk {
    /// The number of the chunk, starting at 0.
    pub number: u32,
    /// The logarithm of the price of each row.
    pub log_prices: Vec<f32>,
    /// The standardized quantiles `[N, Q]`, row by row.
    pub quantiles: Vec<f32>,
}

impl PredictedChunk {
    pub(super) fn to_bytes(&self) -> (Vec<u8>, Vec<u8>) {
        let bytes = |numbers: &[f32]| numbers.iter().flat_map(|number| number.to_le_bytes()).collect();
        (bytes(&self.log_prices), bytes(&self.quantiles))
    }
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// A transaction in which the epochs of a run are compared.
#[derive(Debug)]
pub struct EnsembleComparison {
    transaction: Transaction<'static, Postgres>,
    run: i64,
}

impl EnsembleComparison {
    pub(super) async fn begin(pool: &PgPool, run: i64) -> Result<Self> {
        let mut transaction = pool.begin().await?;
        let lock = sqlx::query("SELECT 1 FROM run_plans WHERE run_id = $1 FOR NO KEY UPDATE").bind(run);
        lock.fetch_optional(&mut *transaction).await?.ok_or(Error::NoRun(run))?;
        Ok(Self { transaction, run })
    }

    /// The validation losses of the epochs that have been compared, in order.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn losses(&mut self) -> Result<Vec<f64>> {
        let query = sqlx::query_scalar("SELECT validation_loss FROM ensemble_epochs WHERE run_id = $1 ORDER BY epoch");
        Ok(query.bind(self.run).fetch_all(&mut *self.transaction).await?)
    }

    /// The metrics of those members that have trained for an epoch, in order.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn metrics<T: DeserializeOwned + Send + Unpin + 'static>(&mut self, epoch: u32) -> Result<Vec<T>> {
        let query =
            sqlx::query_scalar("SELECT metrics FROM member_epochs WHERE run_id = $1 AND epoch = $2 ORDER BY member");
        let metrics: Vec<Json<T>> =
            query.bind(self.run).bind(epoch.cast_signed()).fetch_all(&mut *self.transaction).await?;
        Ok(metrics.into_iter().map(|Json(metrics)| metrics).collect())
    }

    /// What each member predicts for a chunk after an epoch, in the order of the members; empty after the last chunk.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn predictions(&mut self, epoch: u32, chunk: u32) -> Result<Vec<PredictedChunk>> {
        let query = sqlx::query_as(
            "SELECT log_prices, quantiles FROM member_predictions WHERE run_id = $1 AND epoch = $2 AND chunk = $3
             ORDER BY member",
        );
        let query = query.bind(self.run).bind(epoch.cast_signed()).bind(chunk.cast_signed());
        let rows: Vec<(Vec<u8>, Vec<u8>)> = query.fetch_all(&mut *self.transaction).await?;
        let chunks = rows.into_iter().map(|(log_prices, quantiles)| PredictedChunk {
            number: chunk,
            log_prices: numbers(&log_prices),
            quantiles: numbers(&quantiles),
        });
        Ok(chunks.collect())
    }

    /// Stores the loss of an epoch, and removes what is no longer needed: predictions, and weights of epochs that are not the
    /// best one.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn record(&mut self, epoch: u32, loss: f64, best_epoch: u32) -> Result<()> {
        let insert = "INSERT INTO ensemble_epochs (run_id, epoch, validation_loss) VALUES ($1, $2, $3)";
        let insert = sqlx::query(insert).bind(self.run).bind(epoch.cast_signed()).bind(loss);
        insert.execute(&mut *self.transaction).await?;
        let delete = "DELETE FROM member_predictions WHERE run_id = $1 AND epoch <= $2";
        sqlx::query(delete).bind(self.run).bind(epoch.cast_signed()).execute(&mut *self.transaction).await?;
        let delete = "DELETE FROM member_epochs WHERE run_id = $1 AND epoch <= $2 AND epoch <> $3";
        let delete = sqlx::query(delete).bind(self.run).bind(epoch.cast_signed()).bind(best_epoch.cast_signed());
        delete.execute(&mut *self.transaction).await?;
        Ok(())
    }

    /// Makes what was recorded visible to others.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn commit(self) -> Result<()> {
        Ok(self.transaction.commit().await?)
    }
}

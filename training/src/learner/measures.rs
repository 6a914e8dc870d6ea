//! What is measured during training.

use serde::{Deserialize, Serialize};
use storage::TabularBatch;

use super::task::TrainingTask;
use crate::model::Statistics;

/// The mean loss of the members' steps.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    pub(super) fn add(&mut self, loss: f32) {
        self.sum += f64::from(loss);
        self.count += 1.0;
    }

    pub(super) fn value(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }
}

/// Sums over the validation split.
#[derive(Default)]
pub(super) struct Validation {
    pub(super) rows: f64,
    loss: f64,
    ape: f64,
}

impl Validation {
    pub(super) fn add(&mut self, batch: &TabularBatch, predictions: &[f32], task: &TrainingTask<'_>) {
        let levels = &task.config.quantiles;
        let Statistics { log_mean, log_deviation, .. } = task.statistics;
        for (log_price, quantiles) in batch.log_prices.iter().zip(predictions.chunks(levels.len())) {
            let target = (f64::from(*log_price) - log_mean) / log_deviation;
            let loss: f64 =
                levels.iter().zip(quantiles).map(|(level, q)| pinball(*level, target - f64::from(*q))).sum();
            #[expect(clippy::cast_precision_loss, reason = "a handful of levels")]
            {
                self.loss += loss / levels.len() as f64;
            }
            let error = (f64::from(quantiles[levels.len() / 2]) - target) * log_deviation;
            self.ape += (error.exp() - 1.0).abs();
            self.rows += 1.0;
        }
    }

    /// 0 without rows.
    pub(super) fn loss(&self) -> f64 {
        self.loss / self.rows.max(1.0)
    }

    pub(super) fn mape(&self) -> f64 {
        self.ape / self.rows.max(1.0)
    }
}

/// The pinball loss of an error (true minus predicted) at a quantile's level.
fn pinball(level: f64, error: f64) -> f64 {
    (level * error).max((level - 1.0) * error)
}

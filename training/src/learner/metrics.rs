//! Metrics of training and validation.

use serde::{Deserialize, Serialize};
use storage::TabularBatch;

use super::task::TrainingTask;
use crate::model::Statistics;

/// The mean training loss over steps and members.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct RunningMean {
    sum: f64,
    count: f64,
}

impl RunningMean {
    pub(super) fn add(&mut self, loss: f32) {
        self.sum += f64::from(loss);
        self.count += 1.0;
    }

    pub(super) fn value(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }
}

/// The metrics of the validation split.
#[derive(Default)]
pub(super) struct ValidationMetrics {
    pub(super) rows: f64,
    loss_sum: f64,
    ape_sum: f64,
}

impl ValidationMetrics {
    pub(super) fn add(&mut self, batch: &TabularBatch, predictions: &[f32], task: &TrainingTask<'_>) {
        let levels = &task.config.quantiles;
        let Statistics { log_mean, log_deviation, .. } = task.statistics;
        for (log_price, quantiles) in batch.log_prices.iter().zip(predictions.chunks(levels.len())) {
            let target = (f64::from(*log_price) - log_mean) / log_deviation;
            let loss: f64 =
                levels.iter().zip(quantiles).map(|(level, q)| pinball(*level, target - f64::from(*q))).sum();
            #[expect(clippy::cast_precision_loss, reason = "a handful of levels")]
            {
                self.loss_sum += loss / levels.len() as f64;
            }
            let error = (f64::from(quantiles[levels.len() / 2]) - target) * log_deviation;
            self.ape_sum += (error.exp() - 1.0).abs();
            self.rows += 1.0;
        }
    }

    /// The mean pinball loss; 0 without rows.
    pub(super) fn loss(&self) -> f64 {
        self.loss_sum / self.rows.max(1.0)
    }

    /// The mean absolute percentage error.
    pub(super) fn mape(&self) -> f64 {
        self.ape_sum / self.rows.max(1.0)
    }
}

/// The pinball loss of an error (actual minus predicted) at a quantile level.
fn pinball(level: f64, error: f64) -> f64 {
    (level * error).max((level - 1.0) * error)
}

//! Metrics of training and validation.

use serde::{Deserialize, Serialize};

use crate::model::Statistics;

/// The mean training loss over steps and members.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct RunningMean {
    sum: f64,
    count: f64,
}

impl RunningMean {
    pub(super) fn add(&mut self, loss: f32) {
        self.sum += f64::from(loss);
        self.count += 1.0;
    }

    /// Adds the losses of other members.
    pub(super) fn merge(&mut self, other: Self) {
        self.sum += other.sum;
        self.count += other.count;
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
    pub(super) fn add(&mut self, log_prices: &[f32], predictions: &[f32], levels: &[f64], statistics: &Statistics) {
        let Statistics { log_mean, log_deviation, .. } = statistics;
        for (log_price, quantiles) in log_prices.iter().zip(predictions.chunks(levels.len())) {
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

/// The mean of the members' predictions, summed in their order.
pub(super) fn average(members: impl IntoIterator<Item = Vec<f32>>) -> Vec<f32> {
    let mut members = members.into_iter();
    let mut sum = members.next().unwrap_or_default();
    let mut count = 1.0;
    for member in members {
        for (sum, quantile) in sum.iter_mut().zip(member) {
            *sum += quantile;
        }
        count += 1.0;
    }
    for quantile in &mut sum {
        *quantile /= count;
    }
    sum
}

/// The pinball loss of an error (actual minus predicted) at a quantile level.
fn pinball(level: f64, error: f64) -> f64 {
    (level * error).max((level - 1.0) * error)
}

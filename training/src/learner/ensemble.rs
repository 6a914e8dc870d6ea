//! Early stopping of an ensemble whose members are trained by different processes, as [`super::fit`] would stop it.

use super::epochs::MemberMetrics;
use super::metrics::{RunningMean, ValidationMetrics, average};
use super::task::EpochMetrics;
use crate::config::TrainConfig;
use crate::model::Statistics;

/// The epochs of an ensemble that have been compared so far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochRanking {
    /// The number of epochs.
    pub epochs: usize,
    /// The best of them, starting at 1; 0 if there is none.
    pub best_epoch: usize,
    /// Whether training ends here.
    pub is_over: bool,
    best_loss: f64,
}

impl EpochRanking {
    /// The ranking of epochs by their validation losses.
    pub fn new(losses: &[f64], config: &TrainConfig) -> Self {
        let mut ranking = Self { epochs: 0, best_epoch: 0, is_over: false, best_loss: f64::INFINITY };
        for loss in losses {
            ranking.add(*loss, config);
        }
        ranking
    }

    /// Adds the next epoch.
    pub fn add(&mut self, loss: f64, config: &TrainConfig) {
        self.epochs += 1;
        if loss < self.best_loss {
            (self.best_loss, self.best_epoch) = (loss, self.epochs);
        }
        let epochs_since_best = self.epochs - self.best_epoch;
        self.is_over = Some(self.epochs) == config.epochs || epochs_since_best >= config.patience;
    }
}

/// The metrics of an epoch of an ensemble, computed chunk by chunk.
#[derive(Default)]
pub struct EnsembleEpoch {
    validation: ValidationMetrics,
}

impl EnsembleEpoch {
    /// Adds rows of the validation split with the predictions of the members, in order.
    pub fn add(&mut self, log_prices: &[f32], members: Vec<Vec<f32>>, config: &TrainConfig, statistics: &Statistics) {
        self.validation.add(log_prices, &average(members), &config.quantiles, statistics);
    }

    /// The metrics, with those of the members.
    pub fn metrics(&self, members: &[MemberMetrics]) -> EpochMetrics {
        let mut train_loss = RunningMean::default();
        for member in members {
            train_loss.merge(member.train_loss);
        }
        let each = |metric: fn(&MemberMetrics) -> f64| members.iter().map(metric);
        EpochMetrics {
            train_loss: train_loss.value(),
            validation_loss: self.validation.loss(),
            validation_mape: self.validation.mape(),
            learning_rate: each(|member| member.learning_rate).fold(0.0, f64::max),
            // The ensemble is as slow as its slowest member.
            rows_per_second: each(|member| member.rows_per_second).fold(f64::INFINITY, f64::min),
            seconds: each(|member| member.seconds).fold(0.0, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_is_over_without_progress_or_at_the_last_epoch() {
        let config = TrainConfig { epochs: Some(6), patience: 2, ..TrainConfig::default() };
        let ranking = |losses: &[f64]| {
            let EpochRanking { best_epoch, is_over, .. } = EpochRanking::new(losses, &config);
            (best_epoch, is_over)
        };
        assert_eq!(ranking(&[]), (0, false));
        assert_eq!(ranking(&[3.0, 2.0, 2.0]), (2, false), "an equal loss is no progress");
        assert_eq!(ranking(&[3.0, 2.0, 2.0, 2.5]), (2, true));
        assert_eq!(ranking(&[6.0, 5.0, 4.0, 3.0, 2.0, 1.0]), (6, true));
    }
}

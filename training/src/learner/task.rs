//! A training task: the hyperparameters, the data and the stopping rule.

use std::sync::atomic::AtomicBool;

use onnx_model::Encoder;
use serde::Serialize;

use crate::config::TrainConfig;
use crate::model::Statistics;

/// The inputs of training a network.
#[derive(Clone, Copy)]
pub struct TrainingTask<'a> {
    /// The hyperparameters.
    pub config: &'a TrainConfig,
    /// The statistics of the training split.
    pub statistics: &'a Statistics,
    /// Encodes listings as ids and numbers.
    pub encoder: &'a Encoder,
    /// The number of listings in an epoch.
    pub rows: u64,
    /// When training stops.
    pub stopping_rule: StoppingRule,
    /// Set to interrupt training at the next batch.
    pub stop: &'a AtomicBool,
}

/// When training stops.
#[derive(Clone, Copy, Debug)]
pub enum StoppingRule {
    /// When the validation loss no longer improves, at the latest after a number of epochs.
    EarlyStopping(usize),
    /// After a number of epochs, without validation.
    Epochs {
        /// The number of epochs.
        epochs: usize,
        /// The number of epochs over which the learning rate is annealed; as in the run that found the number, since a network
        /// annealed over fewer is more certain of what it has seen.
        annealed_over: usize,
    },
}

/// The metrics of an epoch.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EpochMetrics {
    /// The mean pinball loss of the members on masked training rows, in standard deviations of the log price.
    pub train_loss: f64,
    /// The pinball loss of the ensemble with averaged weights on the validation split.
    pub validation_loss: f64,
    /// The mean absolute percentage error of the ensemble's median on the validation split.
    pub validation_mape: f64,
    /// The learning rate at the end of the epoch.
    pub learning_rate: f64,
    /// The number of training listings per second.
    pub rows_per_second: f64,
    /// The seconds since training started.
    pub seconds: f64,
}

/// Progress within an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// The epoch, starting at 1.
    pub epoch: usize,
    /// The number of steps so far, over all epochs.
    pub number: u64,
    /// The number of listings processed so far, over all epochs.
    pub rows: u64,
    /// The maximum number of listings to process.
    pub max_rows: u64,
    /// The mean loss of the epoch so far.
    pub loss: f64,
}

impl TrainingTask<'_> {
    /// The number of listings per step, reduced if an epoch would otherwise have too few steps.
    pub(super) fn batch_size(&self) -> usize {
        let limit = usize::try_from(self.rows / 100).unwrap_or(usize::MAX).max(16);
        self.config.batch_size.min(limit.checked_next_power_of_two().unwrap_or(limit))
    }

    /// The number of steps of the learning rate schedule, regardless of early stopping.
    fn scheduled_steps(&self) -> u64 {
        let (StoppingRule::EarlyStopping(epochs) | StoppingRule::Epochs { annealed_over: epochs, .. }) =
            self.stopping_rule;
        self.rows.div_ceil(self.batch_size() as u64) * epochs as u64
    }

    /// The learning rate of a step, starting at 1: linear warm-up, then cosine annealing to 0.
    #[expect(clippy::cast_precision_loss, reason = "step counts are far below 2^52")]
    pub(super) fn learning_rate(&self, step: u64) -> f64 {
        let config = self.config;
        let progress = (step as f64 / self.scheduled_steps().max(1) as f64).min(1.0);
        let factor = if progress < config.warmup {
            progress / config.warmup
        } else {
            let annealed = (progress - config.warmup) / (1.0 - config.warmup);
            0.5 * (1.0 + (std::f64::consts::PI * annealed).cos())
        };
        config.learning_rate * factor
    }

    pub(super) fn max_epochs(&self) -> usize {
        let (StoppingRule::EarlyStopping(epochs) | StoppingRule::Epochs { epochs, .. }) = self.stopping_rule;
        epochs
    }
}

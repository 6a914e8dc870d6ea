//! What a network is trained with: the hyper-parameters, the data, and how long.

use std::sync::atomic::AtomicBool;

use onnx_model::Encoder;
use serde::Serialize;

use crate::config::TrainConfig;
use crate::model::Statistics;

/// All that the training of a network depends on.
#[derive(Clone, Copy)]
pub struct TrainingTask<'a> {
    /// The hyper-parameters.
    pub config: &'a TrainConfig,
    /// What the first pass over the data has found.
    pub statistics: &'a Statistics,
    /// Listings to ids and numbers.
    pub encoder: &'a Encoder,
    /// Listings of an epoch.
    pub rows: u64,
    /// How long a network is trained.
    pub until: Until,
    /// Set from outside to stop at the next batch.
    pub stop: &'a AtomicBool,
}

/// How long a network is trained.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// Until the validation loss no longer falls: early stopping.
    Best,
    /// A number of epochs, without validation.
    Epochs(usize),
}

/// What was measured over an epoch.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct EpochMetrics {
    /// Mean pinball loss of the members on masked training rows, in standard deviations of the
    /// log price.
    pub train_loss: f64,
    /// Pinball loss of the ensemble of averaged weights on the validation split.
    pub validation_loss: f64,
    /// Mean absolute percentage error of the ensemble's median on the validation split.
    pub validation_mape: f64,
    /// Learning rate at the end of the epoch.
    pub learning_rate: f64,
    /// Listings trained on per second.
    pub rows_per_second: f64,
    /// Seconds since training began.
    pub seconds: f64,
}

/// Progress within an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Counted from 1.
    pub epoch: usize,
    /// Listings processed so far, over all epochs.
    pub rows: u64,
    /// The most listings that will be processed.
    pub max_rows: u64,
    /// Mean loss of the latest steps.
    pub loss: f64,
}

impl TrainingTask<'_> {
    /// Listings of a step: fewer than configured where an epoch would otherwise have hardly any steps.
    pub(super) fn batch_size(&self) -> usize {
        let fitting = usize::try_from(self.rows / 100).unwrap_or(usize::MAX).max(16);
        self.config.batch_size.min(fitting.checked_next_power_of_two().unwrap_or(fitting))
    }

    /// Steps of the learning rate's schedule, which is the same however early training stops.
    fn scheduled_steps(&self) -> u64 {
        self.rows.div_ceil(self.batch_size() as u64) * self.config.epochs as u64
    }

    /// The learning rate of a step, counted from 1: linear warm-up, then a cosine to 0.
    #[expect(clippy::cast_precision_loss, reason = "step counts are far below 2^52")]
    pub(super) fn learning_rate(&self, step: u64) -> f64 {
        let config = self.config;
        let progress = (step as f64 / self.scheduled_steps().max(1) as f64).min(1.0);
        let factor = if progress < config.warmup {
            progress / config.warmup
        } else {
            let falling = (progress - config.warmup) / (1.0 - config.warmup);
            0.5 * (1.0 + (std::f64::consts::PI * falling).cos())
        };
        config.learning_rate * factor
    }

    pub(super) fn max_epochs(&self) -> usize {
        match self.until {
            Until::Best => self.config.epochs,
            Until::Epochs(epochs) => epochs,
        }
    }
}

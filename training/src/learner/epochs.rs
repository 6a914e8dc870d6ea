//! The epochs: batches to the members, their replies into metrics, and an end when they no longer
//! get better.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::measures::{Mean, Validation};
use super::member_thread::{Job, Reply};
use super::{EpochMetrics, Learning, Step, Until};
use crate::Error;
use crate::config::TrainConfig;
use crate::stream::Loaded;

/// Hands batches to the members, epoch by epoch.
pub(super) struct Epochs<'a> {
    pub(super) learning: Learning<'a>,
    /// To each member, in their order.
    pub(super) jobs: Vec<Sender<Job>>,
    /// From all members.
    pub(super) replies: Receiver<Reply>,
}

impl Epochs<'_> {
    /// Gives the number of the epoch whose weights the members have kept.
    pub(super) fn run(
        self,
        loaded: &Receiver<Loaded>,
        on_step: &dyn Fn(Step),
        on_epoch: &mut dyn FnMut(usize, EpochMetrics) -> Result<(), Error>,
    ) -> Result<usize, Error> {
        let config = self.learning.config;
        let began = Instant::now();
        let mut schedule = Schedule { config, step: 0, steps: self.learning.scheduled_steps() };
        let (mut best_loss, mut best_epoch) = (f64::INFINITY, 0);
        for epoch in 1..=self.learning.epochs_at_most() {
            let metrics = self.epoch(epoch, &mut schedule, loaded, began, on_step)?;
            let is_best = match self.learning.until {
                Until::Best => {
                    on_epoch(epoch, metrics)?;
                    metrics.validation_loss < best_loss
                }
                Until::Epochs(_) => true,
            };
            if is_best {
                (best_loss, best_epoch) = (metrics.validation_loss, epoch);
                self.tell(&Job::Keep)?;
            }
            if epoch - best_epoch >= config.patience {
                break;
            }
        }
        Ok(best_epoch)
    }

    fn epoch(
        &self,
        epoch: usize,
        schedule: &mut Schedule<'_>,
        loaded: &Receiver<Loaded>,
        began: Instant,
        on_step: &dyn Fn(Step),
    ) -> Result<EpochMetrics, Error> {
        let epoch_began = Instant::now();
        let mut learned_in = Duration::ZERO;
        let mut rows = 0;
        let mut train = Mean::default();
        let mut validation = Validation::default();
        loop {
            if self.learning.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            match loaded.recv().map_err(|_| Error::ThreadStopped)? {
                Loaded::Train(batch) => {
                    rows += batch.len() as u64;
                    self.tell(&Job::Learn(batch, schedule.next_rate()))?;
                    for reply in self.replies.try_iter() {
                        train.add_loss(&reply);
                    }
                    let all_rows = self.learning.rows * (epoch as u64 - 1) + rows;
                    let rows_at_most = self.learning.rows * self.learning.epochs_at_most() as u64;
                    on_step(Step { epoch, rows: all_rows, rows_at_most, loss: train.value() });
                }
                Loaded::Validation(batch) => {
                    self.tell(&Job::Predict(Arc::clone(&batch)))?;
                    let predictions = self.predictions(&mut train)?;
                    if validation.rows == 0.0 {
                        learned_in = epoch_began.elapsed();
                    }
                    validation.add(&batch, &predictions, &self.learning);
                }
                Loaded::EpochEnd => break,
                Loaded::Failed(error) => return Err(error),
            }
        }
        if !train.value().is_finite() || !validation.loss().is_finite() {
            return Err(Error::Diverged { epoch, suggested: self.learning.config.learning_rate / 2.0 });
        }
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
        let rows_per_second = rows as f64 / learned_in.as_secs_f64().max(1e-9);
        Ok(EpochMetrics {
            train_loss: train.value(),
            validation_loss: validation.loss(),
            validation_mape: validation.mape(),
            learning_rate: schedule.rate(),
            rows_per_second,
            seconds: began.elapsed().as_secs_f64(),
        })
    }

    /// The members' predictions of the batch that they were last given, averaged in their order.
    fn predictions(&self, train: &mut Mean) -> Result<Vec<f32>, Error> {
        let mut members: Vec<Option<Vec<f32>>> = vec![None; self.jobs.len()];
        while members.iter().any(Option::is_none) {
            match self.replies.recv().map_err(|_| Error::ThreadStopped)? {
                Reply::Predicted(member, quantiles) => members[member] = Some(quantiles),
                loss @ Reply::Learned(_) => train.add_loss(&loss),
            }
        }
        let mut members = members.into_iter().flatten();
        let mut sum = members.next().unwrap_or_default();
        for member in members {
            for (sum, quantile) in sum.iter_mut().zip(member) {
                *sum += quantile;
            }
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful of members")]
        let count = self.jobs.len() as f32;
        for quantile in &mut sum {
            *quantile /= count;
        }
        Ok(sum)
    }

    fn tell(&self, job: &Job) -> Result<(), Error> {
        self.jobs.iter().try_for_each(|jobs| jobs.send(job.clone()).map_err(|_| Error::ThreadStopped))
    }
}

/// The learning rate: linear warm-up, then a cosine to 0.
struct Schedule<'a> {
    config: &'a TrainConfig,
    step: u64,
    steps: u64,
}

impl Schedule<'_> {
    #[expect(clippy::cast_precision_loss, reason = "step counts are far below 2^52")]
    fn rate(&self) -> f64 {
        let progress = (self.step as f64 / self.steps.max(1) as f64).min(1.0);
        let factor = if progress < self.config.warmup {
            progress / self.config.warmup
        } else {
            let falling = (progress - self.config.warmup) / (1.0 - self.config.warmup);
            0.5 * (1.0 + (std::f64::consts::PI * falling).cos())
        };
        self.config.learning_rate * factor
    }

    fn next_rate(&mut self) -> f64 {
        self.step += 1;
        self.rate()
    }
}

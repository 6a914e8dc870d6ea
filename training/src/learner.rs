//! Learning: one thread loads, one thread a member learns, this one keeps time.
//!
//! Members are independent networks that see the same batches in the same order, so that they need
//! no word from one another and both cores are busy without a barrier a step.

mod member_thread;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::prelude::Device;
use crossbeam_channel::{Receiver, Sender};
use domain::identity::Split;
use onnx_model::Encoder;
use onnx_model::signature::Rows;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::Error;
use crate::config::TrainConfig;
use crate::model::{Member, Statistics, TabularRegressor};
use crate::stream::{ListingStream, Loaded, Order, TabularBatch};
use member_thread::{Job, MemberThread, Reply};

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
    /// Listings learned from a second.
    pub rows_per_second: f64,
    /// Seconds since learning began.
    pub seconds: f64,
}

/// How far an epoch is.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    /// Counted from 1.
    pub epoch: usize,
    /// Listings learned from so far, over all epochs.
    pub rows: u64,
    /// Listings to learn from at most.
    pub rows_at_most: u64,
    /// Mean loss of the latest steps.
    pub loss: f64,
}

/// All that learning needs to know.
#[derive(Clone, Copy)]
pub struct Learning<'a> {
    /// The hyper-parameters.
    pub config: &'a TrainConfig,
    /// What the first pass found out.
    pub statistics: &'a Statistics,
    /// Listings to ids and numbers.
    pub encoder: &'a Encoder,
    /// Listings a split.
    pub rows: Rows,
    /// Set from outside to stop at the next batch.
    pub stop: &'a AtomicBool,
}

/// Batches and replies that may wait between two threads.
const QUEUE: usize = 8;

impl Learning<'_> {
    /// Learns until the validation loss no longer falls. `on_step` is told how it goes, `on_epoch`
    /// what was measured. Gives the stream back for calibration and evaluation.
    pub fn learn(
        self,
        stream: ListingStream,
        runtime: &Handle,
        on_step: &dyn Fn(Step),
        on_epoch: &mut dyn FnMut(usize, EpochMetrics) -> Result<(), Error>,
    ) -> Result<(TabularRegressor, ListingStream), Error> {
        let device = Device::flex();
        device.seed(self.config.seed);
        let regressor = TabularRegressor::init(self.config, self.statistics, &device).materialize();
        let (preprocessing, members) = regressor.into_parts();
        std::thread::scope(|scope| {
            let (loaded_in, loaded) = crossbeam_channel::bounded(QUEUE);
            let loader = scope.spawn(move || self.load(stream, runtime, &loaded_in));
            let (replies_in, replies) = crossbeam_channel::unbounded();
            let mut jobs = Vec::new();
            let mut threads = Vec::new();
            for (number, member) in members.into_iter().enumerate() {
                let (jobs_in, jobs_out) = crossbeam_channel::bounded(QUEUE);
                let thread = MemberThread::new(number, member, preprocessing.clone(), &self);
                let replies = replies_in.clone();
                threads.push(scope.spawn(move || thread.run(&jobs_out, &replies)));
                jobs.push(jobs_in);
            }
            drop(replies_in);
            let outcome = Epochs { learning: self, jobs, replies }.run(&loaded, on_step, on_epoch);
            // The loader ends when nobody takes its batches.
            drop(loaded);
            let stream = loader.join().map_err(|_| Error::ThreadStopped)?;
            let members: Result<Vec<Member>, Error> = threads.into_iter().map(join).collect();
            outcome?;
            Ok((TabularRegressor::from_parts(preprocessing, members?, self.statistics), stream))
        })
    }

    /// Listings a step: fewer than configured where an epoch would otherwise have hardly any steps.
    fn batch_size(&self) -> usize {
        let fitting = usize::try_from(self.rows.train / 100).unwrap_or(usize::MAX).max(16);
        self.config.batch_size.min(fitting.checked_next_power_of_two().unwrap_or(fitting))
    }

    fn steps_at_most(&self) -> u64 {
        self.rows.train.div_ceil(self.batch_size() as u64) * self.config.epochs as u64
    }

    /// The loader's thread: all epochs, each followed by the validation split, until nobody listens.
    fn load(&self, mut stream: ListingStream, runtime: &Handle, loaded: &Sender<Loaded>) -> ListingStream {
        for epoch in 0..self.config.epochs {
            let order = Order {
                seed: self.config.seed,
                epoch: epoch as u64,
                shuffle_rows: self.config.shuffle_rows,
                batch_size: self.batch_size(),
            };
            let train = |batch| loaded.send(Loaded::Train(Arc::new(batch))).is_ok();
            let validation = |batch| loaded.send(Loaded::Validation(Arc::new(batch))).is_ok();
            let read = runtime.block_on(async {
                stream.shuffled(order, self.encoder, train).await?;
                stream.batches(Split::Validation, self.encoder, 1024, validation).await
            });
            let last = match read {
                Ok(()) => Loaded::EpochEnd,
                Err(error) => Loaded::Failed(error),
            };
            let failed = matches!(last, Loaded::Failed(_));
            if loaded.send(last).is_err() || failed {
                break;
            }
        }
        stream
    }
}

fn join(thread: ScopedJoinHandle<'_, Member>) -> Result<Member, Error> {
    thread.join().map_err(|_| Error::ThreadStopped)
}

/// The keeper of time: hands batches to the members and stops when they no longer get better.
struct Epochs<'a> {
    learning: Learning<'a>,
    jobs: Vec<Sender<Job>>,
    replies: Receiver<Reply>,
}

impl Epochs<'_> {
    fn run(
        self,
        loaded: &Receiver<Loaded>,
        on_step: &dyn Fn(Step),
        on_epoch: &mut dyn FnMut(usize, EpochMetrics) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let config = self.learning.config;
        let began = Instant::now();
        let mut schedule = Schedule { config, step: 0, steps: self.learning.steps_at_most() };
        let (mut best_loss, mut best_epoch) = (f64::INFINITY, 0);
        for epoch in 1..=config.epochs {
            let metrics = self.epoch(epoch, &mut schedule, loaded, began, on_step)?;
            on_epoch(epoch, metrics)?;
            if metrics.validation_loss < best_loss {
                (best_loss, best_epoch) = (metrics.validation_loss, epoch);
                self.tell(&Job::Keep)?;
            }
            if epoch - best_epoch >= config.patience {
                break;
            }
        }
        Ok(())
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
                    let all_rows = self.learning.rows.train * (epoch as u64 - 1) + rows;
                    let rows_at_most = self.learning.rows.train * self.learning.config.epochs as u64;
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
            sum.iter_mut().zip(member).for_each(|(sum, quantile)| *sum += quantile);
        }
        #[expect(clippy::cast_precision_loss, reason = "a handful of members")]
        let count = self.jobs.len() as f32;
        sum.iter_mut().for_each(|quantile| *quantile /= count);
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

#[derive(Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    fn add_loss(&mut self, reply: &Reply) {
        if let Reply::Learned(loss) = reply {
            self.sum += f64::from(*loss);
            self.count += 1.0;
        }
    }

    fn value(&self) -> f64 {
        self.sum / self.count.max(1.0)
    }
}

/// Sums over the validation split.
#[derive(Default)]
struct Validation {
    rows: f64,
    loss: f64,
    ape: f64,
}

impl Validation {
    fn add(&mut self, batch: &TabularBatch, predictions: &[f32], learning: &Learning<'_>) {
        let levels = &learning.config.quantiles;
        let Statistics { log_mean, log_deviation, .. } = learning.statistics;
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

    fn loss(&self) -> f64 {
        self.loss / self.rows
    }

    fn mape(&self) -> f64 {
        self.ape / self.rows
    }
}

/// The pinball loss of an error (true minus predicted) at a quantile's level.
fn pinball(level: f64, error: f64) -> f64 {
    (level * error).max((level - 1.0) * error)
}

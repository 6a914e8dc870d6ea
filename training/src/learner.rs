//! Learning: one thread loads, one thread a member learns, and this one goes through the epochs.
//!
//! Members are independent networks that see the same batches in the same order, so that they need
//! no word from one another and both cores are busy without a barrier a step.

mod epochs;
mod masks;
mod measures;
mod member_thread;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::prelude::Device;
use crossbeam_channel::Sender;
use domain::identity::Split;
use onnx_model::Encoder;
use serde::{Deserialize, Serialize};
use storage::TabularBatch;

use crate::config::TrainConfig;
use crate::model::{Members, Preprocessing, Statistics, TabularRegressor};
use crate::stream::{ListingStream, Order, Position};
use crate::{Error, budget};
use epochs::{Epochs, Saved};
use measures::Mean;
pub use member_thread::MemberState;
use member_thread::MemberThread;

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
    /// Listings to learn from in an epoch.
    pub rows: u64,
    /// How long to learn.
    pub until: Until,
    /// Set from outside to stop at the next batch.
    pub stop: &'a AtomicBool,
}

/// How long to learn.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// Until the validation loss no longer falls.
    Best,
    /// So many epochs, without a look at the validation split.
    Epochs(usize),
}

/// What was learned.
pub struct Learned {
    /// The network, with the best averaged weights.
    pub regressor: TabularRegressor,
    /// The epoch that they are from, counted from 1.
    pub epoch: usize,
}

/// Told how learning goes.
pub struct Callbacks<'a> {
    /// A step was made.
    pub step: &'a dyn Fn(Step),
    /// What was measured on the validation split at the end of an epoch.
    pub epoch: &'a mut dyn FnMut(usize, EpochMetrics) -> Result<(), Error>,
    /// To be kept, so that learning can go on from here.
    pub checkpoint: &'a mut dyn FnMut(&LearnerState) -> Result<(), Error>,
}

/// Where learning stands between two steps: all that it takes to go on as if nothing had happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LearnerState {
    /// Counted from 1.
    epoch: usize,
    /// How far that epoch is.
    position: Position,
    /// Listings of that epoch learned from.
    rows: u64,
    /// The losses of that epoch's steps.
    train: Mean,
    /// Steps of all epochs, which is where the schedule of the learning rate stands.
    steps: u64,
    best_loss: f64,
    best_epoch: usize,
    /// Seconds that learning has taken.
    seconds: f64,
    /// Whether there is nothing more to learn.
    is_over: bool,
    /// In their order.
    #[serde(skip)]
    pub members: Vec<MemberState>,
}

impl Default for LearnerState {
    fn default() -> Self {
        Self {
            epoch: 1,
            position: Position::default(),
            rows: 0,
            train: Mean::default(),
            steps: 0,
            best_loss: f64::INFINITY,
            best_epoch: 0,
            seconds: 0.0,
            is_over: false,
            members: Vec::new(),
        }
    }
}

impl LearnerState {
    /// The epoch that learning goes on in; `None` when it is over.
    pub fn goes_on_in(&self) -> Option<usize> {
        Some(self.epoch).filter(|_| !self.is_over)
    }
}

/// What the loader thread hands to the learner.
#[derive(Debug)]
enum Loaded {
    /// Rows to learn from, and the position behind them.
    Train(Arc<TabularBatch>, Position),
    /// Rows to validate on; they follow the training rows of their epoch.
    Validation(Arc<TabularBatch>),
    /// All rows of an epoch have been handed over.
    EpochEnd,
    /// The rows could not be read.
    Failed(Error),
}

/// Batches and replies that may wait between two threads.
const QUEUE: usize = 8;

impl Learning<'_> {
    /// Learns, from the beginning or from where it stood. Nothing is read where all was learned already.
    pub fn learn(
        self,
        stream: &mut ListingStream<'_>,
        saved: Option<LearnerState>,
        callbacks: Callbacks<'_>,
    ) -> Result<Learned, Error> {
        let device = Device::flex();
        device.seed(self.config.seed);
        let preprocessing = Preprocessing::init(self.config, self.statistics, &device);
        let mut state = saved.unwrap_or_default();
        let mut saved_members = std::mem::take(&mut state.members).into_iter();
        let mut members = Vec::new();
        for number in 0..self.config.k {
            let fresh = Members::init(self.config, self.statistics, &device).materialize();
            members.push(MemberThread::new(number, fresh, preprocessing.clone(), &self));
            if let Some(saved) = saved_members.next() {
                members[number].restore(saved, state.steps)?;
            }
        }
        let shuffle_rows = budget::shuffle_rows(self.config, self.batch_size(), members[0].weights())?;
        let (epoch, members) = if state.is_over {
            (state.best_epoch, members.into_iter().map(MemberThread::into_best).collect())
        } else {
            self.run(stream, (state, members), shuffle_rows, callbacks)?
        };
        Ok(Learned {
            regressor: TabularRegressor::new(preprocessing, Members::stack(&members), self.statistics),
            epoch,
        })
    }

    fn run(
        self,
        stream: &mut ListingStream<'_>,
        (state, members): (LearnerState, Vec<MemberThread>),
        shuffle_rows: usize,
        callbacks: Callbacks<'_>,
    ) -> Result<(usize, Vec<Members>), Error> {
        std::thread::scope(|scope| {
            let (batches_in, batches) = crossbeam_channel::bounded(QUEUE);
            let (epoch, position) = (state.epoch, state.position);
            let loader = scope.spawn(move || self.load(stream, (epoch, position), shuffle_rows, &batches_in));
            let (replies_in, replies) = crossbeam_channel::unbounded();
            let mut jobs = Vec::new();
            let mut threads = Vec::new();
            for member in members {
                let (jobs_in, jobs_out) = crossbeam_channel::bounded(QUEUE);
                let replies = replies_in.clone();
                threads.push(scope.spawn(move || member.run(jobs_out, &replies)));
                jobs.push(jobs_in);
            }
            drop(replies_in);
            let saved = Saved { at: Instant::now(), took: Duration::ZERO };
            let outcome = Epochs { learning: self, jobs, replies, callbacks, saved }.run(state, &batches);
            // The loader ends when nobody takes its batches.
            drop(batches);
            let load = loader.join().map_err(|_| Error::ThreadStopped);
            // Each is waited for, whatever the others have come to: a panic that nobody looks at is passed on.
            let members: Vec<Option<Members>> =
                threads.into_iter().map(|thread| thread.join().ok().flatten()).collect();
            let members: Option<Vec<Members>> = members.into_iter().collect();
            load?;
            Ok((outcome?, members.ok_or(Error::ThreadStopped)?))
        })
    }

    /// Listings a step: fewer than configured where an epoch would otherwise have hardly any steps.
    fn batch_size(&self) -> usize {
        let fitting = usize::try_from(self.rows / 100).unwrap_or(usize::MAX).max(16);
        self.config.batch_size.min(fitting.checked_next_power_of_two().unwrap_or(fitting))
    }

    /// Steps of the learning rate's schedule, which is the same however early learning ends.
    fn scheduled_steps(&self) -> u64 {
        self.rows.div_ceil(self.batch_size() as u64) * self.config.epochs as u64
    }

    /// The learning rate of a step, counted from 1: linear warm-up, then a cosine to 0.
    #[expect(clippy::cast_precision_loss, reason = "step counts are far below 2^52")]
    fn rate(&self, step: u64) -> f64 {
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

    fn epochs_at_most(&self) -> usize {
        match self.until {
            Until::Best => self.config.epochs,
            Until::Epochs(epochs) => epochs,
        }
    }

    /// The loader's thread: all epochs, each followed by the validation split where that decides, until nobody
    /// listens.
    fn load(
        &self,
        stream: &mut ListingStream<'_>,
        (first, position): (usize, Position),
        shuffle_rows: usize,
        loaded: &Sender<Loaded>,
    ) {
        for epoch in first..=self.epochs_at_most() {
            let order = Order {
                seed: self.config.seed,
                epoch: epoch as u64 - 1,
                shuffle_rows,
                batch_size: self.batch_size(),
                is_shuffled: self.config.shuffle,
            };
            let from = if epoch == first { position } else { Position::default() };
            let rows = usize::try_from(self.rows).unwrap_or(usize::MAX);
            let train = |batch, behind| loaded.send(Loaded::Train(Arc::new(batch), behind)).is_ok();
            let validation = |batch| loaded.send(Loaded::Validation(Arc::new(batch))).is_ok();
            let mut read = stream.shuffled(order, from, rows, self.encoder, train);
            if matches!(self.until, Until::Best) {
                read = read.and_then(|()| stream.batches(Split::Validation, self.encoder, validation));
            }
            let last = match read {
                Ok(()) => Loaded::EpochEnd,
                Err(error) => Loaded::Failed(error),
            };
            let failed = matches!(last, Loaded::Failed(_));
            if loaded.send(last).is_err() || failed {
                break;
            }
        }
    }
}

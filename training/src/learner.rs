//! Learning: one thread loads, one thread a member learns, and this one goes through the epochs.
//!
//! Members are independent networks that see the same batches in the same order, so that they need
//! no word from one another and both cores are busy without a barrier a step.

mod epochs;
mod measures;
mod member_thread;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::ScopedJoinHandle;

use burn::module::Module;
use burn::prelude::Device;
use crossbeam_channel::Sender;
use domain::identity::Split;
use onnx_model::Encoder;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::Error;
use crate::config::TrainConfig;
use crate::model::{Members, Preprocessing, Statistics, TabularRegressor};
use crate::stream::{ListingStream, Loaded, Order};
use epochs::Epochs;
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
    /// The listings, for calibration and evaluation.
    pub stream: ListingStream,
}

/// Batches and replies that may wait between two threads.
const QUEUE: usize = 8;

impl Learning<'_> {
    /// Learns. `on_step` is told how it goes, `on_epoch` what was measured on the validation split.
    pub fn learn(
        self,
        stream: ListingStream,
        runtime: &Handle,
        on_step: &dyn Fn(Step),
        on_epoch: &mut dyn FnMut(usize, EpochMetrics) -> Result<(), Error>,
    ) -> Result<Learned, Error> {
        let device = Device::flex();
        device.seed(self.config.seed);
        let preprocessing = Preprocessing::init(self.config, self.statistics, &device);
        let members: Vec<Members> =
            (0..self.config.k).map(|_| Members::init(self.config, self.statistics, &device).materialize()).collect();
        std::thread::scope(|scope| {
            let (batches_in, batches) = crossbeam_channel::bounded(QUEUE);
            let loader = scope.spawn(move || self.load(stream, runtime, &batches_in));
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
            let outcome = Epochs { learning: self, jobs, replies }.run(&batches, on_step, on_epoch);
            // The loader ends when nobody takes its batches.
            drop(batches);
            let stream = loader.join().map_err(|_| Error::ThreadStopped)?;
            let members: Result<Vec<Members>, Error> = threads.into_iter().map(join).collect();
            let epoch = outcome?;
            let regressor = TabularRegressor::new(preprocessing, Members::stack(&members?), self.statistics);
            Ok(Learned { regressor, epoch, stream })
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

    fn epochs_at_most(&self) -> usize {
        match self.until {
            Until::Best => self.config.epochs,
            Until::Epochs(epochs) => epochs,
        }
    }

    /// The loader's thread: all epochs, each followed by the validation split where that decides, until nobody
    /// listens.
    fn load(&self, mut stream: ListingStream, runtime: &Handle, loaded: &Sender<Loaded>) -> ListingStream {
        for epoch in 0..self.epochs_at_most() {
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
                match self.until {
                    Until::Best => stream.batches(Split::Validation, self.encoder, validation).await,
                    Until::Epochs(_) => Ok(()),
                }
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

fn join(thread: ScopedJoinHandle<'_, Members>) -> Result<Members, Error> {
    thread.join().map_err(|_| Error::ThreadStopped)
}

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
use onnx_model::signature::Rows;
use serde::Serialize;
use tokio::runtime::Handle;

use crate::Error;
use crate::config::TrainConfig;
use crate::model::{Member, Statistics, TabularRegressor};
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

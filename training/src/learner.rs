//! Trains a network: a thread loads batches, each member trains on its own thread, and the current thread runs the epochs.
//!
//! Members are independent networks that train on the same batches in the same order, so they need no synchronization after
//! each step.

mod ensemble;
mod epochs;
mod loader;
mod member_thread;
mod metrics;
mod state;
mod task;

use std::ops::Range;
use std::time::{Duration, Instant};

use burn::module::Module;
use burn::prelude::Device;

use crate::budget;
use crate::error::Error;
use crate::model::{Estimator, Members, Preprocessing, TabularRegressor};
use crate::stream::ListingStream;
pub use ensemble::{EnsembleEpoch, EpochRanking};
pub use epochs::{Callbacks, MemberEvent, MemberMetrics, OnMember};
use epochs::{EpochLoop, LastCheckpoint};
use loader::load_epochs;
pub use member_thread::MemberState;
use member_thread::{MemberThread, record};
pub use state::LearnerState;
pub use task::{EpochMetrics, Step, StoppingRule, TrainingTask};

/// A trained model.
pub struct FittedModel {
    /// The model; a network has its best averaged weights.
    pub regressor: TabularRegressor,
    /// The epoch of these weights, starting at 1; 0 if it was not trained in epochs.
    pub epoch: usize,
    /// The validation loss of these weights; NaN if it was not trained in epochs.
    pub loss: f64,
}

/// The capacity of the queues between threads.
const QUEUE: usize = 8;

/// Trains a network, from the start or from a saved state. If training had finished, nothing is read.
pub fn fit(
    task: TrainingTask<'_>,
    stream: &mut ListingStream<'_>,
    saved: Option<LearnerState>,
    callbacks: Callbacks<'_>,
) -> Result<FittedModel, Error> {
    let (preprocessing, (epoch, loss), members) = train(task, 0..task.config.k, stream, saved, callbacks)?;
    Ok(FittedModel {
        regressor: TabularRegressor::new(
            preprocessing,
            Estimator::Network(Members::stack(&members)),
            task.statistics,
            task.config.quantiles.len(),
        ),
        epoch,
        loss,
    })
}

/// Trains one member of a network exactly as [`fit`] would, apart from the others. Returns its weights after the last epoch, as
/// a record; with early stopping, `callbacks.apart` receives those of each epoch instead.
pub fn fit_member(
    task: TrainingTask<'_>,
    number: usize,
    stream: &mut ListingStream<'_>,
    saved: Option<LearnerState>,
    callbacks: Callbacks<'_>,
) -> Result<Vec<u8>, Error> {
    let (_, _, members) = train(task, number..number + 1, stream, saved, callbacks)?;
    Ok(record(&members[0])?)
}

/// The best epoch and its validation loss.
type BestEpoch = (usize, f64);

/// Trains the members with these numbers, of which there must be at least one. Returns the best epoch and its weights.
fn train(
    task: TrainingTask<'_>,
    numbers: Range<usize>,
    stream: &mut ListingStream<'_>,
    saved: Option<LearnerState>,
    callbacks: Callbacks<'_>,
) -> Result<(Preprocessing, BestEpoch, Vec<Members>), Error> {
    let device = Device::flex();
    device.seed(task.config.seed);
    let preprocessing = Preprocessing::init(task.config, task.statistics, &device);
    let mut state = saved.unwrap_or_default();
    let mut saved_members = std::mem::take(&mut state.members).into_iter();
    let mut members: Vec<MemberThread> = Vec::new();
    // The members before the first one draw their initial weights from the same generator.
    for number in 0..numbers.end {
        let fresh = Members::init(task.config, task.statistics, &device).materialize();
        if !numbers.contains(&number) {
            continue;
        }
        let mut member = MemberThread::new((number, members.len()), fresh, preprocessing.clone(), &task);
        match saved_members.next() {
            Some(saved) if state.is_finished => member.restore_best(saved.best)?,
            Some(saved) => member.restore(saved, state.steps)?,
            None => {}
        }
        members.push(member);
    }
    let shuffle_rows = budget::shuffle_rows(task.config, task.batch_size(), members[0].weight_count())?;
    let (best, members) = if state.is_finished {
        ((state.best_epoch, state.best_loss), members.into_iter().map(MemberThread::into_best).collect())
    } else {
        train_members(task, stream, (state, members), shuffle_rows, callbacks)?
    };
    Ok((preprocessing, best, members))
}

fn train_members(
    task: TrainingTask<'_>,
    stream: &mut ListingStream<'_>,
    (state, members): (LearnerState, Vec<MemberThread>),
    shuffle_rows: usize,
    callbacks: Callbacks<'_>,
) -> Result<(BestEpoch, Vec<Members>), Error> {
    std::thread::scope(|scope| {
        let (batch_sender, batches) = crossbeam_channel::bounded(QUEUE);
        let (epoch, position) = (state.epoch, state.position);
        let loader = scope.spawn(move || load_epochs(&task, stream, (epoch, position), shuffle_rows, &batch_sender));
        let (reply_sender, replies) = crossbeam_channel::unbounded();
        let mut commands = Vec::new();
        let mut threads = Vec::new();
        for member in members {
            let (sender, receiver) = crossbeam_channel::bounded(QUEUE);
            let replies = reply_sender.clone();
            threads.push(scope.spawn(move || member.run_commands(receiver, &replies)));
            commands.push(sender);
        }
        drop(reply_sender);
        let last_checkpoint = LastCheckpoint { at: Instant::now(), duration: Duration::ZERO };
        let outcome = EpochLoop { task, commands, replies, callbacks, last_checkpoint }.run_epochs(state, &batches);
        // The loader ends once the receiver is dropped.
        drop(batches);
        let loading = loader.join().map_err(|_| Error::ThreadStopped);
        // All threads are joined, since the scope would propagate the panic of any other.
        let members: Vec<Option<Members>> = threads.into_iter().map(|thread| thread.join().ok().flatten()).collect();
        let members: Option<Vec<Members>> = members.into_iter().collect();
        loading?;
        Ok((outcome?, members.ok_or(Error::ThreadStopped)?))
    })
}

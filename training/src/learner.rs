//! Training a network: one thread loads, each member trains in a thread of its own, and this one runs the epochs.
//!
//! Members are independent networks that see the same batches in the same order, so that they need not communicate and
//! both cores are busy without a barrier at each step.

mod epochs;
mod loader;
mod masks;
mod measures;
mod member_thread;
mod state;
mod task;

use std::time::{Duration, Instant};

use burn::module::Module;
use burn::prelude::Device;

use crate::budget;
use crate::error::Error;
use crate::model::{Members, Preprocessing, TabularRegressor};
use crate::stream::ListingStream;
pub use epochs::Callbacks;
use epochs::{Epochs, Saved};
use loader::load;
pub use member_thread::MemberState;
use member_thread::MemberThread;
pub use state::LearnerState;
pub use task::{EpochMetrics, Step, TrainingTask, Until};

/// A trained network.
pub struct FittedNetwork {
    /// The network, with the best averaged weights.
    pub regressor: TabularRegressor,
    /// The epoch that these are from, counted from 1.
    pub epoch: usize,
}

/// Batches and replies that may wait between two threads.
const QUEUE: usize = 8;

/// Trains a network, from the start or from a saved state. Nothing is read where training was over already.
pub fn fit(
    task: TrainingTask<'_>,
    stream: &mut ListingStream<'_>,
    saved: Option<LearnerState>,
    callbacks: Callbacks<'_>,
) -> Result<FittedNetwork, Error> {
    let device = Device::flex();
    device.seed(task.config.seed);
    let preprocessing = Preprocessing::init(task.config, task.statistics, &device);
    let mut state = saved.unwrap_or_default();
    let mut saved_members = std::mem::take(&mut state.members).into_iter();
    let mut members = Vec::new();
    for number in 0..task.config.k {
        let fresh = Members::init(task.config, task.statistics, &device).materialize();
        members.push(MemberThread::new(number, fresh, preprocessing.clone(), &task));
        if let Some(saved) = saved_members.next() {
            members[number].restore(saved, state.steps)?;
        }
    }
    let shuffle_rows = budget::shuffle_rows(task.config, task.batch_size(), members[0].weights())?;
    let (epoch, members) = if state.is_over {
        (state.best_epoch, members.into_iter().map(MemberThread::into_best).collect())
    } else {
        run_threads(task, stream, (state, members), shuffle_rows, callbacks)?
    };
    Ok(FittedNetwork {
        regressor: TabularRegressor::new(preprocessing, Members::stack(&members), task.statistics),
        epoch,
    })
}

fn run_threads(
    task: TrainingTask<'_>,
    stream: &mut ListingStream<'_>,
    (state, members): (LearnerState, Vec<MemberThread>),
    shuffle_rows: usize,
    callbacks: Callbacks<'_>,
) -> Result<(usize, Vec<Members>), Error> {
    std::thread::scope(|scope| {
        let (batches_in, batches) = crossbeam_channel::bounded(QUEUE);
        let (epoch, position) = (state.epoch, state.position);
        let loader = scope.spawn(move || load(&task, stream, (epoch, position), shuffle_rows, &batches_in));
        let (replies_in, replies) = crossbeam_channel::unbounded();
        let mut jobs = Vec::new();
        let mut threads = Vec::new();
        for member in members {
            let (jobs_in, jobs_out) = crossbeam_channel::bounded(QUEUE);
            let replies = replies_in.clone();
            threads.push(scope.spawn(move || member.run_jobs(jobs_out, &replies)));
            jobs.push(jobs_in);
        }
        drop(replies_in);
        let saved = Saved { at: Instant::now(), took: Duration::ZERO };
        let outcome = Epochs { task, jobs, replies, callbacks, saved }.run_epochs(state, &batches);
        // The loader ends when nobody takes its batches.
        drop(batches);
        let load = loader.join().map_err(|_| Error::ThreadStopped);
        // All are joined, whatever the others returned: the scope would pass on a panic of a thread that is not.
        let members: Vec<Option<Members>> = threads.into_iter().map(|thread| thread.join().ok().flatten()).collect();
        let members: Option<Vec<Members>> = members.into_iter().collect();
        load?;
        Ok((outcome?, members.ok_or(Error::ThreadStopped)?))
    })
}

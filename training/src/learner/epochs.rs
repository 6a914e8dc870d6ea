//! The loop over epochs: batches to the members, their replies into metrics, and early stopping.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::loader::Loaded;
use super::measures::{Mean, Validation};
use super::member_thread::{Job, MemberState, Reply};
use super::state::LearnerState;
use super::task::{EpochMetrics, Step, TrainingTask, Until};
use crate::error::Error;

/// A killed run loses little more than this.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(2);
/// With a large network, or on a slow disk, checkpoints are rarer: saving takes at most one part in this many of the time.
const TRAINING_PER_SAVING: u32 = 50;

/// Callbacks of the training loop.
pub struct Callbacks<'a> {
    /// After each step.
    pub step: &'a dyn Fn(Step),
    /// After each epoch that was validated.
    pub epoch: &'a mut dyn FnMut(usize, EpochMetrics) -> Result<(), Error>,
    /// Saves a state that training can be resumed from.
    pub checkpoint: &'a mut dyn FnMut(&LearnerState) -> Result<(), Error>,
}

/// Hands batches to the members, epoch by epoch.
pub(super) struct Epochs<'a, 'c> {
    pub(super) task: TrainingTask<'a>,
    /// To each member, in their order.
    pub(super) jobs: Vec<Sender<Job>>,
    /// From all members.
    pub(super) replies: Receiver<Reply>,
    pub(super) callbacks: Callbacks<'c>,
    /// The last checkpoint.
    pub(super) saved: Saved,
}

/// When the last checkpoint was written, and how long that took.
pub(super) struct Saved {
    pub(super) at: Instant,
    pub(super) took: Duration,
}

impl Saved {
    fn is_old(&self) -> bool {
        self.at.elapsed() >= CHECKPOINT_INTERVAL.max(self.took * TRAINING_PER_SAVING)
    }
}

impl Epochs<'_, '_> {
    /// Runs from a state on; returns the number of the epoch whose weights the members have kept.
    pub(super) fn run_epochs(mut self, mut state: LearnerState, loaded: &Receiver<Loaded>) -> Result<usize, Error> {
        let seconds_before = state.seconds;
        let began = Instant::now();
        while !state.is_over {
            let epoch = self.run_epoch(&mut state, loaded).and_then(|measured| {
                state.seconds = seconds_before + began.elapsed().as_secs_f64();
                self.end_epoch(&mut state, &measured)
            });
            match epoch {
                Ok(()) if !state.is_over && !self.saved.is_old() => {}
                Ok(()) => self.save_checkpoint(&mut state)?,
                // The state is consistent between any two steps.
                Err(error @ (Error::Interrupted | Error::Storage(_))) => {
                    self.save_checkpoint(&mut state)?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(state.best_epoch)
    }

    /// Trains on the rest of an epoch and validates.
    fn run_epoch(&mut self, state: &mut LearnerState, loaded: &Receiver<Loaded>) -> Result<Measured, Error> {
        let began = Instant::now();
        let mut trained_for = Duration::ZERO;
        let rows_before = state.rows;
        let mut validation = Validation::default();
        loop {
            if self.task.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            match loaded.recv().map_err(|_| Error::ThreadStopped)? {
                Loaded::Train(batch, behind) => {
                    let rows = batch.len() as u64;
                    self.send(&Job::Train(batch, self.task.learning_rate(state.steps + 1)))?;
                    state.steps += 1;
                    state.rows += rows;
                    state.position = behind;
                    while let Ok(reply) = self.replies.try_recv() {
                        match reply {
                            Reply::Loss(loss) => state.train.add(loss),
                            Reply::Stopped => return Err(Error::ThreadStopped),
                            Reply::Predicted(..) | Reply::Saved(..) => {}
                        }
                    }
                    self.report_step(state);
                    if self.saved.is_old() {
                        self.save_checkpoint(state)?;
                    }
                }
                Loaded::Validation(batch) => {
                    self.send(&Job::Predict(Arc::clone(&batch)))?;
                    let predictions = self.predictions(&mut state.train)?;
                    if validation.rows == 0.0 {
                        trained_for = began.elapsed();
                    }
                    validation.add(&batch, &predictions, &self.task);
                }
                Loaded::EpochEnd => break,
                Loaded::Failed(error) => return Err(error),
            }
        }
        if state.rows != self.task.rows {
            return Err(Error::ListingsChanged { expected: self.task.rows, found: state.rows });
        }
        if !state.train.value().is_finite() || !validation.loss().is_finite() {
            let suggested = self.task.config.learning_rate / 2.0;
            return Err(Error::Diverged { epoch: state.epoch, suggested });
        }
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
        let rows_per_second = (state.rows - rows_before) as f64 / trained_for.as_secs_f64().max(1e-9);
        Ok(Measured { validation, rows_per_second })
    }

    /// Reports the metrics, keeps the weights if they are the best so far, and moves to the next epoch.
    fn end_epoch(&mut self, state: &mut LearnerState, measured: &Measured) -> Result<(), Error> {
        let Measured { validation, rows_per_second } = measured;
        let is_best = match self.task.until {
            Until::Best => {
                let metrics = EpochMetrics {
                    train_loss: state.train.value(),
                    validation_loss: validation.loss(),
                    validation_mape: validation.mape(),
                    learning_rate: self.task.learning_rate(state.steps),
                    rows_per_second: *rows_per_second,
                    seconds: state.seconds,
                };
                (self.callbacks.epoch)(state.epoch, metrics)?;
                validation.loss() < state.best_loss
            }
            Until::Epochs(_) => true,
        };
        if is_best {
            (state.best_loss, state.best_epoch) = (validation.loss(), state.epoch);
            self.send(&Job::Keep)?;
        }
        let epochs_since_best = state.epoch - state.best_epoch;
        state.is_over = state.epoch == self.task.max_epochs() || epochs_since_best >= self.task.config.patience;
        state.epoch += 1;
        let LearnerState { position, rows, train, .. } = LearnerState::default();
        (state.position, state.rows, state.train) = (position, rows, train);
        Ok(())
    }

    fn report_step(&self, state: &LearnerState) {
        let rows = self.task.rows;
        (self.callbacks.step)(Step {
            epoch: state.epoch,
            rows: rows * (state.epoch as u64 - 1) + state.rows,
            max_rows: rows * self.task.max_epochs() as u64,
            loss: state.train.value(),
        });
    }

    /// Saves the state, that of the members included.
    fn save_checkpoint(&mut self, state: &mut LearnerState) -> Result<(), Error> {
        let began = Instant::now();
        self.send(&Job::Save)?;
        let mut members: Vec<Option<MemberState>> = vec![None; self.jobs.len()];
        while members.iter().any(Option::is_none) {
            match self.replies.recv().map_err(|_| Error::ThreadStopped)? {
                Reply::Saved(member, saved) => members[member] = Some(saved?),
                Reply::Loss(loss) => state.train.add(loss),
                Reply::Stopped => return Err(Error::ThreadStopped),
                Reply::Predicted(..) => {}
            }
        }
        state.members = members.into_iter().flatten().collect();
        let saved = (self.callbacks.checkpoint)(state);
        // They take as much memory as the members themselves.
        state.members.clear();
        self.saved = Saved { at: Instant::now(), took: began.elapsed() };
        saved
    }

    /// The members' predictions for the last batch, averaged in the order of the members.
    fn predictions(&self, train: &mut Mean) -> Result<Vec<f32>, Error> {
        let mut members: Vec<Option<Vec<f32>>> = vec![None; self.jobs.len()];
        while members.iter().any(Option::is_none) {
            match self.replies.recv().map_err(|_| Error::ThreadStopped)? {
                Reply::Predicted(member, quantiles) => members[member] = Some(quantiles),
                Reply::Loss(loss) => train.add(loss),
                Reply::Stopped => return Err(Error::ThreadStopped),
                Reply::Saved(..) => {}
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

    fn send(&self, job: &Job) -> Result<(), Error> {
        self.jobs.iter().try_for_each(|jobs| jobs.send(job.clone()).map_err(|_| Error::ThreadStopped))
    }
}

/// The measurements of an epoch.
struct Measured {
    validation: Validation,
    rows_per_second: f64,
}

//! The epochs: batches to the members, their replies into metrics, and an end when they no longer
//! get better.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};

use super::measures::{Mean, Validation};
use super::member_thread::{Job, MemberState, Reply};
use super::{Callbacks, EpochMetrics, LearnerState, Learning, Loaded, Step, Until};
use crate::Error;

/// A kill costs what was learned since the last checkpoint: little more than this.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(2);
/// Of a large network, or on a slow disk, checkpoints are rarer, so that they take no more than one second in so many.
const SECONDS_A_SECOND_OF_SAVING: u32 = 50;

/// Hands batches to the members, epoch by epoch.
pub(super) struct Epochs<'a, 'c> {
    pub(super) learning: Learning<'a>,
    /// To each member, in their order.
    pub(super) jobs: Vec<Sender<Job>>,
    /// From all members.
    pub(super) replies: Receiver<Reply>,
    pub(super) callbacks: Callbacks<'c>,
    /// The last checkpoint.
    pub(super) saved: Saved,
}

/// When a checkpoint was written, and what it took.
pub(super) struct Saved {
    pub(super) at: Instant,
    pub(super) took: Duration,
}

impl Saved {
    fn is_old(&self) -> bool {
        self.at.elapsed() >= CHECKPOINT_EVERY.max(self.took * SECONDS_A_SECOND_OF_SAVING)
    }
}

impl Epochs<'_, '_> {
    /// Goes on from a state, and gives the number of the epoch whose weights the members have kept.
    pub(super) fn run(mut self, mut state: LearnerState, loaded: &Receiver<Loaded>) -> Result<usize, Error> {
        let before = state.seconds;
        let began = Instant::now();
        while !state.is_over {
            let epoch = self.epoch(&mut state, loaded).and_then(|measured| {
                state.seconds = before + began.elapsed().as_secs_f64();
                self.end_epoch(&mut state, &measured)
            });
            match epoch {
                Ok(()) if !state.is_over && !self.saved.is_old() => {}
                Ok(()) => self.checkpoint(&mut state)?,
                // Between two steps the state is whole at any time.
                Err(error @ (Error::Interrupted | Error::Storage(_))) => {
                    self.checkpoint(&mut state)?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(state.best_epoch)
    }

    /// Learns from what is left of an epoch and validates.
    fn epoch(&mut self, state: &mut LearnerState, loaded: &Receiver<Loaded>) -> Result<Measured, Error> {
        let began = Instant::now();
        let mut learned_in = Duration::ZERO;
        let rows_before = state.rows;
        let mut validation = Validation::default();
        loop {
            if self.learning.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            match loaded.recv().map_err(|_| Error::ThreadStopped)? {
                Loaded::Train(batch, behind) => {
                    let rows = batch.len() as u64;
                    self.tell(&Job::Learn(batch, self.learning.rate(state.steps + 1)))?;
                    state.steps += 1;
                    state.rows += rows;
                    state.position = behind;
                    while let Ok(reply) = self.replies.try_recv() {
                        match reply {
                            Reply::Learned(loss) => state.train.add(loss),
                            Reply::Stopped => return Err(Error::ThreadStopped),
                            Reply::Predicted(..) | Reply::Saved(..) => {}
                        }
                    }
                    self.tell_step(state);
                    if self.saved.is_old() {
                        self.checkpoint(state)?;
                    }
                }
                Loaded::Validation(batch) => {
                    self.tell(&Job::Predict(Arc::clone(&batch)))?;
                    let predictions = self.predictions(&mut state.train)?;
                    if validation.rows == 0.0 {
                        learned_in = began.elapsed();
                    }
                    validation.add(&batch, &predictions, &self.learning);
                }
                Loaded::EpochEnd => break,
                Loaded::Failed(error) => return Err(error),
            }
        }
        if state.rows != self.learning.rows {
            return Err(Error::ListingsChanged { expected: self.learning.rows, found: state.rows });
        }
        if !state.train.value().is_finite() || !validation.loss().is_finite() {
            let suggested = self.learning.config.learning_rate / 2.0;
            return Err(Error::Diverged { epoch: state.epoch, suggested });
        }
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
        let rows_per_second = (state.rows - rows_before) as f64 / learned_in.as_secs_f64().max(1e-9);
        Ok(Measured { validation, rows_per_second })
    }

    /// Tells the metrics, keeps the weights if they are the best so far, and goes over to the next epoch.
    fn end_epoch(&mut self, state: &mut LearnerState, measured: &Measured) -> Result<(), Error> {
        let Measured { validation, rows_per_second } = measured;
        let is_best = match self.learning.until {
            Until::Best => {
                let metrics = EpochMetrics {
                    train_loss: state.train.value(),
                    validation_loss: validation.loss(),
                    validation_mape: validation.mape(),
                    learning_rate: self.learning.rate(state.steps),
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
            self.tell(&Job::Keep)?;
        }
        let waited = state.epoch - state.best_epoch;
        state.is_over = state.epoch == self.learning.epochs_at_most() || waited >= self.learning.config.patience;
        state.epoch += 1;
        let LearnerState { position, rows, train, .. } = LearnerState::default();
        (state.position, state.rows, state.train) = (position, rows, train);
        Ok(())
    }

    fn tell_step(&self, state: &LearnerState) {
        let rows = self.learning.rows;
        (self.callbacks.step)(Step {
            epoch: state.epoch,
            rows: rows * (state.epoch as u64 - 1) + state.rows,
            rows_at_most: rows * self.learning.epochs_at_most() as u64,
            loss: state.train.value(),
        });
    }

    /// Has the state kept, the members' included.
    fn checkpoint(&mut self, state: &mut LearnerState) -> Result<(), Error> {
        let began = Instant::now();
        self.tell(&Job::Save)?;
        let mut members: Vec<Option<MemberState>> = vec![None; self.jobs.len()];
        while members.iter().any(Option::is_none) {
            match self.replies.recv().map_err(|_| Error::ThreadStopped)? {
                Reply::Saved(member, saved) => members[member] = Some(saved?),
                Reply::Learned(loss) => state.train.add(loss),
                Reply::Stopped => return Err(Error::ThreadStopped),
                Reply::Predicted(..) => {}
            }
        }
        state.members = members.into_iter().flatten().collect();
        let saved = (self.callbacks.checkpoint)(state);
        // They are of no use here and take as much memory as the members themselves.
        state.members.clear();
        self.saved = Saved { at: Instant::now(), took: began.elapsed() };
        saved
    }

    /// The members' predictions of the batch that they were last given, averaged in their order.
    fn predictions(&self, train: &mut Mean) -> Result<Vec<f32>, Error> {
        let mut members: Vec<Option<Vec<f32>>> = vec![None; self.jobs.len()];
        while members.iter().any(Option::is_none) {
            match self.replies.recv().map_err(|_| Error::ThreadStopped)? {
                Reply::Predicted(member, quantiles) => members[member] = Some(quantiles),
                Reply::Learned(loss) => train.add(loss),
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

    fn tell(&self, job: &Job) -> Result<(), Error> {
        self.jobs.iter().try_for_each(|jobs| jobs.send(job.clone()).map_err(|_| Error::ThreadStopped))
    }
}

/// What came of an epoch.
struct Measured {
    validation: Validation,
    rows_per_second: f64,
}

//! The epoch loop: sends batches to the members, collects metrics, and applies early stopping.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender};
use serde::{Deserialize, Serialize};
use storage::TabularBatch;

use super::loader::LoaderMessage;
use super::member_thread::{Command, MemberState, Reply};
use super::metrics::{RunningMean, ValidationMetrics, average};
use super::state::LearnerState;
use super::task::{EpochMetrics, Step, StoppingRule, TrainingTask};
use crate::error::Error;

/// The minimum time between checkpoints.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(2);
/// The minimum ratio of the time between checkpoints to the time for saving one, for large networks and slow disks.
const MIN_TRAINING_PER_SAVING: u32 = 50;

/// Callbacks of the training loop.
pub struct Callbacks<'a> {
    /// Called after each step.
    pub step: &'a dyn Fn(Step),
    /// Called after each validated epoch.
    pub epoch: &'a mut dyn FnMut(usize, EpochMetrics) -> Result<(), Error>,
    /// Saves a state to resume training from.
    pub checkpoint: &'a mut dyn FnMut(&LearnerState) -> Result<(), Error>,
    /// Set if other processes train the other members, so that this one cannot tell which epoch is best.
    pub apart: Option<&'a mut OnMember<'a>>,
}

/// Called when a member that is trained apart from the others has validated. Once it returns false, training ends.
pub type OnMember<'a> = dyn FnMut(MemberEvent<'_>) -> Result<bool, Error> + 'a;

/// What a member has done that is trained apart from the others.
pub enum MemberEvent<'a> {
    /// At the end of an epoch, it predicts these standardized quantiles `[N, Q]` for a batch of the validation split.
    Predicted(usize, &'a TabularBatch, &'a [f32]),
    /// It has ended an epoch, starting at 1, with these averaged weights, as a record.
    EpochEnd(usize, MemberMetrics, Vec<u8>),
}

/// The metrics of an epoch of a member that is trained apart from the others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct MemberMetrics {
    pub(super) train_loss: RunningMean,
    pub(super) learning_rate: f64,
    pub(super) rows_per_second: f64,
    pub(super) seconds: f64,
}

/// Runs the epochs.
pub(super) struct EpochLoop<'a, 'c> {
    pub(super) task: TrainingTask<'a>,
    /// The command queues of the members, in order.
    pub(super) commands: Vec<Sender<Command>>,
    /// The replies of all members.
    pub(super) replies: Receiver<Reply>,
    pub(super) callbacks: Callbacks<'c>,
    pub(super) last_checkpoint: LastCheckpoint,
}

/// The time of the last checkpoint, and how long it took.
pub(super) struct LastCheckpoint {
    pub(super) at: Instant,
    pub(super) duration: Duration,
}

impl LastCheckpoint {
    fn is_old(&self) -> bool {
        self.at.elapsed() >= CHECKPOINT_INTERVAL.max(self.duration * MIN_TRAINING_PER_SAVING)
    }
}

impl EpochLoop<'_, '_> {
    /// Trains from a state on; returns the best epoch and its validation loss.
    pub(super) fn run_epochs(
        mut self,
        mut state: LearnerState,
        messages: &Receiver<LoaderMessage>,
    ) -> Result<(usize, f64), Error> {
        let seconds_before = state.seconds;
        let start = Instant::now();
        while !state.is_finished {
            let epoch = self.run_epoch(&mut state, messages).and_then(|result| {
                state.seconds = seconds_before + start.elapsed().as_secs_f64();
                self.end_epoch(&mut state, &result)
            });
            match epoch {
                Ok(()) if !state.is_finished && !self.last_checkpoint.is_old() => {}
                Ok(()) => self.save_checkpoint(&mut state)?,
                // The state is consistent between any two steps.
                Err(error @ (Error::Interrupted | Error::Storage(_))) => {
                    self.save_checkpoint(&mut state)?;
                    return Err(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((state.best_epoch, state.best_loss))
    }

    /// Trains on the rest of an epoch, and validates.
    fn run_epoch(
        &mut self,
        state: &mut LearnerState,
        messages: &Receiver<LoaderMessage>,
    ) -> Result<EpochResult, Error> {
        let start = Instant::now();
        let mut trained_for = Duration::ZERO;
        let rows_before = state.rows;
        let mut validation = ValidationMetrics::default();
        loop {
            if self.task.stop.load(Ordering::Relaxed) {
                return Err(Error::Interrupted);
            }
            match messages.recv().map_err(|_| Error::ThreadStopped)? {
                LoaderMessage::Train(batch, next) => {
                    let rows = batch.len() as u64;
                    self.send(&Command::Train(batch, self.task.learning_rate(state.steps + 1)))?;
                    state.steps += 1;
                    state.rows += rows;
                    state.position = next;
                    while let Ok(reply) = self.replies.try_recv() {
                        match reply {
                            Reply::Loss(loss) => state.train_loss.add(loss),
                            Reply::Stopped => return Err(Error::ThreadStopped),
                            Reply::Predicted(..) | Reply::Saved(..) => {}
                        }
                    }
                    self.report_step(state);
                    if self.last_checkpoint.is_old() {
                        self.save_checkpoint(state)?;
                    }
                }
                LoaderMessage::Validation(batch) => {
                    self.send(&Command::Predict(Arc::clone(&batch)))?;
                    let predictions = self.predictions(&mut state.train_loss)?;
                    if validation.rows == 0.0 {
                        trained_for = start.elapsed();
                    }
                    if let Some(apart) = &mut self.callbacks.apart {
                        apart(MemberEvent::Predicted(state.epoch, &batch, &predictions))?;
                    }
                    let TrainingTask { config, statistics, .. } = self.task;
                    validation.add(&batch.log_prices, &predictions, &config.quantiles, statistics);
                }
                LoaderMessage::EpochEnd => break,
                LoaderMessage::Failed(error) => return Err(error),
            }
        }
        if state.rows != self.task.rows {
            return Err(Error::ListingsChanged { expected: self.task.rows, found: state.rows });
        }
        if !state.train_loss.value().is_finite() || !validation.loss().is_finite() {
            let suggested = self.task.config.learning_rate / 2.0;
            return Err(Error::Diverged { epoch: state.epoch, suggested });
        }
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
        let rows_per_second = (state.rows - rows_before) as f64 / trained_for.as_secs_f64().max(1e-9);
        Ok(EpochResult { validation, rows_per_second })
    }

    /// Reports the metrics, marks the weights if they are the best so far, and advances to the next epoch.
    fn end_epoch(&mut self, state: &mut LearnerState, result: &EpochResult) -> Result<(), Error> {
        if matches!(self.task.stopping_rule, StoppingRule::EarlyStopping(_)) && self.callbacks.apart.is_some() {
            return self.end_member_epoch(state, result);
        }
        let EpochResult { validation, rows_per_second } = result;
        let is_best = match self.task.stopping_rule {
            StoppingRule::EarlyStopping(_) => {
                let metrics = EpochMetrics {
                    train_loss: state.train_loss.value(),
                    validation_loss: validation.loss(),
                    validation_mape: validation.mape(),
                    learning_rate: self.task.learning_rate(state.steps),
                    rows_per_second: *rows_per_second,
                    seconds: state.seconds,
                };
                (self.callbacks.epoch)(state.epoch, metrics)?;
                validation.loss() < state.best_loss
            }
            StoppingRule::Epochs { .. } => true,
        };
        if is_best {
            (state.best_loss, state.best_epoch) = (validation.loss(), state.epoch);
            self.send(&Command::MarkBest)?;
        }
        let epochs_since_best = state.epoch - state.best_epoch;
        state.is_finished = state.epoch == self.task.max_epochs() || epochs_since_best >= self.task.config.patience;
        state.start_next_epoch();
        Ok(())
    }

    /// The same for a member that is trained apart from the others.
    fn end_member_epoch(&mut self, state: &mut LearnerState, result: &EpochResult) -> Result<(), Error> {
        let members = self.member_states(&mut state.train_loss)?;
        let metrics = MemberMetrics {
            train_loss: state.train_loss,
            learning_rate: self.task.learning_rate(state.steps),
            rows_per_second: result.rows_per_second,
            seconds: state.seconds,
        };
        let mut goes_on = true;
        if let Some(apart) = &mut self.callbacks.apart {
            for MemberState { average, .. } in members {
                goes_on &= apart(MemberEvent::EpochEnd(state.epoch, metrics.clone(), average))?;
            }
        }
        state.is_finished = !goes_on || state.epoch == self.task.max_epochs();
        state.start_next_epoch();
        Ok(())
    }

    fn report_step(&self, state: &LearnerState) {
        let rows = self.task.rows;
        (self.callbacks.step)(Step {
            epoch: state.epoch,
            number: state.steps,
            rows: rows * (state.epoch as u64 - 1) + state.rows,
            max_rows: rows * self.task.max_epochs() as u64,
            loss: state.train_loss.value(),
        });
    }

    /// Saves the state including that of the members.
    fn save_checkpoint(&mut self, state: &mut LearnerState) -> Result<(), Error> {
        let start = Instant::now();
        state.members = self.member_states(&mut state.train_loss)?;
        let saved = (self.callbacks.checkpoint)(state);
        // The states take as much memory as the members themselves.
        state.members.clear();
        self.last_checkpoint = LastCheckpoint { at: Instant::now(), duration: start.elapsed() };
        saved
    }

    /// The states of the members, in order.
    fn member_states(&self, train: &mut RunningMean) -> Result<Vec<MemberState>, Error> {
        self.send(&Command::Save)?;
        let mut members: Vec<Option<MemberState>> = vec![None; self.commands.len()];
        while members.iter().any(Option::is_none) {
            match self.replies.recv().map_err(|_| Error::ThreadStopped)? {
                Reply::Saved(member, saved) => members[member] = Some(saved?),
                Reply::Loss(loss) => train.add(loss),
                Reply::Stopped => return Err(Error::ThreadStopped),
                Reply::Predicted(..) => {}
            }
        }
        Ok(members.into_iter().flatten().collect())
    }

    /// The members' predictions for the last batch, averaged in the order of the members.
    fn predictions(&self, train: &mut RunningMean) -> Result<Vec<f32>, Error> {
        let mut members: Vec<Option<Vec<f32>>> = vec![None; self.commands.len()];
        while members.iter().any(Option::is_none) {
            match self.replies.recv().map_err(|_| Error::ThreadStopped)? {
                Reply::Predicted(member, quantiles) => members[member] = Some(quantiles),
                Reply::Loss(loss) => train.add(loss),
                Reply::Stopped => return Err(Error::ThreadStopped),
                Reply::Saved(..) => {}
            }
        }
        Ok(average(members.into_iter().flatten()))
    }

    fn send(&self, command: &Command) -> Result<(), Error> {
        self.commands.iter().try_for_each(|commands| commands.send(command.clone()).map_err(|_| Error::ThreadStopped))
    }
}

/// The result of an epoch.
struct EpochResult {
    validation: ValidationMetrics,
    rows_per_second: f64,
}

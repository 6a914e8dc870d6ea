//! Where the checkpoints of a stage go: to the folder and, for a part of a run that is split among processes, now and then to the
//! database, so that another machine goes on with it.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use storage::{Part, retry_while_unavailable};
use tokio::time::timeout;

use super::ensemble::number;
use super::run::TrainingRun;
use crate::Error;
use crate::checkpoint::{PreparedData, Stage};
use crate::learner::LearnerState;

/// The minimum time between checkpoints in the database, unless the run is stopped.
const SHARING_INTERVAL: Duration = Duration::from_mins(1);
/// The time limit for storing one: training goes on without it.
const SHARING_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest checkpoint to store in the database, in bytes.
const MAX_SHARED_BYTES: usize = 256 << 20;

/// Saves the checkpoints of a stage.
pub(super) struct Checkpoints<'a> {
    run: &'a TrainingRun<'a>,
    stage: Stage,
    shared_at: Option<Instant>,
}

impl<'a> Checkpoints<'a> {
    pub(super) fn new(run: &'a TrainingRun<'a>, stage: Stage) -> Self {
        Self { run, stage, shared_at: None }
    }

    pub(super) fn save(&mut self, prepared: &PreparedData, state: &LearnerState) -> Result<(), Error> {
        self.run.folder.save(self.stage, prepared, Some(state))?;
        // A part that has finished stores its result.
        if state.resume_epoch().is_some() { self.share() } else { Ok(()) }
    }

    /// Stores the checkpoint in the database, if this is a part of a run. What is stored there is only an aid, so failures are no
    /// errors.
    fn share(&mut self) -> Result<(), Error> {
        let TrainingRun { context, folder, lease, .. } = self.run;
        let is_stopped = context.stop.load(Ordering::Relaxed);
        let is_due = is_stopped || self.shared_at.is_none_or(|at| at.elapsed() >= SHARING_INTERVAL);
        let Some(lease) = lease.as_ref().filter(|lease| is_due && lease.part().stage == self.stage.name()) else {
            return Ok(());
        };
        self.shared_at = Some(Instant::now());
        let Some(bytes) = folder.read_checkpoint(self.stage)?.filter(|bytes| bytes.len() <= MAX_SHARED_BYTES) else {
            return Ok(());
        };
        let parts = context.database.run_parts();
        let stored =
            context.handle.block_on(async { timeout(SHARING_TIMEOUT, parts.store_checkpoint(lease, &bytes)).await });
        if !matches!(stored, Ok(Ok(()))) {
            tracing::debug!("The checkpoint was not stored in the database.");
        }
        Ok(())
    }
}

impl TrainingRun<'_> {
    /// Puts the checkpoint that another process has stored into the folder, unless there is one.
    pub(super) fn fetch_checkpoint(&self, stage: Stage, member: usize) -> Result<(), Error> {
        if self.folder.read_checkpoint(stage)?.is_some() {
            return Ok(());
        }
        let (parts, retry_for) = (self.context.database.run_parts(), self.context.retry_for);
        let part = Part { run: self.id, stage: stage.name(), member: number(member) };
        let stored = retry_while_unavailable(retry_for, async || parts.checkpoint(&part).await);
        match self.context.block_on(stored)? {
            Some(bytes) => self.folder.write_checkpoint(stage, &bytes),
            None => Ok(()),
        }
    }
}

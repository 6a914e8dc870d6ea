//! The state of training, for checkpoints.

use serde::{Deserialize, Serialize};

use super::member_thread::MemberState;
use super::metrics::RunningMean;
use crate::stream::Position;

/// The state of training between two steps, from which it resumes exactly as if uninterrupted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LearnerState {
    /// The epoch, starting at 1.
    pub(super) epoch: usize,
    /// The position within that epoch.
    pub(super) position: Position,
    /// The number of listings of that epoch processed so far.
    pub(super) rows: u64,
    /// The mean training loss of that epoch.
    #[serde(rename = "train")]
    pub(super) train_loss: RunningMean,
    /// The number of steps so far, which determines the learning rate.
    pub(super) steps: u64,
    pub(super) best_loss: f64,
    pub(super) best_epoch: usize,
    /// The training time so far in seconds.
    pub(super) seconds: f64,
    /// Whether training has finished.
    #[serde(rename = "is_over")]
    pub(super) is_finished: bool,
    /// The states of the members, in order.
    #[serde(skip)]
    pub members: Vec<MemberState>,
}

impl Default for LearnerState {
    fn default() -> Self {
        Self {
            epoch: 1,
            position: Position::default(),
            rows: 0,
            train_loss: RunningMean::default(),
            steps: 0,
            best_loss: f64::INFINITY,
            best_epoch: 0,
            seconds: 0.0,
            is_finished: false,
            members: Vec::new(),
        }
    }
}

impl LearnerState {
    /// The best validation loss so far; infinite before the first epoch.
    pub fn best_loss(&self) -> f64 {
        self.best_loss
    }

    /// The state after training that has finished with these weights of the members, as records, from its best epoch.
    pub fn finished(best_epoch: usize, best: Vec<Vec<u8>>) -> Self {
        let member = |best| MemberState { weights: Vec::new(), optimizer: Vec::new(), average: Vec::new(), best };
        let members = best.into_iter().map(member).collect();
        Self { epoch: best_epoch + 1, best_epoch, is_finished: true, members, ..Self::default() }
    }

    /// The same with only that which is needed once training has finished.
    pub fn without_optimizer(self) -> Self {
        let members = self.members.into_iter();
        let best = |member: MemberState| MemberState {
            weights: Vec::new(),
            optimizer: Vec::new(),
            average: Vec::new(),
            best: member.best,
        };
        Self { members: members.map(best).collect(), ..self }
    }

    /// Advances to the start of the next epoch.
    pub(super) fn start_next_epoch(&mut self) {
        let Self { position, rows, train_loss, .. } = Self::default();
        (self.epoch, self.position, self.rows, self.train_loss) = (self.epoch + 1, position, rows, train_loss);
    }

    /// The epoch in which training resumes; `None` if it has finished.
    pub fn resume_epoch(&self) -> Option<usize> {
        Some(self.epoch).filter(|_| !self.is_finished)
    }
}

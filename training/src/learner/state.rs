//! What training can be resumed from.

use serde::{Deserialize, Serialize};

use super::measures::Mean;
use super::member_thread::MemberState;
use crate::stream::Position;

/// The state of training between two steps: all that resuming needs to repeat an uninterrupted run exactly.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LearnerState {
    /// Counted from 1.
    pub(super) epoch: usize,
    /// The position within that epoch.
    pub(super) position: Position,
    /// Listings of that epoch processed so far.
    pub(super) rows: u64,
    /// The losses of that epoch's steps.
    pub(super) train: Mean,
    /// Steps of all epochs: the position in the schedule of the learning rate.
    pub(super) steps: u64,
    pub(super) best_loss: f64,
    pub(super) best_epoch: usize,
    /// Seconds of training so far.
    pub(super) seconds: f64,
    /// Whether training is over.
    pub(super) is_over: bool,
    /// In the order of the members.
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
    /// The epoch in which training resumes; `None` when it is over.
    pub fn resume_epoch(&self) -> Option<usize> {
        Some(self.epoch).filter(|_| !self.is_over)
    }
}

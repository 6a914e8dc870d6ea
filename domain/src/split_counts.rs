//! The number of listings in each split.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Number of listings in each split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RunRows)]
pub struct SplitCounts {
    /// Trained on.
    #[schema(example = 57_936)]
    pub train: u64,
    /// For early stopping and calibration.
    #[schema(example = 7242)]
    pub validation: u64,
    /// For the accuracy card only.
    #[schema(example = 7242)]
    pub test: u64,
}

impl SplitCounts {
    /// Total over all splits.
    #[must_use]
    pub fn total(self) -> u64 {
        self.train + self.validation + self.test
    }
}

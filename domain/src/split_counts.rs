//! How many listings each split has.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Listings of each split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RunRows)]
pub struct SplitCounts {
    /// Learned from.
    #[schema(example = 57_936)]
    pub train: u64,
    /// Stopped and calibrated by.
    #[schema(example = 7242)]
    pub validation: u64,
    /// Only measured on.
    #[schema(example = 7242)]
    pub test: u64,
}

impl SplitCounts {
    /// Listings of all splits together.
    #[must_use]
    pub fn total(self) -> u64 {
        self.train + self.validation + self.test
    }
}

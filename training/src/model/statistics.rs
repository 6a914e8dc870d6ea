//! Statistics of the training split that define the network.

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

use super::generations::Generations;

/// Statistics of the training split.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Statistics {
    /// The number of known keys of each categorical feature.
    pub cardinalities: Vec<usize>,
    /// The ascending, distinct bin edges of each derived number; empty if it is always missing.
    pub edges: Vec<Vec<f32>>,
    /// The generations to impute.
    pub generations: Generations,
    /// The first and last date; `None` without dates.
    #[serde(default)]
    pub dates: Option<[NaiveDate; 2]>,
    /// The mean of the logarithm of the price.
    pub log_mean: f64,
    /// The standard deviation of the logarithm of the price; above 0.
    pub log_deviation: f64,
    /// Whether the target never rises with the mileage, as a price does.
    #[serde(default = "yes")]
    pub falls_with_mileage: bool,
}

/// Checkpoints from before there were other targets than prices.
fn yes() -> bool {
    true
}

impl Statistics {
    /// The logarithm of a price as the models predict it, with a mean of 0 and a deviation of 1 on the training split.
    #[must_use]
    pub fn standardized(&self, log_price: f32) -> f32 {
        #[expect(clippy::cast_possible_truncation, reason = "models compute in single precision")]
        {
            ((f64::from(log_price) - self.log_mean) / self.log_deviation) as f32
        }
    }
}

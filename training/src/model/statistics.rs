//! Statistics of the training split that the network is built with.

use serde::{Deserialize, Serialize};

use super::generations::Generations;

/// Statistics that the first passes over the training split collect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Statistics {
    /// Known keys of each categorical feature.
    pub cardinalities: Vec<usize>,
    /// Rising, distinct bin edges of each derived number; empty for a number that is never known.
    pub edges: Vec<Vec<f32>>,
    /// The generations that fill in where none is known.
    pub generations: Generations,
    /// Mean of the logarithm of the price.
    pub log_mean: f64,
    /// Standard deviation of the logarithm of the price; above 0.
    pub log_deviation: f64,
}

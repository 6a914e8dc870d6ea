//! The network: tabular quantile regression with an ensemble of multi-layer perceptrons.

mod generations;
mod members;
mod preprocessing;

pub use generations::{GenerationCounter, GenerationFiller, Generations};
pub use members::{Dropout, Members};
pub use preprocessing::{DERIVED, Encoded, Preprocessing, derive};

use burn::module::Module;
use burn::prelude::*;
use serde::{Deserialize, Serialize};

/// Everything that the graph holds: from ids and raw numbers to quantiles of the price.
#[derive(Module, Debug)]
pub struct TabularRegressor {
    preprocessing: Preprocessing,
    members: Members,
    /// Mean of the logarithm of the training prices.
    log_mean: f64,
    /// Standard deviation of the logarithm of the training prices.
    log_deviation: f64,
}

/// What the first passes over the training split have found out.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Statistics {
    /// Known keys of each categorical feature.
    pub cardinalities: Vec<usize>,
    /// Rising, distinct bin edges of each derived number; empty for a number that is never known.
    pub edges: Vec<Vec<f32>>,
    /// The generations that stand in where none is known.
    pub generations: Generations,
    /// Mean of the logarithm of the price.
    pub log_mean: f64,
    /// Standard deviation of the logarithm of the price; above 0.
    pub log_deviation: f64,
}

impl TabularRegressor {
    /// A regressor of trained members.
    #[must_use]
    pub fn new(preprocessing: Preprocessing, members: Members, statistics: &Statistics) -> Self {
        Self { preprocessing, members, log_mean: statistics.log_mean, log_deviation: statistics.log_deviation }
    }

    /// Quantiles of the price in currency units, `[N, Q]`, rising along Q, from `categorical`
    /// `[N, C]` (0 = unknown or missing) and `numeric` `[N, F]` (raw units, NaN = missing).
    ///
    /// The members are averaged where they were trained: in the logarithm of the price.
    #[must_use]
    pub fn forward(&self, categorical: &Tensor<2, Int>, numeric: &Tensor<2>) -> Tensor<2> {
        let quantiles = self.members.forward(self.preprocessing.encode(categorical, numeric), None); // [N, Q]
        (quantiles * self.log_deviation + self.log_mean).exp()
    }
}

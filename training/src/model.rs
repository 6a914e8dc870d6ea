//! The models: quantile regression on tabular data, with an ensemble of multilayer perceptrons or with a linear model on the same
//! encoded inputs.

mod bins;
mod derived;
mod generations;
mod horizon;
mod linear;
mod members;
mod preprocessing;
mod statistics;

pub use derived::{DERIVED, TRUNK, derive};
pub use generations::{GenerationCounter, GenerationFiller, Generations};
pub use horizon::LevelEffect;
pub use linear::{LinearModel, LinearWeights};
pub use members::{Dropout, Members};
pub use preprocessing::{Encoded, Preprocessing, constant_outputs};
pub use statistics::Statistics;

use burn::module::Module;
use burn::prelude::*;

/// The part of the graph that is trained, from encoded listings to quantiles of the standardized log price.
#[derive(Module, Debug)]
pub enum Estimator {
    /// An ensemble of networks.
    Network(Members),
    /// A linear model.
    Linear(LinearModel),
}

impl Estimator {
    fn forward(&self, encoded: Encoded) -> Tensor<2> {
        match self {
            Self::Network(members) => members.forward(encoded, None),
            Self::Linear(model) => model.forward(encoded),
        }
    }
}

/// The whole graph, from ids and raw numbers to price quantiles.
#[derive(Module, Debug)]
pub struct TabularRegressor {
    preprocessing: Preprocessing,
    estimator: Estimator,
    /// Mean of the logarithm of the training prices.
    log_mean: f64,
    /// Standard deviation of the logarithm of the training prices.
    log_deviation: f64,
    /// The effect of days outside of the training dates.
    level: LevelEffect,
}

impl TabularRegressor {
    /// A regressor of a trained estimator, for which every later day is as the last day of the training dates.
    #[must_use]
    pub fn new(preprocessing: Preprocessing, estimator: Estimator, statistics: &Statistics, quantiles: usize) -> Self {
        let Statistics { log_mean, log_deviation, .. } = *statistics;
        let level = LevelEffect::new(quantiles, |_, _| 0.0, &Device::flex());
        Self { preprocessing, estimator, log_mean, log_deviation, level }
    }

    /// The same regressor with this effect of days outside of the training dates.
    #[must_use]
    pub fn with_level(self, level: LevelEffect) -> Self {
        Self { level, ..self }
    }

    /// Price quantiles in currency units, `[N, Q]`, ascending along Q, from `categorical` `[N, C]` (0 = unknown or missing)
    /// and `numeric` `[N, F]` (raw units, NaN = missing).
    ///
    /// Members are averaged in log space, in which they are trained.
    #[must_use]
    pub fn forward(&self, categorical: &Tensor<2, Int>, numeric: &Tensor<2>) -> Tensor<2> {
        let encoded = self.preprocessing.encode(categorical, numeric);
        let shifts = self.level.at(encoded.years_beyond.clone()); // [N, Q]
        let quantiles = self.estimator.forward(encoded); // [N, Q]
        (quantiles * self.log_deviation + self.log_mean + shifts).exp()
    }
}

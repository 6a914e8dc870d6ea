//! The network: tabular quantile regression with an ensemble of multi-layer perceptrons.

mod member;
mod preprocessing;

pub use member::{Dropout, Member};
pub use preprocessing::{DERIVED, Preprocessing, derive};

use burn::module::Module;
use burn::prelude::*;

use crate::config::TrainConfig;

/// Everything that the graph holds: from ids and raw numbers to quantiles of the price.
#[derive(Module, Debug)]
pub struct TabularRegressor {
    preprocessing: Preprocessing,
    members: Vec<Member>,
    /// Mean of the logarithm of the training prices.
    log_mean: f64,
    /// Standard deviation of the logarithm of the training prices.
    log_deviation: f64,
}

/// What the first pass over the training split has found out.
#[derive(Clone, Debug)]
pub struct Statistics {
    /// Known keys of each categorical feature.
    pub cardinalities: Vec<usize>,
    /// Rising, distinct bin edges of each derived number; empty for a number that is never known.
    pub edges: Vec<Vec<f32>>,
    /// Mean of the logarithm of the price.
    pub log_mean: f64,
    /// Standard deviation of the logarithm of the price; above 0.
    pub log_deviation: f64,
}

impl TabularRegressor {
    /// A regressor with fresh weights, drawn from the device's random generator.
    #[must_use]
    pub fn init(config: &TrainConfig, statistics: &Statistics, device: &Device) -> Self {
        let preprocessing = Preprocessing::init(config.n_bins, statistics, device);
        let members = (0..config.k).map(|_| Member::init(config, statistics, device)).collect();
        Self { preprocessing, members, log_mean: statistics.log_mean, log_deviation: statistics.log_deviation }
    }

    /// Quantiles of the price in currency units, `[N, Q]`, rising along Q, from `categorical`
    /// `[N, C]` (0 = unknown or missing) and `numeric` `[N, F]` (raw units, NaN = missing).
    ///
    /// The members are averaged where they were trained: in the logarithm of the price.
    #[must_use]
    pub fn forward(&self, categorical: Tensor<2, Int>, numeric: &Tensor<2>) -> Tensor<2> {
        let rows = self.preprocessing.rows(categorical); // [N, C]
        let numbers = self.preprocessing.encode(numeric); // [N, D, B + 1]
        let mut members = self.members.iter().map(|member| member.forward(rows.clone(), numbers.clone(), None));
        // A regressor has at least one member: the configuration is checked.
        let first = members.next().unwrap_or_else(|| unreachable!("k is at least 1"));
        let sum = members.fold(first, |sum, quantiles| sum + quantiles); // [N, Q]
        #[expect(clippy::cast_precision_loss, reason = "a handful of members")]
        let scale = self.log_deviation / self.members.len() as f64;
        (sum * scale + self.log_mean).exp()
    }

    /// The parts that a training thread works with: what all members share, and the members.
    #[must_use]
    pub fn into_parts(self) -> (Preprocessing, Vec<Member>) {
        (self.preprocessing, self.members)
    }

    /// A regressor from trained members.
    #[must_use]
    pub fn from_parts(preprocessing: Preprocessing, members: Vec<Member>, statistics: &Statistics) -> Self {
        Self { preprocessing, members, log_mean: statistics.log_mean, log_deviation: statistics.log_deviation }
    }
}

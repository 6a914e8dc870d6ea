//! One member of the ensemble: embeddings, a multi-layer perceptron, a head of quantiles.

use burn::module::{Module, Param};
use burn::nn::{Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::{Distribution, activation};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{DERIVED, Statistics};
use crate::config::TrainConfig;

/// A network of its own; members share no weights.
#[derive(Module, Debug)]
pub struct Member {
    /// One row a known key of any category, and one a category for what is unknown or missing.
    embedding: Param<Tensor<2>>,
    /// An embedding of each encoded number, `[D, B + 1, E]`.
    numeric_weight: Param<Tensor<3>>,
    /// `[1, D · E]`
    numeric_bias: Param<Tensor<2>>,
    blocks: Vec<Linear>,
    /// The median and the distances between neighbouring quantiles.
    head: Linear,
    /// Adds distances up to quantiles, `[Q - 1, Q]`: see [`distances_to_quantiles`].
    cumulative: Tensor<2>,
    /// Picks the median for every quantile, `[1, Q]`.
    ones: Tensor<2>,
}

impl Member {
    /// A member with fresh weights, drawn from the device's random generator.
    #[must_use]
    pub fn init(config: &TrainConfig, statistics: &Statistics, device: &Device) -> Self {
        let rows: usize = statistics.cardinalities.iter().map(|cardinality| cardinality + 1).sum();
        let quantiles = config.quantiles.len();
        let normal = |deviation: f64| Distribution::Normal(0.0, deviation);
        #[expect(clippy::cast_precision_loss, reason = "a handful of bins")]
        let numeric_deviation = 1.0 / ((config.n_bins + 1) as f64).sqrt();
        let width = statistics.cardinalities.len() * config.d_embedding + DERIVED * config.d_numeric;
        let blocks = (0..config.n_blocks)
            .map(|block| {
                LinearConfig::new(if block == 0 { width } else { config.d_block }, config.d_block).init(device)
            })
            .collect();
        Self {
            embedding: Param::from_tensor(Tensor::random([rows, config.d_embedding], normal(0.3), device)),
            numeric_weight: Param::from_tensor(Tensor::random(
                [DERIVED, config.n_bins + 1, config.d_numeric],
                normal(numeric_deviation),
                device,
            )),
            numeric_bias: Param::from_tensor(Tensor::zeros([1, DERIVED * config.d_numeric], device)),
            blocks,
            head: LinearConfig::new(config.d_block, quantiles).init(device),
            cumulative: distances_to_quantiles(quantiles, device),
            ones: Tensor::ones([1, quantiles], device),
        }
    }

    /// Quantiles of the standardized logarithm of the price, `[N, Q]`, rising along Q, from rows
    /// of the embedding table, `[N, C]`, and encoded numbers, `[N, D, B + 1]`. With `dropout`,
    /// hidden units are dropped at random, as in training.
    #[must_use]
    pub fn forward(&self, rows: Tensor<2, Int>, numbers: Tensor<3>, mut dropout: Option<&mut Dropout>) -> Tensor<2> {
        let [n, categories] = rows.dims();
        let [_, width] = self.embedding.dims();
        let categorical = self.embedding.val().select(0, rows.reshape([n * categories])); // [N · C, E]
        let categorical = categorical.reshape([n, categories * width]); // [N, C · E]

        let [numbers_count, _, numeric_width] = self.numeric_weight.dims();
        let numeric = numbers.swap_dims(0, 1).matmul(self.numeric_weight.val()); // [D, N, E]
        let numeric = numeric.swap_dims(0, 1).reshape([n, numbers_count * numeric_width]); // [N, D · E]
        let numeric = activation::relu(numeric + self.numeric_bias.val());

        let mut hidden = Tensor::cat(vec![categorical, numeric], 1); // [N, C · E + D · E]
        for block in &self.blocks {
            hidden = activation::relu(block.forward(hidden)); // [N, H]
            if let Some(dropout) = dropout.as_deref_mut() {
                hidden = dropout.apply(hidden);
            }
        }
        let head = self.head.forward(hidden); // [N, Q]
        let quantiles = head.dims()[1];
        let median = head.clone().slice([0..n, 0..1]); // [N, 1]
        if quantiles == 1 {
            return median;
        }
        let distances = softplus(head.slice([0..n, 1..quantiles])); // [N, Q - 1]
        median.matmul(self.ones.clone()) + distances.matmul(self.cumulative.clone())
    }
}

/// Always above 0. The sum is free of overflow at both ends.
fn softplus(x: Tensor<2>) -> Tensor<2> {
    activation::relu(x.clone()) + (-x.abs()).exp().log1p()
}

/// The matrix, `[Q - 1, Q]`, that turns distances between neighbours into what is added to the
/// median: subtracted below it, added above it. Distances are above 0, so quantiles rise.
fn distances_to_quantiles(quantiles: usize, device: &Device) -> Tensor<2> {
    let median = quantiles / 2;
    let mut matrix = Vec::with_capacity((quantiles - 1) * quantiles);
    for gap in 0..quantiles - 1 {
        // The gap stands between quantile `gap` and the next.
        matrix.extend((0..quantiles).map(|quantile| match quantile {
            below if below <= gap && gap < median => -1.0_f32,
            above if above > gap && gap >= median => 1.0,
            _ => 0.0,
        }));
    }
    Tensor::from_data(TensorData::new(matrix, [quantiles - 1, quantiles]), device)
}

/// Drops hidden units at random, from a generator of its own, so that threads of members that run
/// beside each other repeat exactly.
#[derive(Debug)]
pub struct Dropout {
    probability: f64,
    random: ChaCha8Rng,
}

impl Dropout {
    /// Drops a share of units, seeded.
    #[must_use]
    pub fn new(probability: f64, seed: u64) -> Self {
        Self { probability, random: ChaCha8Rng::seed_from_u64(seed) }
    }

    fn apply(&mut self, hidden: Tensor<2>) -> Tensor<2> {
        if self.probability == 0.0 {
            return hidden;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 2^16")]
        let threshold = (self.probability * 65_536.0) as u16;
        #[expect(clippy::cast_possible_truncation, reason = "single precision is what tensors hold")]
        let kept = (1.0 / (1.0 - self.probability)) as f32;
        let [rows, width] = hidden.dims();
        let mut mask = Vec::with_capacity(rows * width + 4);
        while mask.len() < rows * width {
            let bits: u64 = self.random.random();
            for quarter in 0..4 {
                #[expect(clippy::cast_possible_truncation, reason = "the lowest 16 bits")]
                let draw = (bits >> (16 * quarter)) as u16;
                mask.push(if draw < threshold { 0.0 } else { kept });
            }
        }
        mask.truncate(rows * width);
        let mask = Tensor::from_data(TensorData::new(mask, [rows, width]), &hidden.device());
        hidden * mask
    }
}

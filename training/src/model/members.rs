//! The members of the ensemble: embeddings, a multilayer perceptron, and a quantile head.

use burn::module::{Module, Param};
use burn::prelude::*;
use burn::tensor::{Distribution, activation};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::derived::TRUNK;
use super::preprocessing::{Encoded, constant_outputs, outputs};
use super::statistics::Statistics;
use crate::config::TrainConfig;

/// The initial bias of the outputs for the mileage bins: almost no decrease of the price.
const INITIAL_FALL: f32 = -4.0;
/// The rise over a mileage bin, in standard deviations, that a target without the law has besides its fall.
const RISE: f32 = 1.0;
/// The initial bias of these outputs for such a target: the fall is as large as the rise, since its softplus is 1.
const INITIAL_FALL_WITHOUT_LAW: f32 = 0.541_324_85;

/// Independent networks with stacked weights: a training thread has a stack of one, the exported graph a stack of all `k`, so
/// that it computes each layer for all members at once.
///
/// The median decreases with the mileage by construction: the mileage is not an input of the perceptron, which instead
/// predicts, for each mileage bin, how much the price decreases over it. For a target that is not a price, a constant rise is
/// added over each bin, so that it may also increase.
#[derive(Module, Debug)]
pub struct Members {
    /// A row per known key of each category and a row per category for unknown or missing values, `[R, k · E]`.
    embedding: Param<Tensor<2>>,
    /// The embeddings of all numbers except the mileage, `[D - 1, B + 2, k · W]`.
    numeric: Param<Tensor<3>>,
    /// The first block, `[k, I, H]`. It needs no bias, since every category always contributes an embedding.
    first: Param<Tensor<3>>,
    /// The other blocks.
    blocks: Vec<Layer>,
    /// The head with `O` outputs, which [`Self::outputs_to_quantiles`] combines.
    head: Layer,
    /// The effect of the encoded mileage on the gaps between quantiles, `[k, O, O]`.
    mileage: Param<Tensor<3>>,
    /// 1 for the weights of `mileage` that may be nonzero, `[1, O, O]`.
    mileage_mask: Tensor<3>,
    /// The matrix `[O, Q]` of [`outputs_to_quantiles`].
    outputs_to_quantiles: Tensor<2>,
    /// The constant rise of each quantile over each mileage bin, `[O, Q]`, for targets without the law.
    rises: Option<Tensor<2>>,
}

/// An affine layer per member.
#[derive(Module, Debug)]
struct Layer {
    /// `[k, I, O]`
    weight: Param<Tensor<3>>,
    /// `[k, 1, O]`
    bias: Param<Tensor<3>>,
}

impl Layer {
    /// Weights of one member.
    fn init(inputs: usize, outputs: usize, device: &Device) -> Self {
        Self { weight: uniform(inputs, [1, inputs, outputs], device), bias: uniform(inputs, [1, 1, outputs], device) }
    }

    /// The output `[k, N, O]` from inputs `[k, N, I]` and ones `[1, N, 1]`. The bias is a matrix product too: a broadcast sum
    /// would take the built-in runtime twice as long as everything else.
    fn forward(&self, inputs: Tensor<3>, ones: &Tensor<3>) -> Tensor<3> {
        inputs.matmul(self.weight.val()) + ones.clone().matmul(self.bias.val())
    }

    fn stack(layers: &[&Self]) -> Self {
        Self { weight: cat(layers, |layer| &layer.weight, 0), bias: cat(layers, |layer| &layer.bias, 0) }
    }
}

/// Weights between -1/√I and 1/√I for a layer of `I` inputs.
fn uniform(inputs: usize, shape: [usize; 3], device: &Device) -> Param<Tensor<3>> {
    #[expect(clippy::cast_precision_loss, reason = "a layer's width")]
    let bound = 1.0 / (inputs as f64).sqrt();
    Param::from_tensor(Tensor::random(shape, Distribution::Uniform(-bound, bound), device))
}

impl Members {
    /// A member with random initial weights from the generator of the device.
    #[must_use]
    pub fn init(config: &TrainConfig, statistics: &Statistics, device: &Device) -> Self {
        let rows: usize = statistics.cardinalities.iter().map(|cardinality| cardinality + 1).sum();
        let normal = |deviation: f64| Distribution::Normal(0.0, deviation);
        let width = statistics.cardinalities.len() * config.d_embedding + TRUNK * config.d_numeric;
        #[expect(clippy::cast_precision_loss, reason = "a handful of bins")]
        let numeric_deviation = 1.0 / ((config.n_bins + 1) as f64).sqrt();
        let numeric = Tensor::cat(
            vec![
                Tensor::random([TRUNK, config.n_bins + 1, config.d_numeric], normal(numeric_deviation), device),
                Tensor::zeros([TRUNK, 1, config.d_numeric], device),
            ],
            1,
        );
        let (constant, outputs) = (constant_outputs(config), outputs(config));
        let mut head = Layer::init(config.d_block, outputs, device);
        head.bias = head.bias.map(|bias| {
            let initial = if statistics.falls_with_mileage { INITIAL_FALL } else { INITIAL_FALL_WITHOUT_LAW };
            let falls = Tensor::full([1, 1, outputs - constant], initial, device);
            bias.slice_assign([0..1, 0..1, constant..outputs], falls)
        });
        let gaps = [0..1, constant..outputs, 2..constant];
        let ones = Tensor::ones([1, outputs - constant, constant - 2], device);
        let zeros = Tensor::zeros([1, outputs, outputs], device);
        Self {
            embedding: Param::from_tensor(Tensor::random([rows, config.d_embedding], normal(0.3), device)),
            numeric: Param::from_tensor(numeric),
            first: uniform(width, [1, width, config.d_block], device),
            blocks: (1..config.n_blocks).map(|_| Layer::init(config.d_block, config.d_block, device)).collect(),
            head,
            mileage: Param::from_tensor(zeros.clone()),
            mileage_mask: zeros.slice_assign(gaps, ones),
            outputs_to_quantiles: outputs_to_quantiles(config, device),
            rises: (!statistics.falls_with_mileage).then(|| rises(config, device)),
        }
    }

    /// Concatenates stacks of members, of which there must be at least one.
    #[must_use]
    pub fn stack(stacks: &[Self]) -> Self {
        let first = &stacks[0];
        let stacks: Vec<&Self> = stacks.iter().collect();
        let layer =
            |of: &dyn Fn(&Self) -> &Layer| Layer::stack(&stacks.iter().map(|stack| of(stack)).collect::<Vec<_>>());
        Self {
            embedding: cat(&stacks, |stack| &stack.embedding, 1),
            numeric: cat(&stacks, |stack| &stack.numeric, 2),
            first: cat(&stacks, |stack| &stack.first, 0),
            blocks: (0..first.blocks.len()).map(|block| layer(&|stack| &stack.blocks[block])).collect(),
            head: layer(&|stack| &stack.head),
            mileage: cat(&stacks, |stack| &stack.mileage, 0),
            mileage_mask: first.mileage_mask.clone(),
            outputs_to_quantiles: first.outputs_to_quantiles.clone(),
            rises: first.rises.clone(),
        }
    }

    /// Quantiles of the standardized log price, averaged over members, `[N, Q]`, ascending along Q. Dropout is applied if given.
    #[must_use]
    pub fn forward(&self, encoded: Encoded, mut dropout: Option<&mut Dropout>) -> Tensor<2> {
        let Encoded { rows, numbers, mileage, .. } = encoded;
        let [n, _] = mileage.dims();
        let mileage = mileage.unsqueeze_dim(0); // [1, N, O]
        // The weight of the first output is always 1.
        let ones = mileage.clone().slice([0..1, 0..n, 0..1]); // [1, N, 1]
        let inputs = Tensor::cat(vec![self.categories(rows), self.numbers(numbers)], 2); // [k, N, I]
        let mut hidden = activation::relu(inputs.matmul(self.first.val())); // [k, N, H]
        for block in &self.blocks {
            if let Some(dropout) = dropout.as_deref_mut() {
                hidden = dropout.apply(hidden);
            }
            hidden = activation::relu(block.forward(hidden, &ones)); // [k, N, H]
        }
        if let Some(dropout) = dropout {
            hidden = dropout.apply(hidden);
        }
        let outputs = hidden.matmul(self.head.weight.val()) + mileage.clone().matmul(self.head_by_mileage());
        let outputs = softplus(outputs).mean_dim(0) * mileage.clone(); // [1, N, O]
        let quantiles = outputs.squeeze_dim::<2>(0).matmul(self.outputs_to_quantiles.clone());
        match &self.rises {
            Some(rises) => quantiles + mileage.squeeze_dim::<2>(0).matmul(rises.clone()),
            None => quantiles,
        }
    }

    /// The weights from the encoded mileage to the outputs, `[k, O, O]`. Its first entry is always 1, so the first row is the
    /// bias of the head.
    fn head_by_mileage(&self) -> Tensor<3> {
        let gaps = self.mileage.val() * self.mileage_mask.clone();
        let [k, inputs, outputs] = gaps.dims();
        Tensor::cat(vec![self.head.bias.val(), gaps.slice([0..k, 1..inputs, 0..outputs])], 1)
    }

    /// The concatenated embeddings `[k, N, C · E]` of rows `[N, C]`.
    fn categories(&self, rows: Tensor<2, Int>) -> Tensor<3> {
        let [n, categories] = rows.dims();
        let (k, width) = self.per_member(self.embedding.dims()[1]);
        let embedded = self.embedding.val().select(0, rows.reshape([n * categories])); // [N · C, k · E]
        embedded.reshape([n, categories, k, width]).permute([2, 0, 1, 3]).reshape([k, n, categories * width])
    }

    /// The concatenated embeddings `[k, N, (D - 1) · W]` of encoded numbers `[N, D - 1, B + 2]`.
    fn numbers(&self, numbers: Tensor<3>) -> Tensor<3> {
        let n = numbers.dims()[0];
        let (k, width) = self.per_member(self.numeric.dims()[2]);
        let embedded = activation::relu(numbers.swap_dims(0, 1).matmul(self.numeric.val())); // [D - 1, N, k · W]
        embedded.reshape([TRUNK, n, k, width]).permute([2, 1, 0, 3]).reshape([k, n, TRUNK * width])
    }

    /// The number of members, and each member's share of a stacked width.
    fn per_member(&self, width: usize) -> (usize, usize) {
        let k = self.first.dims()[0];
        (k, width / k)
    }
}

/// Concatenates a weight of several stacks along an axis.
fn cat<S, const D: usize>(stacks: &[&S], weight: impl Fn(&S) -> &Param<Tensor<D>>, axis: usize) -> Param<Tensor<D>> {
    Param::from_tensor(Tensor::cat(stacks.iter().map(|stack| weight(stack).val()).collect(), axis))
}

/// The softplus function, with inputs clamped against overflow; such values are far beyond any price.
fn softplus(x: Tensor<3>) -> Tensor<3> {
    x.clamp_max(30.0).exp().log1p()
}

/// The matrix `[O, Q]` that maps nonnegative outputs to quantiles. The first output is added to each quantile and the second
/// is subtracted: their difference is the median at zero mileage. Then follow the gaps between adjacent quantiles, which are
/// subtracted below the median and added above it, so that quantiles are ascending; then the decreases of the price over the
/// mileage.
fn outputs_to_quantiles(config: &TrainConfig, device: &Device) -> Tensor<2> {
    let (quantiles, outputs) = (config.quantiles.len(), outputs(config));
    let median = quantiles / 2;
    let mut matrix = vec![-1.0_f32; outputs * quantiles];
    let (first, others) = matrix.split_at_mut(quantiles);
    first.fill(1.0);
    let gaps = others[quantiles..].chunks_mut(quantiles).take(quantiles - 1);
    for (gap, row) in gaps.enumerate() {
        for (quantile, weight) in row.iter_mut().enumerate() {
            // The gap between quantile `gap` and the next one.
            *weight = match quantile {
                below if below <= gap && gap < median => -1.0,
                above if above > gap && gap >= median => 1.0,
                _ => 0.0,
            };
        }
    }
    Tensor::from_data(TensorData::new(matrix, [outputs, quantiles]), device)
}

/// The matrix `[O, Q]` of the constant rise over each mileage bin.
fn rises(config: &TrainConfig, device: &Device) -> Tensor<2> {
    let (quantiles, constant) = (config.quantiles.len(), constant_outputs(config));
    let falls = outputs(config) - constant;
    Tensor::cat(vec![Tensor::zeros([constant, quantiles], device), Tensor::full([falls, quantiles], RISE, device)], 0)
}

/// Dropout with its own random generator, so that parallel member threads are reproducible.
#[derive(Debug)]
pub struct Dropout {
    probability: f64,
    random: ChaCha8Rng,
}

impl Dropout {
    /// Dropout with this rate.
    #[must_use]
    pub fn new(probability: f64, random: ChaCha8Rng) -> Self {
        Self { probability, random }
    }

    fn apply(&mut self, hidden: Tensor<3>) -> Tensor<3> {
        if self.probability == 0.0 {
            return hidden;
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of 2^16")]
        let threshold = (self.probability * 65_536.0) as u16;
        #[expect(clippy::cast_possible_truncation, reason = "single precision is what tensors hold")]
        let scale = (1.0 / (1.0 - self.probability)) as f32;
        let shape = hidden.shape();
        let units = shape.num_elements();
        let mut mask = Vec::with_capacity(units + 4);
        while mask.len() < units {
            let bits: u64 = self.random.random();
            for quarter in 0..4 {
                #[expect(clippy::cast_possible_truncation, reason = "the lowest 16 bits")]
                let draw = (bits >> (16 * quarter)) as u16;
                mask.push(if draw < threshold { 0.0 } else { scale });
            }
        }
        mask.truncate(units);
        let mask = Tensor::from_data(TensorData::new(mask, shape), &hidden.device());
        hidden * mask
    }
}

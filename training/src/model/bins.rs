//! The piecewise-linear encoding of numbers.

use burn::module::Module;
use burn::prelude::*;

/// The encoding of a missing number, below every value.
pub(super) const MISSING: f32 = -1e30;

/// The piecewise-linear encoding (arXiv 2203.05556, section 3.2): each bin increases from 0 to 1 between its edges.
/// Implemented as a matrix product, which is fast in every runtime.
#[derive(Module, Debug)]
pub(super) struct Bins {
    /// The inverse width of each bin in the row of its number, `[D, bins]`.
    inverse_widths: Tensor<2>,
    /// The lower edge of each bin times its inverse width, `[1, bins]`.
    lower: Tensor<2>,
}

impl Bins {
    /// The bins of consecutive numbers, starting with number `first` of `count`.
    pub(super) fn new(first: usize, count: usize, numbers: &[Vec<Bin>], device: &Device) -> Self {
        let width = numbers.iter().map(Vec::len).sum();
        let mut inverse_widths = vec![0.0; first * width];
        for index in 0..numbers.len() {
            let bins = numbers.iter().enumerate().flat_map(|(other, bins)| {
                bins.iter().map(move |bin| if other == index { bin.inverse_width } else { 0.0 })
            });
            inverse_widths.extend(bins);
        }
        inverse_widths.resize(count * width, 0.0);
        let lower: Vec<f32> = numbers.iter().flatten().map(|bin| bin.lower * bin.inverse_width).collect();
        Self {
            inverse_widths: Tensor::from_data(TensorData::new(inverse_widths, [count, width]), device),
            lower: Tensor::from_data(TensorData::new(lower, [1, width]), device),
        }
    }

    /// Encodes all numbers `[N, D]` as `[N, bins]`.
    pub(super) fn encode(&self, numbers: Tensor<2>) -> Tensor<2> {
        (numbers.matmul(self.inverse_widths.clone()) - self.lower.clone()).clamp(0.0, 1.0)
    }
}

/// A bin of a number. Constants and the missing indicator are bins with edges beyond all values.
#[derive(Clone, Copy)]
pub(super) struct Bin {
    lower: f32,
    inverse_width: f32,
}

impl Bin {
    /// Always 0.
    pub(super) const NEVER: Self = Self { lower: -MISSING, inverse_width: 1.0 };
    /// Always 1.
    pub(super) const ALWAYS: Self = Self { lower: 2.0 * MISSING, inverse_width: 1.0 };
    /// 1 if the number is missing, otherwise 0.
    pub(super) const IF_MISSING: Self = Self { lower: 0.1 * MISSING, inverse_width: -1.0 };

    /// From 0 to 1 between two values, the second of which may be the lower one.
    pub(super) fn between(zero: f32, one: f32) -> Self {
        Self { lower: zero, inverse_width: (one - zero).recip() }
    }
}

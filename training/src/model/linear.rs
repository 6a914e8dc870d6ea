//! The linear model: a weight for each category, each bin and each missing number.

use burn::module::Module;
use burn::prelude::*;

use super::derived::TRUNK;
use super::preprocessing::Encoded;

/// The weights of a linear model, in the order of the encoded inputs.
#[derive(Clone, Debug)]
pub struct LinearWeights {
    /// A weight per row of the stacked embedding table, `R`.
    pub categories: Vec<f32>,
    /// The weights of all numbers except the mileage, `(D - 1) · (B + 2)`.
    pub numbers: Vec<f32>,
    /// The weights of the encoded mileage, `O`.
    pub mileage: Vec<f32>,
    /// What is added for each quantile, `Q`, ascending.
    pub offsets: Vec<f32>,
}

/// A linear regression on the encoded inputs. Every quantile is at the same distance from the sum of the weights, so quantiles
/// are ascending.
#[derive(Module, Debug)]
pub struct LinearModel {
    /// `[R, 1]`
    categories: Tensor<2>,
    /// Adds up the weights of the categories, `[C, 1]`.
    sum: Tensor<2>,
    /// `[(D - 1) · (B + 2), 1]`
    numbers: Tensor<2>,
    /// `[O, 1]`
    mileage: Tensor<2>,
    /// `[1, Q]`
    offsets: Tensor<2>,
}

impl LinearModel {
    /// A model of this many categories.
    #[must_use]
    pub fn new(categories: usize, weights: LinearWeights, device: &Device) -> Self {
        let column = |values: Vec<f32>| {
            let rows = values.len();
            Tensor::from_data(TensorData::new(values, [rows, 1]), device)
        };
        let quantiles = weights.offsets.len();
        Self {
            categories: column(weights.categories),
            sum: column(vec![1.0; categories]),
            numbers: column(weights.numbers),
            mileage: column(weights.mileage),
            offsets: Tensor::from_data(TensorData::new(weights.offsets, [1, quantiles]), device),
        }
    }

    /// Quantiles of the standardized log price, `[N, Q]`, ascending along Q.
    #[must_use]
    pub fn forward(&self, encoded: Encoded) -> Tensor<2> {
        let Encoded { rows, numbers, mileage, .. } = encoded;
        let [n, categories] = rows.dims();
        let width = numbers.dims()[2];
        let by_category = self.categories.clone().select(0, rows.reshape([n * categories])).reshape([n, categories]);
        let center = by_category.matmul(self.sum.clone())
            + numbers.reshape([n, TRUNK * width]).matmul(self.numbers.clone())
            + mileage.matmul(self.mileage.clone()); // [N, 1]
        center + self.offsets.clone() // [N, Q]
    }
}

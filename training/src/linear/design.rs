//! The rows of a linear regression, in a compact form.

use std::iter::repeat_n;

use domain::feature::CATEGORICAL;

use crate::model::{DERIVED, Encoded, TRUNK};

/// The order of the weights: those of the categories, then for each number its values at the edges of the bins, and its value
/// where it is missing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The number of weights of all categories.
    pub(super) categories: usize,
    /// The number of bins of a number.
    pub(super) bins: usize,
}

impl Layout {
    /// The number of all weights.
    pub(super) fn width(self) -> usize {
        self.categories + DERIVED * self.number_width()
    }

    fn number_width(self) -> usize {
        self.bins + 2
    }

    /// The first weight of a number.
    pub(super) fn number(self, number: usize) -> usize {
        self.categories + number * self.number_width()
    }
}

/// Encoded rows. Of the bins of a number, those below it are 1 and those above it are 0, so their sum tells all of them, and a
/// function that is linear within bins depends only on its values at two adjacent edges.
#[derive(Debug)]
pub(super) struct Design {
    layout: Layout,
    /// The rows in the stacked embedding table, `[N, C]`.
    categories: Vec<u32>,
    /// The sum of the bins of each number, `[N, D]`, NaN where it is missing.
    positions: Vec<f32>,
    /// The standardized log prices, `[N]`.
    targets: Vec<f32>,
}

impl Design {
    /// The size of a row in bytes.
    pub(super) const BYTES_PER_ROW: usize = 4 * (CATEGORICAL.len() + DERIVED + 1);

    pub(super) fn new(layout: Layout) -> Self {
        Self { layout, categories: Vec::new(), positions: Vec::new(), targets: Vec::new() }
    }

    pub(super) fn layout(&self) -> Layout {
        self.layout
    }

    /// The number of rows.
    pub(super) fn len(&self) -> usize {
        self.targets.len()
    }

    /// Adds encoded rows with their targets.
    pub(super) fn add(&mut self, encoded: Encoded, targets: impl Iterator<Item = f32>) {
        let bins = self.layout.bins;
        let position = |encoded: &[f32]| {
            let is_missing = encoded[bins] > 0.5;
            if is_missing { f32::NAN } else { encoded[..bins].iter().sum() }
        };
        self.categories.extend(encoded.rows.into_data().iter::<u32>());
        let constant_outputs = encoded.mileage.dims()[1] - bins - 1;
        let numbers: Vec<f32> = encoded.numbers.into_data().iter().collect();
        let mileage: Vec<f32> = encoded.mileage.into_data().iter().collect();
        let rows = numbers.chunks(TRUNK * self.layout.number_width()).zip(mileage.chunks(constant_outputs + bins + 1));
        for (numbers, mileage) in rows {
            self.positions.extend(numbers.chunks(self.layout.number_width()).map(position));
            self.positions.push(position(&mileage[constant_outputs..]));
        }
        self.targets.extend(targets);
    }

    /// Passes each weight of a row with its factor.
    fn for_each_weight(&self, row: usize, mut pass: impl FnMut(usize, f64)) {
        for category in &self.categories[row * CATEGORICAL.len()..(row + 1) * CATEGORICAL.len()] {
            pass(*category as usize, 1.0);
        }
        for (number, position) in self.positions[row * DERIVED..(row + 1) * DERIVED].iter().enumerate() {
            let first = self.layout.number(number);
            if position.is_nan() {
                pass(first + self.layout.bins + 1, 1.0);
                continue;
            }
            let part = f64::from(position.fract());
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "between 0 and the number of bins"
            )]
            let below = first + *position as usize;
            pass(below, 1.0 - part);
            if part > 0.0 {
                pass(below + 1, part);
            }
        }
    }

    /// What a linear model with these weights predicts for a row.
    fn predict(&self, row: usize, weights: &[f64]) -> f64 {
        let mut sum = 0.0;
        self.for_each_weight(row, |weight, factor| sum += factor * weights[weight]);
        sum
    }

    /// The differences between the targets and the predictions of a linear model.
    pub(super) fn residuals(&self, weights: &[f64]) -> impl Iterator<Item = f64> {
        self.targets.iter().enumerate().map(|(row, target)| f64::from(*target) - self.predict(row, weights))
    }

    /// For each weight, the sum of its factors times the targets: Xᵀy.
    pub(super) fn transposed_targets(&self) -> Vec<f64> {
        self.transposed(|row| f64::from(self.targets[row]))
    }

    /// For each weight, the sum of its factors times the predictions: `XᵀXw`. The matrix `XᵀX` is never formed.
    pub(super) fn transposed_predictions(&self, weights: &[f64]) -> Vec<f64> {
        self.transposed(|row| self.predict(row, weights))
    }

    fn transposed(&self, value: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut sums = vec![0.0; self.layout.width()];
        for row in 0..self.len() {
            let value = value(row);
            self.for_each_weight(row, |weight, factor| sums[weight] += factor * value);
        }
        sums
    }

    /// For each weight, the sum of its squared factors: the diagonal of `XᵀX`.
    pub(super) fn squares(&self) -> Vec<f64> {
        let mut squares: Vec<f64> = repeat_n(0.0, self.layout.width()).collect();
        for row in 0..self.len() {
            self.for_each_weight(row, |weight, factor| squares[weight] += factor * factor);
        }
        squares
    }
}

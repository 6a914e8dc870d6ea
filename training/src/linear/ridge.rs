//! Ridge regression by the method of conjugate gradients.

use super::design::{Design, Layout};
use crate::model::DERIVED;

/// The squared norm of the gradient, relative to that at zero weights, at which the iteration ends. More exact weights give the
/// same accuracy.
const TOLERANCE: f64 = 1e-8;
/// The maximum number of iterations.
const MAX_ITERATIONS: usize = 200;

/// The minimization of the squared residuals of a linear model plus a penalty: the squared weights of the categories and of
/// missing numbers, and the squared change of the model over each bin, which are the weights of the encoded bins.
pub(super) struct Ridge<'a> {
    pub(super) design: &'a Design,
    pub(super) penalty: f64,
}

impl Ridge<'_> {
    /// Improves the weights until they are close to the best ones, by conjugate gradients with a diagonal preconditioner (Golub and
    /// Van Loan 2013, section 11.5).
    pub(super) fn solve(&self, weights: &mut [f64]) {
        let diagonal = self.diagonal();
        let precondition = |values: &[f64]| -> Vec<f64> {
            values.iter().zip(&diagonal).map(|(value, diagonal)| value / diagonal).collect()
        };
        let mut residual = self.design.transposed_targets();
        let limit = TOLERANCE * dot(&residual, &precondition(&residual));
        add(&mut residual, -1.0, &self.product(weights));
        let mut direction = precondition(&residual);
        let mut norm = dot(&residual, &direction);
        for _ in 0..MAX_ITERATIONS {
            if norm <= limit {
                break;
            }
            let product = self.product(&direction);
            let step = norm / dot(&direction, &product);
            add(weights, step, &direction);
            add(&mut residual, -step, &product);
            let mut next = precondition(&residual);
            let next_norm = dot(&residual, &next);
            add(&mut next, next_norm / norm, &direction);
            (direction, norm) = (next, next_norm);
        }
    }

    /// The matrix of the normal equations times the weights.
    fn product(&self, weights: &[f64]) -> Vec<f64> {
        let mut product = self.design.transposed_predictions(weights);
        let layout = self.design.layout();
        for weight in single_weights(layout) {
            product[weight] += self.penalty * weights[weight];
        }
        for edge in lower_edges(layout) {
            let change = self.penalty * (weights[edge + 1] - weights[edge]);
            product[edge] -= change;
            product[edge + 1] += change;
        }
        product
    }

    /// The diagonal of that matrix.
    fn diagonal(&self) -> Vec<f64> {
        let mut diagonal = self.design.squares();
        let layout = self.design.layout();
        for weight in single_weights(layout) {
            diagonal[weight] += self.penalty;
        }
        for edge in lower_edges(layout) {
            diagonal[edge] += self.penalty;
            diagonal[edge + 1] += self.penalty;
        }
        diagonal
    }
}

/// The weights that are penalized by themselves: those of the categories and of missing numbers.
fn single_weights(layout: Layout) -> impl Iterator<Item = usize> {
    (0..layout.categories).chain((0..DERIVED).map(move |number| layout.number(number) + layout.bins + 1))
}

/// The weight at the lower edge of each bin; the next one is that at the upper edge.
fn lower_edges(layout: Layout) -> impl Iterator<Item = usize> {
    (0..DERIVED).flat_map(move |number| (0..layout.bins).map(move |bin| layout.number(number) + bin))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Adds a multiple of other values.
fn add(values: &mut [f64], factor: f64, others: &[f64]) {
    for (value, other) in values.iter_mut().zip(others) {
        *value += factor * other;
    }
}

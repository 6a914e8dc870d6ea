//! How far chance alone may move the figures of a card.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::{Outcome, average, count};

/// Resamples of a bootstrap.
const RESAMPLES: usize = 400;

/// Percentile bootstrap intervals of 95 %, lower and upper end (Efron and Tibshirani 1993, chapter 13).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Of [`super::Accuracy::mape`].
    pub mape: [f64; 2],
    /// Of [`super::Accuracy::median_ape`].
    pub median_ape: [f64; 2],
    /// Of [`super::Accuracy::coverage_80`].
    pub coverage_80: [f64; 2],
}

impl Intervals {
    /// Of the rows' errors and coverage. The seed is fixed, so that the same outcomes give the same card.
    pub(super) fn bootstrap(outcomes: &[&Outcome]) -> Self {
        let rows: Vec<(f64, f64)> = outcomes
            .iter()
            .map(|outcome| (outcome.absolute_percentage_error(), f64::from(u8::from(outcome.is_covered()))))
            .collect();
        let mut random = ChaCha8Rng::seed_from_u64(0);
        let (mut mapes, mut medians, mut coverages) = (Vec::new(), Vec::new(), Vec::new());
        let mut errors = vec![0.0; rows.len()];
        for _ in 0..RESAMPLES {
            let mut covered = 0.0;
            for error in &mut errors {
                let row = rows[random.random_range(0..rows.len())];
                *error = row.0;
                covered += row.1;
            }
            mapes.push(average(errors.iter().copied()));
            coverages.push(covered / count(rows.len()));
            let middle = errors.len() / 2;
            medians.push(*errors.select_nth_unstable_by(middle, f64::total_cmp).1);
        }
        Self { mape: middle_95(mapes), median_ape: middle_95(medians), coverage_80: middle_95(coverages) }
    }
}

/// What is left between the lowest and the highest 2.5 %.
fn middle_95(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_unstable_by(f64::total_cmp);
    let cut = values.len() / 40;
    [values[cut], values[values.len() - 1 - cut]]
}

//! Bootstrap confidence intervals for the metrics of a card.

use domain::accuracy::Intervals;
use domain::quantile::{nearest, nearest_index};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::outcome::{Outcome, average, count};

/// The number of resamples.
const RESAMPLES: usize = 400;

/// The 95 % intervals of errors and coverage. The seed is fixed, so that the same outcomes give the same card.
pub(super) fn bootstrap(outcomes: &[&Outcome]) -> Intervals {
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
        let middle = nearest_index(errors.len(), 0.5);
        medians.push(*errors.select_nth_unstable_by(middle, f64::total_cmp).1);
    }
    Intervals { mape: middle_95(mapes), median_ape: middle_95(medians), coverage_80: middle_95(coverages) }
}

/// The range without the lowest and the highest 2.5 %.
fn middle_95(mut values: Vec<f64>) -> [f64; 2] {
    values.sort_unstable_by(f64::total_cmp);
    [0.025, 0.975].map(|share| nearest(&values, share).unwrap_or(f64::NAN))
}

//! Stops trials early that are worse than most others.

use domain::quantile;

/// The number of completed trials to compare with.
const MIN_TRIALS: usize = 5;
/// The part of the epochs in which no trial is stopped: a high learning rate looks bad at first.
const FIRST_PART: usize = 4;

/// Whether a trial is to be stopped after an epoch, of at most `epochs`: its best loss so far is above the median of the best
/// losses that the completed trials had by then (Golovin et al. 2017).
#[must_use]
pub fn is_hopeless(best: f64, others: &[f64], (epoch, epochs): (usize, usize)) -> bool {
    if others.len() < MIN_TRIALS || epoch * FIRST_PART < epochs {
        return false;
    }
    let mut others = others.to_vec();
    others.sort_unstable_by(f64::total_cmp);
    quantile::interpolated(&others, 0.5).is_some_and(|median| best > median)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_that_is_worse_than_the_median_is_stopped() {
        let others = [0.1, 0.2, 0.3, 0.4, 0.5];
        assert!(is_hopeless(0.31, &others, (5, 20)));
        assert!(!is_hopeless(0.29, &others, (5, 20)));
    }

    #[test]
    fn the_first_trials_and_the_first_epochs_are_not_stopped() {
        assert!(!is_hopeless(9.0, &[0.1, 0.2, 0.3, 0.4], (20, 20)));
        assert!(!is_hopeless(9.0, &[0.1, 0.2, 0.3, 0.4, 0.5], (4, 20)));
    }
}

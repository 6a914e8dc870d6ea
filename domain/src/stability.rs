//! How far one distribution differs from another.

/// Population stability index from which the population is considered to have shifted (Siddiqi 2006, "Credit Risk
/// Scorecards"); below 0.1 it is considered stable.
pub const SHIFT_THRESHOLD: f64 = 0.25;

/// The population stability index: `Σ (actual − expected) · ln(actual / expected)` over pairs of the expected and the
/// actual share of a bin. Shares must be positive: the caller smooths them.
pub fn population_stability_index(shares: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    shares.into_iter().map(|(expected, actual)| (actual - expected) * (actual / expected).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_zero_for_equal_shares_and_large_for_different_ones() {
        assert_eq!(population_stability_index([(0.5, 0.5), (0.5, 0.5)]).to_bits(), 0.0_f64.to_bits());
        assert!(population_stability_index([(0.999, 0.001), (0.001, 0.999)]) > 5.0);
    }
}

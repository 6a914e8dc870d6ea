//! How far one distribution differs from another.

/// A population stability index from here on is commonly taken for another population (Siddiqi 2006, "Credit Risk
/// Scorecards"); below 0.1 for a stable one.
pub const SHIFT: f64 = 0.25;

/// The population stability index: `Σ (found − expected) · ln(found / expected)` over pairs of the expected and the found
/// share of the same bin. No share is 0: the caller smooths them in the way that suits its counts.
pub fn population_stability_index(shares: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    shares.into_iter().map(|(expected, found)| (found - expected) * (found / expected).ln()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_nothing_for_equal_shares_and_large_for_others() {
        assert_eq!(population_stability_index([(0.5, 0.5), (0.5, 0.5)]).to_bits(), 0.0_f64.to_bits());
        assert!(population_stability_index([(0.999, 0.001), (0.001, 0.999)]) > 5.0);
    }
}

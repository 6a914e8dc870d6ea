//! Quantiles of sorted numbers.
//!
//! Reported medians and quantiles are interpolated; bin edges are values that occur.

/// The quantile at a probability by linear interpolation (type 7 of Hyndman and Fan 1996, as PostgreSQL's
/// `percentile_cont`). `None` without values.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "an index in memory, never negative"
)]
pub fn interpolated(sorted: &[f64], probability: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let position = probability * last as f64;
    let below = position.floor() as usize;
    let above = (below + 1).min(last);
    Some(sorted[below] + (sorted[above] - sorted[below]) * (position - below as f64))
}

/// The median: of an even number of values, the mean of the middle two. `None` without values.
#[must_use]
pub fn median(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    Some(if sorted.len() % 2 == 1 { upper } else { f64::midpoint(sorted[middle - 1], upper) })
}

/// The index of the sorted value nearest to a probability; of the middle two, the upper one.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "an index in memory, never negative"
)]
pub fn nearest_index(values: usize, probability: f64) -> usize {
    (values.saturating_sub(1) as f64 * probability).round() as usize
}

/// The value nearest to a probability. `None` without values.
#[must_use]
pub fn nearest<T: Copy>(sorted: &[T], probability: f64) -> Option<T> {
    sorted.get(nearest_index(sorted.len(), probability)).copied()
}

/// Distinct edges between equal-frequency bins; each edge is the first value of its bin.
#[must_use]
pub fn bin_edges<T: Copy + PartialEq>(sorted: &[T], bins: usize) -> Vec<T> {
    let mut edges: Vec<T> = (1..bins).filter_map(|bin| sorted.get(bin * sorted.len() / bins).copied()).collect();
    edges.dedup();
    edges
}

/// Distinct, interpolated edges between equal-frequency bins.
#[must_use]
pub fn interpolated_edges(sorted: &[f64], bins: u32) -> Vec<f64> {
    let edge = |bin: u32| interpolated(sorted, f64::from(bin) / f64::from(bins));
    let mut edges: Vec<f64> = (1..bins).filter_map(edge).collect();
    edges.dedup();
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolated_quantiles_lie_between_neighbours() {
        assert_eq!(interpolated(&[], 0.5), None);
        assert_eq!(interpolated(&[7.0], 0.9), Some(7.0));
        assert_eq!(interpolated(&[1.0, 2.0, 3.0, 4.0], 0.5), Some(2.5));
        assert_eq!(interpolated_edges(&[1.0, 2.0, 3.0], 4), [1.5, 2.0, 2.5]);
    }

    #[test]
    fn the_median_of_an_even_number_of_values_lies_between_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, 2.0, 10.0]), Some(2.0));
        assert_eq!(median(&[1.0, 2.0, 4.0, 10.0]), Some(3.0));
    }

    #[test]
    fn nearest_quantiles_are_existing_values() {
        assert_eq!(nearest::<f64>(&[], 0.5), None);
        assert_eq!(nearest(&[1, 2, 3, 4], 0.5), Some(3));
        assert_eq!([0.0, 0.3, 1.0].map(|probability| nearest(&[1, 2, 3], probability)), [Some(1), Some(2), Some(3)]);
        assert_eq!([0.025, 0.975].map(|probability| nearest_index(400, probability)), [10, 389]);
    }

    #[test]
    fn bin_edges_are_distinct() {
        assert_eq!(bin_edges(&[1, 2, 3, 4, 5, 6], 3), [3, 5]);
        assert_eq!(bin_edges(&[5, 5, 5], 10), [5]);
        assert!(bin_edges::<f32>(&[], 10).is_empty());
    }
}

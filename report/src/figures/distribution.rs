//! The distribution of a column.

use domain::{Column, quantile};
use serde::Serialize;
use storage::profile::{NumberProfile, TextProfile};

use super::sample::Sample;

/// A text column.
#[derive(Debug, Serialize)]
pub(crate) struct TextColumn {
    pub(crate) column: Column,
    pub(crate) profile: TextProfile,
}

/// A number column.
#[derive(Debug, Serialize)]
pub(crate) struct NumberColumn {
    pub(crate) column: Column,
    /// Whether its histogram is drawn on a logarithmic scale.
    pub(crate) is_logarithmic: bool,
    pub(crate) profile: NumberProfile,
    pub(crate) histogram: Histogram,
}

/// A histogram of the sample between the 0.5th and the 99.5th percentile.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Histogram {
    /// Bin edges, including both ends.
    pub(crate) edges: Vec<f64>,
    /// Rows per bin; rows beyond the ends count in the first or last bin.
    pub(crate) rows: Vec<i64>,
}

/// The number columns in display order.
pub(crate) const NUMBERS: [Column; 6] =
    [Column::Price, Column::Mileage, Column::Year, Column::EnginePower, Column::EngineVolume, Column::OwnersCount];

const BINS: usize = 32;
/// Share cut off at each end, where bins would be almost empty.
const TAIL: f64 = 0.005;

/// Whether a column is plotted on a logarithmic scale: it is positive and skewed.
pub(crate) fn is_logarithmic(column: Column) -> bool {
    matches!(column, Column::Price | Column::EnginePower)
}

/// Whether outliers of a column are detected by ratio rather than by difference.
pub(crate) fn has_ratio_scale(column: Column) -> bool {
    is_logarithmic(column) || column == Column::EngineVolume
}

/// The histogram of a column of the sample, with bins of equal width or equal ratio.
pub(crate) fn histogram(sample: &Sample, column: Column) -> Histogram {
    let mut values: Vec<f64> = (0..sample.len()).filter_map(|row| sample.number(column, row)).collect();
    let is_logarithmic = is_logarithmic(column) && values.iter().all(|value| *value > 0.0);
    let is_whole = values.iter().all(|value| value.fract() == 0.0);
    count_bins(&mut values, is_logarithmic, is_whole)
}

fn count_bins(values: &mut [f64], is_logarithmic: bool, is_whole: bool) -> Histogram {
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| quantile::interpolated(values, share);
    let (Some(low), Some(high)) = (at(TAIL), at(1.0 - TAIL)) else { return Histogram::default() };
    let edges = edges(low, high, is_logarithmic, is_whole);
    let mut rows = vec![0; edges.len() - 1];
    for value in values {
        let upper = edges.partition_point(|edge| edge <= value);
        rows[upper.saturating_sub(1).min(edges.len() - 2)] += 1;
    }
    Histogram { edges, rows }
}

fn edges(low: f64, high: f64, is_logarithmic: bool, is_whole: bool) -> Vec<f64> {
    if low >= high {
        // A constant column has a single bin.
        let room = low.abs().max(1.0) * 0.05;
        return vec![low - room, low + room];
    }
    let bins = BINS as f64;
    if is_logarithmic {
        let ratio = (high / low).ln() / bins;
        return (0..=BINS).map(|bin| low * (ratio * bin as f64).exp()).collect();
    }
    // Each bin covers the same number of whole numbers, or the histogram would show artefacts; edges lie between them.
    let (low, width) =
        if is_whole { (low.floor() - 0.5, ((high - low + 1.0) / bins).ceil()) } else { (low, (high - low) / bins) };
    let mut edges = vec![low];
    while edges.len() <= BINS && edges[edges.len() - 1] <= high {
        edges.push(edges[edges.len() - 1] + width);
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_counted_once() {
        let mut values: Vec<f64> = (0..1000).map(f64::from).collect();
        let histogram = count_bins(&mut values, false, true);
        assert_eq!(histogram.rows.iter().sum::<i64>(), 1000);
        assert_eq!(histogram.edges.len(), histogram.rows.len() + 1);
        let mut values: Vec<f64> = (0..100).map(|power| 10_f64.powf(f64::from(power) / 10.0)).collect();
        assert_eq!(count_bins(&mut values, true, false).rows.iter().sum::<i64>(), 100);
        assert_eq!(count_bins(&mut [1.0, 2.0, 2.0, 4.0], false, true).rows, [1, 2, 0, 1]);
    }

    #[test]
    fn empty_and_constant_columns_have_a_histogram() {
        assert_eq!(count_bins(&mut [], false, true), Histogram::default());
        assert_eq!(count_bins(&mut [5.0; 9], true, true).rows, [9]);
        assert_eq!(count_bins(&mut [0.0; 9], false, true).rows, [9]);
        assert_eq!(count_bins(&mut [1e12; 3], true, true).rows, [3]);
    }
}

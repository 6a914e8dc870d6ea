//! How the numbers of a column spread.

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

/// Counts of a sample between the 0.5th and the 99.5th percentile.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(crate) struct Histogram {
    /// Where the bins begin, and where the last one ends.
    pub(crate) edges: Vec<f64>,
    /// Rows in each; those beyond the edges are in the first or last.
    pub(crate) rows: Vec<i64>,
}

/// The number columns in the order in which they are shown, the price first.
pub(crate) const NUMBERS: [Column; 6] =
    [Column::Price, Column::Mileage, Column::Year, Column::EnginePower, Column::EngineVolume, Column::OwnersCount];

const BINS: usize = 32;
/// Beyond this share on each side bins would hold next to nothing.
const TAIL: f64 = 0.005;

/// Whether a column is looked at on a logarithmic scale: it is above 0 and skewed.
pub(crate) fn is_logarithmic(column: Column) -> bool {
    matches!(column, Column::Price | Column::EnginePower)
}

/// Whether what lies far out is told by ratios: twice the usual is as far as half of it.
pub(crate) fn is_ratio(column: Column) -> bool {
    is_logarithmic(column) || column == Column::EngineVolume
}

/// Counts a column of the sample in bins of equal width, or of equal ratio.
pub(crate) fn histogram(sample: &Sample, column: Column) -> Histogram {
    let mut values: Vec<f64> = (0..sample.len()).filter_map(|row| sample.number(column, row)).collect();
    let is_logarithmic = is_logarithmic(column) && values.iter().all(|value| *value > 0.0);
    let is_whole = values.iter().all(|value| value.fract() == 0.0);
    count(&mut values, is_logarithmic, is_whole)
}

fn count(values: &mut [f64], is_logarithmic: bool, is_whole: bool) -> Histogram {
    values.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| quantile::interpolated(values, share);
    let (Some(low), Some(high)) = (at(TAIL), at(1.0 - TAIL)) else { return Histogram::default() };
    let edges = edges(low, high, is_logarithmic, is_whole);
    let mut rows = vec![0; edges.len() - 1];
    for value in values {
        let place = edges.partition_point(|edge| edge <= value);
        rows[place.saturating_sub(1).min(edges.len() - 2)] += 1;
    }
    Histogram { edges, rows }
}

fn edges(low: f64, high: f64, is_logarithmic: bool, is_whole: bool) -> Vec<f64> {
    if low >= high {
        // A constant, or nearly one, is a single bar.
        let room = low.abs().max(1.0) * 0.05;
        return vec![low - room, low + room];
    }
    let bins = BINS as f64;
    if is_logarithmic {
        let ratio = (high / low).ln() / bins;
        return (0..=BINS).map(|bin| low * (ratio * bin as f64).exp()).collect();
    }
    // Bins of whole numbers hold equally many of them, or there would be teeth; a number is in the
    // middle of its bin.
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
    fn every_value_falls_into_one_bin() {
        let mut values: Vec<f64> = (0..1000).map(f64::from).collect();
        let histogram = count(&mut values, false, true);
        assert_eq!(histogram.rows.iter().sum::<i64>(), 1000);
        assert_eq!(histogram.edges.len(), histogram.rows.len() + 1);
        let mut values: Vec<f64> = (0..100).map(|power| 10_f64.powf(f64::from(power) / 10.0)).collect();
        assert_eq!(count(&mut values, true, false).rows.iter().sum::<i64>(), 100);
        assert_eq!(count(&mut [1.0, 2.0, 2.0, 4.0], false, true).rows, [1, 2, 0, 1]);
    }

    #[test]
    fn nothing_and_constants_have_a_histogram_too() {
        assert_eq!(count(&mut [], false, true), Histogram::default());
        assert_eq!(count(&mut [5.0; 9], true, true).rows, [9]);
        assert_eq!(count(&mut [0.0; 9], false, true).rows, [9]);
        assert_eq!(count(&mut [1e12; 3], true, true).rows, [3]);
    }
}

//! Relations between the price and the columns, and between numbers.

use std::collections::BTreeMap;

use domain::Column;
use domain::column::Kind;
use domain::quantile;
use serde::Serialize;

use super::sample::{Sample, key_columns};

/// The distribution of prices along an axis.
#[derive(Debug, Serialize)]
pub(crate) struct PriceAgainst {
    #[serde(rename = "along")]
    pub(crate) axis: PriceAxis,
    /// Bins with enough listings, in order.
    pub(crate) bins: Vec<PriceBin>,
    /// Some listings to plot as points: position on the axis, and price.
    #[serde(skip)]
    pub(crate) points: Vec<(f64, f64)>,
}

/// What prices are plotted against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PriceAxis {
    /// Years from manufacture to listing.
    Age,
    /// Kilometres.
    Mileage,
    /// Horsepower.
    Power,
    /// Day of the listing.
    Date,
}

/// Prices in a bin of the axis.
#[derive(Debug, Serialize)]
pub(crate) struct PriceBin {
    /// Median position in the bin.
    pub(crate) at: f64,
    pub(crate) rows: usize,
    /// The 10th, 25th, 50th, 75th and 90th percentile of the prices.
    pub(crate) prices: [f64; 5],
}

/// Rank correlations.
#[derive(Debug, Serialize)]
pub(crate) struct Correlations {
    pub(crate) names: Vec<Measure>,
    /// Spearman's rho of each pair (Spearman 1904); `None` where too few listings have both or one is constant.
    pub(crate) rho: Vec<Vec<Option<f64>>>,
}

/// A number of a listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Measure {
    /// Years from manufacture to listing.
    Age,
    /// A column.
    #[serde(untagged)]
    Of(Column),
}

/// The share of the variance of the log price that a column explains by itself.
#[derive(Debug, Serialize)]
pub(crate) struct ExplainedVariance {
    pub(crate) column: Column,
    /// From 0 to 1.
    pub(crate) share: f64,
}

const BINS: f64 = 24.0;
const MIN_BIN_ROWS: usize = 20;
const MAX_POINTS: usize = 500;
/// Number of listings that rank correlations are computed from: enough for two decimals.
const MAX_RANKED_ROWS: usize = 20_000;
const MIN_PAIRS: usize = 30;

const MEASURES: [Measure; 7] = [
    Measure::Of(Column::Price),
    Measure::Age,
    Measure::Of(Column::Mileage),
    Measure::Of(Column::EnginePower),
    Measure::Of(Column::EngineVolume),
    Measure::Of(Column::OwnersCount),
    Measure::Of(Column::ListingDate),
];

impl Measure {
    fn get(self, sample: &Sample, row: usize) -> Option<f64> {
        match self {
            Self::Age => sample.age(row),
            Self::Of(column) => sample.number(column, row),
        }
    }
}

impl PriceAxis {
    const ALL: [Self; 4] = [Self::Age, Self::Mileage, Self::Power, Self::Date];

    fn measure(self) -> Measure {
        match self {
            Self::Age => Measure::Age,
            Self::Mileage => Measure::Of(Column::Mileage),
            Self::Power => Measure::Of(Column::EnginePower),
            Self::Date => Measure::Of(Column::ListingDate),
        }
    }
}

/// Prices against every axis.
pub(crate) fn prices_by_axis(sample: &Sample) -> Vec<PriceAgainst> {
    PriceAxis::ALL.into_iter().map(|axis| price_against(sample, axis)).collect()
}

fn price_against(sample: &Sample, axis: PriceAxis) -> PriceAgainst {
    let pairs: Vec<(f64, f64)> =
        (0..sample.len()).filter_map(|row| Some((axis.measure().get(sample, row)?, sample.price(row)))).collect();
    let mut sorted: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    let (Some(low), Some(high)) = (quantile::interpolated(&sorted, 0.005), quantile::interpolated(&sorted, 0.995))
    else {
        return PriceAgainst { axis, bins: Vec::new(), points: Vec::new() };
    };
    let width = match axis {
        PriceAxis::Age => 1.0,
        _ => ((high - low) / BINS).max(f64::MIN_POSITIVE),
    };
    let within = |pair: &&(f64, f64)| (low..=high).contains(&pair.0);
    let mut bins: Vec<Vec<&(f64, f64)>> = Vec::new();
    for pair in pairs.iter().filter(within) {
        let bin = ((pair.0 - low) / width).min(200.0) as usize;
        bins.resize_with(bins.len().max(bin + 1), Vec::new);
        bins[bin].push(pair);
    }
    let bins = bins.into_iter().filter(|bin| bin.len() >= MIN_BIN_ROWS).filter_map(|bin| price_bin(&bin));
    PriceAgainst { axis, bins: bins.collect(), points: pairs.iter().filter(within).take(MAX_POINTS).copied().collect() }
}

fn price_bin(pairs: &[&(f64, f64)]) -> Option<PriceBin> {
    let mut positions: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
    let mut prices: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
    positions.sort_unstable_by(f64::total_cmp);
    prices.sort_unstable_by(f64::total_cmp);
    let at = |share| quantile::interpolated(&prices, share);
    Some(PriceBin {
        at: quantile::interpolated(&positions, 0.5)?,
        rows: pairs.len(),
        prices: [at(0.1)?, at(0.25)?, at(0.5)?, at(0.75)?, at(0.9)?],
    })
}

/// Pairwise rank correlations of all numbers.
pub(crate) fn correlations(sample: &Sample) -> Correlations {
    let rows = sample.len().min(MAX_RANKED_ROWS);
    let values: Vec<Vec<Option<f64>>> =
        MEASURES.iter().map(|measure| (0..rows).map(|row| measure.get(sample, row)).collect()).collect();
    let rho = |first: &Vec<Option<f64>>| values.iter().map(|second| spearman(first, second)).collect();
    Correlations { names: MEASURES.to_vec(), rho: values.iter().map(rho).collect() }
}

fn spearman(first: &[Option<f64>], second: &[Option<f64>]) -> Option<f64> {
    let pairs: Vec<(f64, f64)> = first.iter().zip(second).filter_map(|(a, b)| Some(((*a)?, (*b)?))).collect();
    if pairs.len() < MIN_PAIRS {
        return None;
    }
    let first = ranks(&pairs.iter().map(|pair| pair.0).collect::<Vec<_>>());
    let second = ranks(&pairs.iter().map(|pair| pair.1).collect::<Vec<_>>());
    let middle = (pairs.len() - 1) as f64 / 2.0;
    let product = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - middle) * (b - middle)).sum::<f64>();
    let spread = (product(&first, &first) * product(&second, &second)).sqrt();
    (spread > 0.0).then(|| product(&first, &second) / spread)
}

/// Ranks starting at 0; equal values share their mean rank.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for same in order.chunk_by(|a, b| values[*a].total_cmp(&values[*b]).is_eq()) {
        let rank = first as f64 + (same.len() - 1) as f64 / 2.0;
        for index in same {
            ranks[*index] = rank;
        }
        first += same.len();
    }
    ranks
}

/// The variance that each column explains by itself, in descending order.
pub(crate) fn explained_by_column(sample: &Sample) -> Vec<ExplainedVariance> {
    let mut all: Vec<ExplainedVariance> = Column::descriptive()
        .iter()
        .filter_map(|column| Some(ExplainedVariance { column: *column, share: explained_by(sample, *column)? }))
        .collect();
    all.sort_by(|a, b| b.share.total_cmp(&a.share));
    all
}

/// Epsilon squared (Kelley 1935): the share of variance between groups, corrected for the number of groups. Numbers are
/// grouped into 20 quantile bins; a model and a generation are taken together with their make.
fn explained_by(sample: &Sample, column: Column) -> Option<f64> {
    let columns = key_columns(column);
    let edges = bin_edges(sample, column);
    let group = |row| match column.kind() {
        Kind::Text => sample.texts_key(&columns, row),
        _ => sample.number(column, row).map(|number| edges.partition_point(|edge| *edge <= number) as u64),
    };
    let rows: Vec<(u64, f64)> =
        (0..sample.len()).filter_map(|row| Some((group(row)?, sample.price(row).ln()))).collect();
    // Ordered, so that the sums are reproducible.
    let mut groups: BTreeMap<u64, (f64, f64)> = BTreeMap::new();
    for (group, level) in &rows {
        let group = groups.entry(*group).or_default();
        *group = (group.0 + 1.0, group.1 + level);
    }
    let count = rows.len() as f64;
    let degrees = count - groups.len() as f64;
    if degrees < MIN_PAIRS as f64 {
        return None;
    }
    let mean = rows.iter().map(|(_, level)| level).sum::<f64>() / count;
    let total: f64 = rows.iter().map(|(_, level)| (level - mean).powi(2)).sum();
    let between: f64 = groups.values().map(|(count, sum)| count * (sum / count - mean).powi(2)).sum();
    (total > 0.0).then(|| (1.0 - (total - between) / degrees / (total / (count - 1.0))).clamp(0.0, 1.0))
}

fn bin_edges(sample: &Sample, column: Column) -> Vec<f64> {
    let mut values: Vec<f64> = (0..sample.len()).filter_map(|row| sample.number(column, row)).collect();
    values.sort_unstable_by(f64::total_cmp);
    quantile::interpolated_edges(&values, 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_a_rank() {
        assert_eq!(ranks(&[10.0, 30.0, 10.0, 20.0]), [0.5, 3.0, 0.5, 2.0]);
    }

    #[test]
    fn rank_correlation_is_invariant_to_monotonic_transforms() {
        let rising: Vec<_> = (0..50).map(|number| Some(f64::from(number))).collect();
        let cubes: Vec<_> = (0..50).map(|number| Some(-f64::from(number).powi(3))).collect();
        assert!((spearman(&rising, &cubes).unwrap() + 1.0).abs() < 1e-9);
        assert_eq!(spearman(&rising, &vec![Some(1.0); 50]), None);
        assert_eq!(spearman(&rising[..5], &cubes[..5]), None);
    }
}

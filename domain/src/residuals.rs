//! How predicted prices differ from the listed ones on the test split, in bands, so that their size does not depend on the number of
//! listings.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::quantile::interpolated;

/// The probabilities of [`ResidualBand::quantiles`].
pub const PROBABILITIES: [f64; 5] = [0.1, 0.25, 0.5, 0.75, 0.9];
/// The number of bands of prices predicted and listed against each other.
const PRICE_BANDS: u32 = 24;
/// The share of the lowest and of the highest prices that are in the first and in the last band whatever their distance.
const TAIL: f64 = 0.002;
/// The maximum number of bands of age, price and date.
const BANDS: usize = 12;
/// The minimum number of listings of such a band: with fewer, its quantiles are mostly noise.
const MIN_BAND_ROWS: usize = 20;

/// Predicted against listed prices, residuals and calibration of a model on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "rows": 7242, "price_edges": [90_000.0, 600_000.0, 4_000_000.0], "counts": [[2890, 231], [188, 3933]],
    "by_age": [{ "low": 0.1, "high": 2.9, "middle": 1.8, "rows": 604, "quantiles": [0.86, 0.94, 1.0, 1.07, 1.18] }],
    "by_price": [], "by_date": [], "calibration": [{ "level": 0.1, "observed": 0.104 }, { "level": 0.9, "observed": 0.897 }]
}))]
pub struct Residuals {
    /// The number of listings.
    pub rows: usize,
    /// The edges of bands of price, ascending. The first and the last band also have the prices beyond.
    pub price_edges: Vec<f64>,
    /// The number of listings by band of predicted price, then by band of listed price.
    pub counts: Vec<Vec<u32>>,
    /// By age in years.
    pub by_age: Vec<ResidualBand>,
    /// By predicted price.
    pub by_price: Vec<ResidualBand>,
    /// By day of the listing, in days since 1970-01-01; empty without dates.
    pub by_date: Vec<ResidualBand>,
    /// The share of listings below each predicted quantile, by level.
    pub calibration: Vec<QuantileCoverage>,
}

/// Residuals of the listings of a band.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "low": 0.1, "high": 2.9, "middle": 1.8, "rows": 604, "quantiles": [0.86, 0.94, 1.0, 1.07, 1.18]
}))]
pub struct ResidualBand {
    /// The lowest value of the band.
    pub low: f64,
    /// The highest value of the band.
    pub high: f64,
    /// The median value of the band.
    pub middle: f64,
    /// The number of listings.
    pub rows: usize,
    /// The quantiles of the listed relative to the predicted price at 10, 25, 50, 75 and 90 %: 1.1 means that the listed price is
    /// 10 % above the predicted one.
    pub quantiles: [f64; 5],
}

/// How often the listed price is below a predicted quantile.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({ "level": 0.1, "observed": 0.104 }))]
pub struct QuantileCoverage {
    /// The level of the quantile: the share that should be below.
    pub level: f64,
    /// The share that is.
    pub observed: f64,
}

/// A listing of the test split.
#[derive(Clone, Debug, PartialEq)]
pub struct TestRow {
    /// The age of the car in years; NaN if unknown.
    pub age: f64,
    /// The day of the listing, in days since 1970-01-01; `None` if unknown.
    pub day: Option<f64>,
    /// The listed price.
    pub actual: f64,
    /// The predicted price: the median.
    pub predicted: f64,
    /// The calibrated quantiles, one per level.
    pub quantiles: Vec<f64>,
}

impl Residuals {
    /// The residuals of rows, whose quantiles have these levels. `None` without rows.
    #[must_use]
    pub fn measure(rows: &[TestRow], levels: &[f64]) -> Option<Self> {
        let price_edges = price_edges(rows)?;
        let bands = |value: &dyn Fn(&TestRow) -> Option<f64>| {
            let values = rows.iter().filter_map(|row| Some((value(row)?, row.actual / row.predicted)));
            // A predicted time on the market may be 0 days.
            bands(values.filter(|(value, ratio)| value.is_finite() && ratio.is_finite()).collect())
        };
        let coverage = |(index, level): (usize, &f64)| {
            let below = rows.iter().filter(|row| row.actual <= row.quantiles[index]).count();
            QuantileCoverage { level: *level, observed: share(below, rows.len()) }
        };
        Some(Self {
            rows: rows.len(),
            counts: counts(rows, &price_edges),
            by_age: bands(&|row| Some(row.age)),
            by_price: bands(&|row| Some(row.predicted)),
            by_date: bands(&|row| row.day),
            calibration: levels.iter().enumerate().map(coverage).collect(),
            price_edges,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
fn share(part: usize, all: usize) -> f64 {
    part as f64 / all.max(1) as f64
}

/// Edges with equal ratios, or with equal differences if there are prices of 0.
fn price_edges(rows: &[TestRow]) -> Option<Vec<f64>> {
    let mut prices: Vec<f64> = rows.iter().flat_map(|row| [row.actual, row.predicted]).collect();
    prices.sort_unstable_by(f64::total_cmp);
    let (low, high) = (interpolated(&prices, TAIL)?, interpolated(&prices, 1.0 - TAIL)?);
    let high = if high > low { high } else { low.abs().max(1.0) * 1.1 + low };
    let edge = |band: u32| {
        let share = f64::from(band) / f64::from(PRICE_BANDS);
        if low > 0.0 { low * (high / low).powf(share) } else { low + (high - low) * share }
    };
    Some((0..=PRICE_BANDS).map(edge).collect())
}

fn counts(rows: &[TestRow], edges: &[f64]) -> Vec<Vec<u32>> {
    let bands = edges.len() - 1;
    let band = |price: f64| edges[1..bands].partition_point(|edge| *edge <= price);
    let mut counts = vec![vec![0; bands]; bands];
    for row in rows {
        counts[band(row.predicted)][band(row.actual)] += 1;
    }
    counts
}

/// Bands of about equally many values, without splitting equal ones.
fn bands(mut values: Vec<(f64, f64)>) -> Vec<ResidualBand> {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
    let size = values.len().div_ceil(BANDS).max(MIN_BAND_ROWS);
    let mut bands = Vec::new();
    let mut rest = &values[..];
    while !rest.is_empty() {
        let last = rest[size.min(rest.len()) - 1].0;
        let mut end = rest.partition_point(|(value, _)| *value <= last);
        if rest.len() - end < MIN_BAND_ROWS {
            end = rest.len();
        }
        let (band, others) = rest.split_at(end);
        bands.extend(residual_band(band));
        rest = others;
    }
    bands
}

fn residual_band(values: &[(f64, f64)]) -> Option<ResidualBand> {
    let sorted: Vec<f64> = values.iter().map(|(value, _)| *value).collect();
    let mut ratios: Vec<f64> = values.iter().map(|(_, ratio)| *ratio).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let quantile = |probability| interpolated(&ratios, probability).unwrap_or(f64::NAN);
    Some(ResidualBand {
        low: *sorted.first()?,
        high: *sorted.last()?,
        middle: interpolated(&sorted, 0.5)?,
        rows: values.len(),
        quantiles: PROBABILITIES.map(quantile),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(number: u32) -> TestRow {
        let predicted = 100.0 + f64::from(number % 100) * 50.0;
        let actual = predicted * if number.is_multiple_of(2) { 0.9 } else { 1.1 };
        let quantiles = [0.95, 1.0, 1.2].map(|ratio| ratio * predicted).to_vec();
        TestRow { age: f64::from(number % 7), day: None, actual, predicted, quantiles }
    }

    #[test]
    fn every_row_is_in_a_band_of_each_kind() {
        let rows: Vec<TestRow> = (0..1000).map(row).collect();
        let residuals = Residuals::measure(&rows, &[0.1, 0.5, 0.9]).unwrap();
        assert_eq!(residuals.counts.iter().flatten().sum::<u32>(), 1000);
        assert_eq!(residuals.by_age.iter().map(|band| band.rows).sum::<usize>(), 1000);
        assert_eq!(residuals.by_age.len(), 7, "equal ages are in one band");
        assert!(residuals.by_price.len() > 8 && residuals.by_date.is_empty());
        assert!(residuals.by_price.windows(2).all(|pair| pair[0].high < pair[1].low));
        let [.., high] = residuals.by_age[0].quantiles;
        assert!((high - 1.1).abs() < 1e-9, "{high}");
        let observed: Vec<f64> = residuals.calibration.iter().map(|quantile| quantile.observed).collect();
        assert_eq!(observed, [0.5, 0.5, 1.0]);
    }

    #[test]
    fn few_rows_unknown_ages_and_prices_of_nothing_are_no_obstacle() {
        assert_eq!(Residuals::measure(&[], &[0.5]), None);
        let rows = [TestRow { age: f64::NAN, day: Some(20_000.0), actual: 0.0, predicted: 0.0, quantiles: vec![0.0] }];
        let residuals = Residuals::measure(&rows, &[0.5]).unwrap();
        assert_eq!(residuals.counts.iter().flatten().sum::<u32>(), 1);
        assert!(residuals.by_age.is_empty() && residuals.by_date.is_empty());
        let rows: Vec<TestRow> = (0..30).map(row).collect();
        assert_eq!(Residuals::measure(&rows, &[0.1, 0.5, 0.9]).unwrap().by_price.len(), 1);
    }
}

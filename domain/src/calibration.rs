//! Conformalized quantile regression (Romano, Patterson, Candès 2019, arXiv 1905.03222) on the logarithm of the
//! price, with one offset per group of predicted price and age (Mondrian conformal prediction).

use serde::{Deserialize, Serialize};

use crate::quantile;

/// A model's calibrated intervals, stored in its file under `probeg.calibration`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Upper edges of the bands of predicted price; the last band is open.
    pub price_edges: Vec<f64>,
    /// Upper edges of the bands of age in years; the last band is open.
    pub age_edges: Vec<f64>,
    /// One entry per available level.
    pub intervals: Vec<Interval>,
}

/// The interval of one level: two quantiles of the model and the offset that widens them in each group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Nominal coverage.
    pub level: f64,
    /// Index of the lower quantile in the model's output.
    pub lower: usize,
    /// Index of the upper quantile in the model's output.
    pub upper: usize,
    /// By price band, then by age band: the interval is `[q_lower / e^x, q_upper · e^x]`.
    pub offsets: Vec<Vec<f64>>,
}

/// One validation row: the model's quantiles, the asking price and the age.
#[derive(Clone, Debug)]
pub struct CalibrationRow {
    /// Predicted quantiles of the price, in ascending order.
    pub quantiles: Vec<f32>,
    /// Asking price.
    pub price: f64,
    /// Age in years on the day of the listing; NaN when unknown.
    pub age: f64,
}

/// Number of rows at which a group's own offset weighs as much as that of its parent group. Offsets of small groups
/// are mostly noise.
const SHRINKAGE_ROWS: f64 = 300.0;

/// Upper edges of the bands of age in years, of the calibration and of the accuracy card.
pub const AGE_EDGES: [f64; 4] = [3.0, 7.0, 12.0, 20.0];
const PRICE_BANDS: usize = 5;

impl Calibration {
    /// Fits the offsets. `quantile_levels` are the levels of the model's output, symmetric around the median; each
    /// pair becomes an interval.
    #[must_use]
    pub fn fit(quantile_levels: &[f64], rows: &[CalibrationRow]) -> Self {
        let median = quantile_levels.len() / 2;
        let price_edges = price_edges(rows, median);
        let mut calibration = Self { price_edges, age_edges: AGE_EDGES.to_vec(), intervals: Vec::new() };
        for lower in (0..median).rev() {
            let upper = quantile_levels.len() - 1 - lower;
            let level = round(quantile_levels[upper] - quantile_levels[lower]);
            let offsets = calibration.fit_offsets(level, lower, upper, rows);
            calibration.intervals.push(Interval { level, lower, upper, offsets });
        }
        calibration
    }

    fn fit_offsets(&self, level: f64, lower: usize, upper: usize, rows: &[CalibrationRow]) -> Vec<Vec<f64>> {
        let (price_bands, age_bands) = (self.price_edges.len() + 1, self.age_edges.len() + 1);
        let mut groups = vec![vec![Vec::new(); age_bands]; price_bands];
        for row in rows {
            let median = row.quantiles[row.quantiles.len() / 2];
            let low = f64::from(row.quantiles[lower]).ln();
            let high = f64::from(row.quantiles[upper]).ln();
            let score = (low - row.price.ln()).max(row.price.ln() - high);
            groups[band(&self.price_edges, f64::from(median))][band(&self.age_edges, row.age)].push(score);
        }
        let all: Vec<f64> = groups.iter().flatten().flatten().copied().collect();
        let overall = conformal_quantile(all, level);
        groups
            .into_iter()
            .map(|by_age| {
                let band = shrunk_quantile(by_age.iter().flatten().copied().collect(), level, overall);
                by_age.into_iter().map(|scores| shrunk_quantile(scores, level, band)).collect()
            })
            .collect()
    }

    /// The interval `(low, high)` of a level for a model's quantiles; it always contains the median. `None` for a level
    /// that was not trained.
    #[must_use]
    pub fn interval(&self, level: f64, quantiles: &[f32], age: f64) -> Option<(f64, f64)> {
        let interval = self.intervals.iter().find(|interval| (interval.level - level).abs() < 1e-9)?;
        let median = f64::from(*quantiles.get(quantiles.len() / 2)?);
        let offset = interval.offsets[band(&self.price_edges, median)][band(&self.age_edges, age)];
        let low = f64::from(*quantiles.get(interval.lower)?) / offset.exp();
        let high = f64::from(*quantiles.get(interval.upper)?) * offset.exp();
        Some((low.min(median), high.max(median)))
    }

    /// The available levels, in ascending order.
    #[must_use]
    pub fn levels(&self) -> Vec<f64> {
        self.intervals.iter().map(|interval| interval.level).collect()
    }

    /// Whether every band has a finite offset and every quantile index is below `quantiles`.
    #[must_use]
    pub fn is_consistent(&self, quantiles: usize) -> bool {
        self.intervals.iter().all(|interval| {
            interval.lower < interval.upper
                && interval.upper < quantiles
                && interval.offsets.len() == self.price_edges.len() + 1
                && interval.offsets.iter().all(|by_age| {
                    by_age.len() == self.age_edges.len() + 1 && by_age.iter().all(|offset| offset.is_finite())
                })
        })
    }
}

/// Edges that divide the predicted prices into bands of equal size.
fn price_edges(rows: &[CalibrationRow], median: usize) -> Vec<f64> {
    let mut prices: Vec<f64> = rows.iter().map(|row| f64::from(row.quantiles[median])).collect();
    prices.sort_unstable_by(f64::total_cmp);
    quantile::bin_edges(&prices, PRICE_BANDS)
}

/// The band of a value: the first whose upper edge is above it. NaN falls into the last.
fn band(edges: &[f64], value: f64) -> usize {
    edges.iter().position(|edge| value < *edge).unwrap_or(edges.len())
}

/// The conformal quantile of a group's scores, shrunk towards that of its parent group.
fn shrunk_quantile(scores: Vec<f64>, level: f64, parent: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
    let weight = scores.len() as f64 / (scores.len() as f64 + SHRINKAGE_ROWS);
    weight * conformal_quantile(scores, level) + (1.0 - weight) * parent
}

/// The `⌈(n + 1) · level⌉`-th smallest score, or 0 without scores. Coverage is only guaranteed for this rank, so none of
/// the quantiles of [`crate::quantile`] will do.
fn conformal_quantile(mut scores: Vec<f64>, level: f64) -> f64 {
    scores.sort_unstable_by(f64::total_cmp);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a rank below 2^52, never negative"
    )]
    let rank = ((scores.len() as f64 + 1.0) * level).ceil() as usize;
    let index = rank.clamp(1, scores.len().max(1)) - 1;
    scores.get(index).copied().unwrap_or(0.0)
}

fn round(level: f64) -> f64 {
    (level * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];

    /// Prices uniform over 100..200, and a model that predicts 140..160 for everything.
    fn overconfident_rows() -> Vec<CalibrationRow> {
        (0..1000)
            .map(|step| CalibrationRow {
                quantiles: vec![140.0, 150.0, 160.0],
                price: 100.0 + f64::from(step) / 10.0,
                age: 5.0,
            })
            .collect()
    }

    #[test]
    fn intervals_reach_nominal_coverage() {
        let rows = overconfident_rows();
        let calibration = Calibration::fit(&LEVELS, &rows);
        assert!(calibration.is_consistent(3));
        let covered = rows
            .iter()
            .filter(|row| {
                let (low, high) = calibration.interval(0.8, &row.quantiles, row.age).unwrap();
                (low..=high).contains(&row.price)
            })
            .count();
        assert!((795..=810).contains(&covered), "{covered}");
    }

    #[test]
    fn small_groups_shrink_towards_their_parent() {
        let mut rows = overconfident_rows();
        // Three old cars far outside the predicted range.
        rows.extend((0..3).map(|_| CalibrationRow { quantiles: vec![140.0, 150.0, 160.0], price: 1000.0, age: 30.0 }));
        let calibration = Calibration::fit(&LEVELS, &rows);
        let by_age = calibration.intervals[0].offsets.last().unwrap();
        let (large, small) = (by_age[1], by_age[4]);
        assert!((small - large).abs() < 0.02, "{small} {large}");
        assert!(small > large);
    }

    #[test]
    fn untrained_levels_have_no_interval() {
        let calibration = Calibration::fit(&LEVELS, &overconfident_rows());
        assert_eq!(calibration.interval(0.7, &[1.0, 2.0, 3.0], 5.0), None);
        assert_eq!(calibration.levels(), [0.8]);
    }

    #[test]
    fn without_rows_the_quantiles_are_unchanged() {
        let calibration = Calibration::fit(&LEVELS, &[]);
        assert_eq!(calibration.interval(0.8, &[1.0, 2.0, 3.0], f64::NAN), Some((1.0, 3.0)));
    }
}

//! Conformalized quantile regression (Romano, Patterson, Candès 2019, arXiv 1905.03222) on the logarithm of the
//! price, with offsets by what is known of the car, by date, and by predicted price and age (after Mondrian conformal
//! prediction).

use serde::{Deserialize, Serialize};

use crate::quantile;

/// A model's calibrated intervals, stored in its file under `probeg.calibration`.
///
/// The offset of a car is the sum of those of its completeness, of its date within that, and of its price and age.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Upper edges of the bands of predicted price; the last band is open.
    pub price_edges: Vec<f64>,
    /// Upper edges of the bands of age in years; the last band is open.
    pub age_edges: Vec<f64>,
    /// Upper edges of the bands of the number of known fields, for cars of a known model; see [`Known`]. Missing in older
    /// files.
    #[serde(default)]
    pub field_edges: Vec<f64>,
    /// Upper edges of the bands of date, in days since 1970-01-01; the last band is open. Missing in older files.
    #[serde(default)]
    pub date_edges: Vec<f64>,
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
    /// By price band, then by age band: the interval is `[q_lower / e^x, q_upper · e^x]`, where `x` is the sum of all offsets.
    pub offsets: Vec<Vec<f64>>,
    /// By completeness: of an unknown make, of an unknown model, then by band of the number of known fields. Missing in older
    /// files.
    #[serde(default)]
    pub completeness_offsets: Vec<f64>,
    /// By completeness, then by date band. Missing in older files.
    #[serde(default)]
    pub date_offsets: Vec<Vec<f64>>,
}

/// What the intervals of a car depend on, besides the model's quantiles.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Car {
    /// Age in years on the day of the price; NaN when unknown.
    pub age: f64,
    /// The day of the price, in days since 1970-01-01; NaN when unknown.
    pub day: f64,
    /// What the model knows of the car.
    pub known: Known,
}

/// What a model knows of a car.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Not even the make is in its vocabulary.
    NoMake,
    /// The make, but not the model.
    Make,
    /// The model, and this many fields in total.
    Fields(u32),
}

/// One validation row: the model's quantiles, the asking price and the car.
#[derive(Clone, Debug)]
pub struct CalibrationRow {
    /// Predicted quantiles of the price, in ascending order.
    pub quantiles: Vec<f32>,
    /// Asking price.
    pub price: f64,
    /// The car.
    pub car: Car,
}

/// Number of rows at which a group's own offset weighs as much as that of its parent group. Offsets of small groups
/// are mostly noise.
const SHRINKAGE_ROWS: f64 = 300.0;

/// Upper edges of the bands of age in years, of the calibration and of the accuracy card.
pub const AGE_EDGES: [f64; 4] = [3.0, 7.0, 12.0, 20.0];
/// The length of the newest snapshot of the market in days, back from the newest listing, for the calibration and the accuracy
/// card.
pub const SNAPSHOT_DAYS: u64 = 60;
/// Upper edges of the bands of known fields.
const FIELD_EDGES: [f64; 4] = [6.0, 9.0, 11.0, 14.0];
/// Number of bands of completeness: unknown makes, unknown models, and the bands of known fields.
const COMPLETENESS_BANDS: usize = 2 + FIELD_EDGES.len() + 1;
const PRICE_BANDS: usize = 5;
const DATE_BANDS: usize = 4;
/// Rounds over the three kinds of offsets, each fitted to what the others leave.
const ROUNDS: usize = 3;

impl Calibration {
    /// Fits the offsets. `quantile_levels` are the levels of the model's output, symmetric around the median; each
    /// pair becomes an interval.
    #[must_use]
    pub fn fit(quantile_levels: &[f64], rows: &[CalibrationRow]) -> Self {
        let median = quantile_levels.len() / 2;
        let mut calibration = Self {
            price_edges: edges(rows.iter().map(|row| f64::from(row.quantiles[median])), PRICE_BANDS),
            age_edges: AGE_EDGES.to_vec(),
            field_edges: FIELD_EDGES.to_vec(),
            date_edges: date_edges(rows),
            intervals: Vec::new(),
        };
        for lower in (0..median).rev() {
            let upper = quantile_levels.len() - 1 - lower;
            let level = round(quantile_levels[upper] - quantile_levels[lower]);
            let mut interval = calibration.without_offsets(level, lower, upper);
            calibration.fit_offsets(&mut interval, rows);
            calibration.intervals.push(interval);
        }
        calibration
    }

    fn without_offsets(&self, level: f64, lower: usize, upper: usize) -> Interval {
        Interval {
            level,
            lower,
            upper,
            offsets: vec![vec![0.0; self.age_edges.len() + 1]; self.price_edges.len() + 1],
            completeness_offsets: vec![0.0; COMPLETENESS_BANDS],
            date_offsets: vec![vec![0.0; self.date_edges.len() + 1]; COMPLETENESS_BANDS],
        }
    }

    /// Fits each kind of offset in turn to the scores that the others leave. Completeness comes first, since it differs most,
    /// and last, so that its groups have the nominal coverage.
    fn fit_offsets(&self, interval: &mut Interval, rows: &[CalibrationRow]) {
        let (level, ages) = (interval.level, self.age_edges.len() + 1);
        let dates = self.date_edges.len() + 1;
        let scored: Vec<(f64, Bands)> = rows.iter().map(|row| (score(row, interval), self.bands(row))).collect();
        let left = |interval: &Interval, (score, bands): &(f64, Bands)| score - interval.offset(bands);
        let fit_completeness = |interval: &mut Interval| {
            let fitted = grouped(&scored, COMPLETENESS_BANDS, |row| {
                let own = interval.completeness_offsets[row.1.completeness];
                (row.1.completeness, left(interval, row) + own)
            });
            let overall = conformal_quantile(fitted.iter().flatten().copied().collect(), level);
            for (group, scores) in fitted.into_iter().enumerate() {
                interval.completeness_offsets[group] = shrunk_quantile(scores, level, overall);
            }
        };
        fit_completeness(interval);
        for _ in 0..ROUNDS {
            let fitted = grouped(&scored, COMPLETENESS_BANDS * dates, |row| {
                (row.1.completeness * dates + row.1.date, left(interval, row) + interval.date_offset(&row.1))
            });
            for (group, scores) in fitted.into_iter().enumerate() {
                interval.date_offsets[group / dates][group % dates] = shrunk_quantile(scores, level, 0.0);
            }
            let fitted = grouped(&scored, (self.price_edges.len() + 1) * ages, |row| {
                let own = interval.offsets[row.1.price][row.1.age];
                (row.1.price * ages + row.1.age, left(interval, row) + own)
            });
            for (group, scores) in fitted.into_iter().enumerate() {
                interval.offsets[group / ages][group % ages] = shrunk_quantile(scores, level, 0.0);
            }
            fit_completeness(interval);
        }
    }

    fn bands(&self, row: &CalibrationRow) -> Bands {
        self.bands_of(f64::from(row.quantiles[row.quantiles.len() / 2]), &row.car)
    }

    fn bands_of(&self, median: f64, car: &Car) -> Bands {
        Bands {
            price: band(&self.price_edges, median),
            age: band(&self.age_edges, car.age),
            date: band(&self.date_edges, car.day),
            completeness: match car.known {
                Known::NoMake => 0,
                Known::Make => 1,
                Known::Fields(fields) => 2 + band(&self.field_edges, f64::from(fields)),
            },
        }
    }

    /// The interval `(low, high)` of a level for a model's quantiles; it always contains the median. `None` for a level
    /// that was not trained.
    #[must_use]
    pub fn interval(&self, level: f64, quantiles: &[f32], car: &Car) -> Option<(f64, f64)> {
        let interval = self.intervals.iter().find(|interval| (interval.level - level).abs() < 1e-9)?;
        let median = f64::from(*quantiles.get(quantiles.len() / 2)?);
        let offset = interval.offset(&self.bands_of(median, car));
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
        let is_table = |table: &[Vec<f64>], rows: usize, columns: usize| {
            table.len() == rows && table.iter().all(|row| row.len() == columns && row.iter().all(|at| at.is_finite()))
        };
        let completeness = self.field_edges.len() + 3;
        self.intervals.iter().all(|interval| {
            let Interval { offsets, completeness_offsets, date_offsets, .. } = interval;
            interval.lower < interval.upper
                && interval.upper < quantiles
                && is_table(offsets, self.price_edges.len() + 1, self.age_edges.len() + 1)
                && (date_offsets.is_empty() || is_table(date_offsets, completeness, self.date_edges.len() + 1))
                && (completeness_offsets.is_empty()
                    || is_table(std::slice::from_ref(completeness_offsets), 1, completeness))
        })
    }
}

/// The bands of a car.
struct Bands {
    price: usize,
    age: usize,
    date: usize,
    completeness: usize,
}

impl Interval {
    fn offset(&self, bands: &Bands) -> f64 {
        let completeness = self.completeness_offsets.get(bands.completeness).copied().unwrap_or_default();
        self.offsets[bands.price][bands.age] + completeness + self.date_offset(bands)
    }

    fn date_offset(&self, bands: &Bands) -> f64 {
        let by_date = self.date_offsets.get(bands.completeness);
        by_date.and_then(|by_date| by_date.get(bands.date)).copied().unwrap_or_default()
    }
}

/// How far the logarithm of the price lies outside of the two quantiles; negative inside.
fn score(row: &CalibrationRow, interval: &Interval) -> f64 {
    let low = f64::from(row.quantiles[interval.lower]).ln();
    let high = f64::from(row.quantiles[interval.upper]).ln();
    (low - row.price.ln()).max(row.price.ln() - high)
}

/// Scores by group.
fn grouped<R>(rows: &[R], groups: usize, group: impl Fn(&R) -> (usize, f64)) -> Vec<Vec<f64>> {
    let mut scores = vec![Vec::new(); groups];
    for (group, score) in rows.iter().map(group) {
        scores[group].push(score);
    }
    scores
}

/// Edges that divide values into bands of equal size; NaN is left out.
fn edges(values: impl Iterator<Item = f64>, bands: usize) -> Vec<f64> {
    let mut values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    values.sort_unstable_by(f64::total_cmp);
    quantile::bin_edges(&values, bands)
}

/// Edges that divide the dates into bands of equal size, with one more before the newest snapshot: what was calibrated there
/// holds for the days after it.
fn date_edges(rows: &[CalibrationRow]) -> Vec<f64> {
    let mut edges = edges(rows.iter().map(|row| row.car.day), DATE_BANDS);
    let newest = rows.iter().map(|row| row.car.day).fold(f64::NAN, f64::max);
    #[expect(clippy::cast_precision_loss, reason = "a few days")]
    let snapshot = newest - SNAPSHOT_DAYS as f64;
    if edges.last().is_none_or(|last| *last < snapshot) && snapshot.is_finite() {
        edges.push(snapshot);
    }
    edges
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
    const CAR: Car = Car { age: 5.0, day: 20_000.0, known: Known::Fields(10) };

    /// Prices uniform over 100..200, and a model that predicts 140..160 for everything.
    fn overconfident_rows() -> Vec<CalibrationRow> {
        (0..1000)
            .map(|step| CalibrationRow {
                quantiles: vec![140.0, 150.0, 160.0],
                price: 100.0 + f64::from(step) / 10.0,
                car: CAR,
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
                let (low, high) = calibration.interval(0.8, &row.quantiles, &row.car).unwrap();
                (low..=high).contains(&row.price)
            })
            .count();
        assert!((795..=810).contains(&covered), "{covered}");
    }

    #[test]
    fn small_groups_shrink_towards_their_parent() {
        let mut rows = overconfident_rows();
        // Three old cars far outside the predicted range.
        rows.extend((0..3).map(|_| CalibrationRow {
            quantiles: vec![140.0, 150.0, 160.0],
            price: 1000.0,
            car: Car { age: 30.0, ..CAR },
        }));
        let calibration = Calibration::fit(&LEVELS, &rows);
        let by_age = calibration.intervals[0].offsets.last().unwrap();
        let (large, small) = (by_age[1], by_age[4]);
        assert!((small - large).abs() < 0.02, "{small} {large}");
        assert!(small > large);
    }

    #[test]
    fn untrained_levels_have_no_interval() {
        let calibration = Calibration::fit(&LEVELS, &overconfident_rows());
        assert_eq!(calibration.interval(0.7, &[1.0, 2.0, 3.0], &CAR), None);
        assert_eq!(calibration.levels(), [0.8]);
    }

    #[test]
    fn without_rows_the_quantiles_are_unchanged() {
        let calibration = Calibration::fit(&LEVELS, &[]);
        assert_eq!(calibration.interval(0.8, &[1.0, 2.0, 3.0], &Car { age: f64::NAN, ..CAR }), Some((1.0, 3.0)));
    }
}

//! The market's level over time, of like cars.
//!
//! A time-product dummy index: the logarithm of the price is taken for the sum of a level of the cell (same
//! brand, model and age) and a level of the period, fitted by weighted least squares to the median of every cell
//! in every period (Rao 2005; Eurostat, "Guide on Multilateral Methods in the HICP", 2022). A period in which
//! dearer cars happen to be listed is not taken for a dearer market.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;
use storage::profile::CellLevel;

/// The market's level over time.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MarketIndex {
    /// The periods, the first one's level being 1.
    pub(crate) points: Vec<MarketPoint>,
    /// Cells of like cars that are compared.
    pub(crate) cells: usize,
    /// Listings in them.
    pub(crate) rows: i64,
}

/// The level of a period.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct MarketPoint {
    /// The period's first day.
    pub(crate) period: NaiveDate,
    /// Listings that are compared with other periods'.
    pub(crate) rows: i64,
    /// Prices of like cars, those of the first period being 1.
    pub(crate) level: f64,
}

impl MarketIndex {
    /// How often the prices of the last period are those of the first.
    pub(crate) fn rise(&self) -> f64 {
        self.points.last().map_or(1.0, |point| point.level)
    }
}

/// A period with fewer comparable listings has no level of its own.
const MIN_ROWS: i64 = 30;
const ROUNDS: usize = 500;
const TOLERANCE: f64 = 1e-7;

/// Computes the index; `None` where no two periods can be compared.
pub(crate) fn market_index(levels: &[CellLevel]) -> Option<MarketIndex> {
    let levels = comparable(levels)?;
    let mut periods: BTreeMap<NaiveDate, f64> = levels.iter().map(|level| (level.period, 0.0)).collect();
    for _ in 0..ROUNDS {
        let cells = fit(&levels, |level| level.cell, |level| level.level - periods[&level.period]);
        let fitted = fit(&levels, |level| level.period, |level| level.level - cells[&level.cell]);
        let change = fitted.iter().map(|(period, level)| (level - periods[period]).abs()).fold(0.0, f64::max);
        periods = fitted;
        if change < TOLERANCE {
            break;
        }
    }
    let first = periods.values().next().copied()?;
    let rows = |period: NaiveDate| levels.iter().filter(|level| level.period == period).map(|level| level.rows).sum();
    let points = periods.iter().map(|(period, level)| MarketPoint {
        period: *period,
        rows: rows(*period),
        level: (level - first).exp(),
    });
    let mut cells: Vec<i64> = levels.iter().map(|level| level.cell).collect();
    cells.dedup();
    Some(MarketIndex {
        points: points.collect(),
        cells: cells.len(),
        rows: levels.iter().map(|level| level.rows).sum(),
    })
}

/// The mean by a key, weighted by the square root of the listings: a median of many is more
/// certain, but one popular model must not be the market.
fn fit<K: Ord + Copy>(
    levels: &[&CellLevel],
    key: impl Fn(&CellLevel) -> K,
    value: impl Fn(&CellLevel) -> f64,
) -> BTreeMap<K, f64> {
    let mut sums: BTreeMap<K, (f64, f64)> = BTreeMap::new();
    for level in levels {
        let weight = (level.rows as f64).sqrt();
        let sum = sums.entry(key(level)).or_default();
        *sum = (sum.0 + weight * value(level), sum.1 + weight);
    }
    sums.into_iter().map(|(key, (sum, weight))| (key, sum / weight)).collect()
}

/// The part in which every period can be compared with every other, be it by way of a third:
/// the largest one, and in it the periods with enough listings.
fn comparable(levels: &[CellLevel]) -> Option<Vec<&CellLevel>> {
    let mut rows: BTreeMap<NaiveDate, i64> = BTreeMap::new();
    for level in levels {
        *rows.entry(level.period).or_default() += level.rows;
    }
    let mut kept: Vec<&CellLevel> = levels.iter().filter(|level| rows[&level.period] >= MIN_ROWS).collect();
    // The smallest period that a cell or a period is connected with, however far.
    let mut of_period: BTreeMap<NaiveDate, NaiveDate> = kept.iter().map(|level| (level.period, level.period)).collect();
    loop {
        let mut of_cell: BTreeMap<i64, NaiveDate> = BTreeMap::new();
        for level in &kept {
            let smallest = of_cell.entry(level.cell).or_insert(of_period[&level.period]);
            *smallest = (*smallest).min(of_period[&level.period]);
        }
        let mut has_changed = false;
        for level in &kept {
            let (old, new) = (of_period[&level.period], of_cell[&level.cell]);
            if new < old {
                of_period.insert(level.period, new);
                has_changed = true;
            }
        }
        if !has_changed {
            break;
        }
    }
    let mut sizes: BTreeMap<NaiveDate, i64> = BTreeMap::new();
    for level in &kept {
        *sizes.entry(of_period[&level.period]).or_default() += level.rows;
    }
    let (largest, _) = sizes.into_iter().max_by_key(|(_, rows)| *rows)?;
    kept.retain(|level| of_period[&level.period] == largest);
    let is_more_than_one = kept.iter().any(|level| level.period != kept[0].period);
    is_more_than_one.then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(cell: i64, year: i32, rows: i64, price: f64) -> CellLevel {
        let period = NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        CellLevel { cell, period, rows, level: price.ln() }
    }

    #[test]
    fn a_doubling_is_seen_although_other_cars_are_listed() {
        // The cheap car is listed early, the dear one late, both in between.
        let levels = [
            level(1, 2020, 90, 100.0),
            level(1, 2022, 40, 150.0),
            level(2, 2022, 40, 1500.0),
            level(2, 2024, 90, 2000.0),
        ];
        let index = market_index(&levels).unwrap();
        let found: Vec<f64> = index.points.iter().map(|point| (point.level * 1000.0).round() / 1000.0).collect();
        assert_eq!(found, [1.0, 1.5, 2.0]);
        assert_eq!((index.cells, index.rows), (2, 260));
        assert!((index.rise() - 2.0).abs() < 1e-4);
    }

    #[test]
    fn what_cannot_be_compared_is_left_out() {
        let levels = [
            level(1, 2020, 90, 100.0),
            level(1, 2021, 90, 110.0),
            level(2, 2022, 40, 10.0),
            level(2, 2023, 40, 90.0),
            level(1, 2024, 3, 900.0),
        ];
        let index = market_index(&levels).unwrap();
        assert_eq!(index.points.len(), 2);
        assert!((index.rise() - 1.1).abs() < 1e-4);
        assert!(market_index(&[]).is_none());
        assert!(market_index(&levels[..1]).is_none());
    }
}

//! The market index: prices of comparable cars over time.
//!
//! A time-product dummy index: the logarithm of the price is modelled as the sum of a cell effect (same brand, model and
//! age) and a period effect, fitted by weighted least squares to the median of every cell in every period (Rao 2005;
//! Eurostat, "Guide on Multilateral Methods in the HICP", 2022). A change in the mix of listed cars does not move it.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::Serialize;
use storage::profile::CellLevel;

/// The market index.
#[derive(Clone, Debug, Serialize)]
pub struct MarketIndex {
    /// The periods in order; the first has level 1.
    pub points: Vec<MarketPoint>,
    /// Number of cells compared.
    pub cells: usize,
    /// Number of listings in these cells.
    pub rows: i64,
}

/// The index of a period.
#[derive(Clone, Debug, Serialize)]
pub struct MarketPoint {
    /// First day of the period.
    pub period: NaiveDate,
    /// Number of listings compared.
    pub rows: i64,
    /// Price level relative to the first period.
    pub level: f64,
}

impl MarketIndex {
    /// The level of the last period relative to the first.
    pub(crate) fn total_change(&self) -> f64 {
        self.points.last().map_or(1.0, |point| point.level)
    }
}

/// Minimum number of comparable listings per period.
pub(crate) const MIN_PERIOD_ROWS: i64 = 30;
const MAX_ITERATIONS: usize = 500;
const TOLERANCE: f64 = 1e-7;

/// Computes the index of the periods with at least `min_rows` comparable listings; `None` where no two periods can be compared.
#[must_use]
pub fn market_index(levels: &[CellLevel], min_rows: i64) -> Option<MarketIndex> {
    let levels = connected_levels(levels, min_rows)?;
    let (periods, of_period) = numbered(levels.iter().map(|level| level.period));
    let (cells, of_cell) = numbered(levels.iter().map(|level| level.cell));
    let weights: Vec<f64> = levels.iter().map(|level| (level.rows as f64).sqrt()).collect();
    let mut effects = vec![0.0; periods.len()];
    for _ in 0..MAX_ITERATIONS {
        let without_period = |index: usize| levels[index].level - effects[of_period[index]];
        let of_cells = weighted_means(cells.len(), &of_cell, &weights, without_period);
        let without_cell = |index: usize| levels[index].level - of_cells[of_cell[index]];
        let updated = weighted_means(periods.len(), &of_period, &weights, without_cell);
        let change = updated.iter().zip(&effects).map(|(new, old)| (new - old).abs()).fold(0.0, f64::max);
        effects = updated;
        if change < TOLERANCE {
            break;
        }
    }
    let first = *effects.first()?;
    let mut rows = vec![0; periods.len()];
    for (level, period) in levels.iter().zip(&of_period) {
        rows[*period] += level.rows;
    }
    let points = periods.iter().zip(rows).zip(&effects);
    let points =
        points.map(|((period, rows), level)| MarketPoint { period: *period, rows, level: (level - first).exp() });
    Some(MarketIndex {
        points: points.collect(),
        cells: cells.len(),
        rows: levels.iter().map(|level| level.rows).sum(),
    })
}

/// The different keys in order, and for each key its place among them.
fn numbered<K: Ord + Copy>(keys: impl Iterator<Item = K>) -> (Vec<K>, Vec<usize>) {
    let keys: Vec<K> = keys.collect();
    let mut distinct = keys.clone();
    distinct.sort_unstable();
    distinct.dedup();
    let places = keys.iter().map(|key| distinct.partition_point(|other| other < key)).collect();
    (distinct, places)
}

/// Means by group, of which there are `count`, weighted by the square root of the row count: the median of a large cell is more
/// certain, but a popular model must not dominate the index.
fn weighted_means(count: usize, groups: &[usize], weights: &[f64], value: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut sums = vec![(0.0, 0.0); count];
    for (index, (group, weight)) in groups.iter().zip(weights).enumerate() {
        let (sum, total) = &mut sums[*group];
        *sum += weight * value(index);
        *total += weight;
    }
    sums.into_iter().map(|(sum, weight)| sum / weight).collect()
}

/// The largest connected component of the periods with enough listings, where periods are connected if they share a
/// cell.
fn connected_levels(levels: &[CellLevel], min_rows: i64) -> Option<Vec<&CellLevel>> {
    let mut rows: BTreeMap<NaiveDate, i64> = BTreeMap::new();
    for level in levels {
        *rows.entry(level.period).or_default() += level.rows;
    }
    let mut kept: Vec<&CellLevel> = levels.iter().filter(|level| rows[&level.period] >= min_rows).collect();
    // The first period of the component that each period or cell belongs to.
    let mut of_period: BTreeMap<NaiveDate, NaiveDate> = kept.iter().map(|level| (level.period, level.period)).collect();
    loop {
        let mut of_cell: BTreeMap<i64, NaiveDate> = BTreeMap::new();
        for level in &kept {
            let first = of_cell.entry(level.cell).or_insert(of_period[&level.period]);
            *first = (*first).min(of_period[&level.period]);
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
    let has_several_periods = kept.iter().any(|level| level.period != kept[0].period);
    has_several_periods.then_some(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(cell: i64, year: i32, rows: i64, price: f64) -> CellLevel {
        let period = NaiveDate::from_ymd_opt(year, 1, 1).unwrap();
        CellLevel { cell, period, rows, level: price.ln() }
    }

    #[test]
    fn the_index_is_unaffected_by_the_mix_of_cars() {
        // The cheap car is listed early, the expensive one late, both in between.
        let levels = [
            level(1, 2020, 90, 100.0),
            level(1, 2022, 40, 150.0),
            level(2, 2022, 40, 1500.0),
            level(2, 2024, 90, 2000.0),
        ];
        let index = market_index(&levels, MIN_PERIOD_ROWS).unwrap();
        let levels: Vec<f64> = index.points.iter().map(|point| (point.level * 1000.0).round() / 1000.0).collect();
        assert_eq!(levels, [1.0, 1.5, 2.0]);
        assert_eq!((index.cells, index.rows), (2, 260));
        assert!((index.total_change() - 2.0).abs() < 1e-4);
    }

    #[test]
    fn unconnected_and_small_periods_are_left_out() {
        let levels = [
            level(1, 2020, 90, 100.0),
            level(1, 2021, 90, 110.0),
            level(2, 2022, 40, 10.0),
            level(2, 2023, 40, 90.0),
            level(1, 2024, 3, 900.0),
        ];
        let index = market_index(&levels, MIN_PERIOD_ROWS).unwrap();
        assert_eq!(index.points.len(), 2);
        assert!((index.total_change() - 1.1).abs() < 1e-4);
        assert!(market_index(&[], MIN_PERIOD_ROWS).is_none());
        assert!(market_index(&levels[..1], MIN_PERIOD_ROWS).is_none());
    }
}

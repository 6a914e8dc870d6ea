//! What the prices of a table add up to, and the cars to look at first.

use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::quantile::interpolated;
use serde::Serialize;
use tables::RowResult;
use utoipa::ToSchema;

/// How many of the first rows are kept, and how many cars to look at.
const FIRST_ROWS: usize = 10;
const MAX_CARS: usize = 8;
/// The number of bars of the histogram.
const BARS: usize = 16;
/// The maximum length of a status in characters.
const MAX_STATUS_CHARS: usize = 200;

/// Collects the results of rows, which arrive in no order. Its size is bounded but for one number per row.
#[derive(Debug, Default)]
pub(crate) struct Collector(Mutex<Collected>);

#[derive(Debug, Default)]
struct Collected {
    rows: u64,
    prices: Vec<f64>,
    listed: Option<[f64; 2]>,
    first: Vec<CarResult>,
    widest: Vec<CarResult>,
    furthest: Vec<CarResult>,
}

/// What the prices of a table add up to.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Portfolio {
    /// The number of rows so far.
    #[schema(example = 214)]
    rows: u64,
    /// How many of them have a price.
    #[schema(example = 211)]
    valued: u64,
    /// The sum of the prices.
    #[schema(example = 284_500_000.0)]
    total: f64,
    /// The median price; null without prices.
    #[schema(example = 1_180_000.0)]
    median: Option<f64>,
    /// The lower and the upper decile of the prices, between which most cars are; null without prices.
    #[schema(example = json!([420_000.0, 2_950_000.0]))]
    spread: Option<[f64; 2]>,
    /// The sum of the listed prices of cars that have both, and of their valuations; null if there are none.
    #[schema(example = json!([281_000_000.0, 279_300_000.0]))]
    listed: Option<[f64; 2]>,
    /// How many cars are in each of equally wide ranges of prices.
    histogram: Vec<PriceRange>,
    /// The first rows of the table.
    first: Vec<CarResult>,
    /// The cars with the widest ranges for their prices, the widest first.
    widest: Vec<CarResult>,
    /// The cars whose listed price is furthest from the valuation, the furthest first.
    furthest: Vec<CarResult>,
}

/// The number of cars in a range of prices.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct PriceRange {
    /// The lower end.
    #[schema(example = 400_000.0)]
    from: f64,
    /// The upper end.
    #[schema(example = 600_000.0)]
    to: f64,
    /// How many cars.
    #[schema(example = 31)]
    count: u64,
}

/// A car of the table.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct CarResult {
    /// The number of its row.
    #[schema(example = 17)]
    row: u64,
    /// Its make, model and year as written.
    #[schema(example = "Kia Rio 2018")]
    car: String,
    /// The price; null if it has none.
    #[schema(example = 1_180_000.0)]
    price: Option<f64>,
    /// The lower end of the range.
    #[schema(example = 1_040_000.0)]
    low: Option<f64>,
    /// The upper end of the range.
    #[schema(example = 1_330_000.0)]
    high: Option<f64>,
    /// The price in the table, if it has one.
    #[schema(example = 1_250_000.0)]
    listed: Option<f64>,
    /// What is written as the status of the row.
    #[schema(example = "ok")]
    status: String,
}

impl Collector {
    pub(crate) fn add(&self, rows: Vec<RowResult>) {
        let mut collected = self.lock();
        for row in rows {
            collected.add(row);
        }
    }

    /// What has been collected so far; `None` before the first row.
    pub(crate) fn portfolio(&self) -> Option<Portfolio> {
        let collected = self.lock();
        (collected.rows > 0).then(|| collected.portfolio())
    }

    /// Nothing under the lock can panic halfway.
    fn lock(&self) -> MutexGuard<'_, Collected> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Collected {
    fn add(&mut self, row: RowResult) {
        self.rows += 1;
        let car = CarResult::from(row);
        keep(&mut self.first, &car, FIRST_ROWS, |car| std::cmp::Reverse(car.row));
        let Some(price) = car.price else { return };
        self.prices.push(price);
        keep(&mut self.widest, &car, MAX_CARS, CarResult::width);
        if let Some(listed) = car.listed {
            let sums = self.listed.get_or_insert([0.0; 2]);
            *sums = [sums[0] + listed, sums[1] + price];
            keep(&mut self.furthest, &car, MAX_CARS, CarResult::distance);
        }
    }

    fn portfolio(&self) -> Portfolio {
        let mut prices = self.prices.clone();
        prices.sort_unstable_by(f64::total_cmp);
        let decile = |probability| interpolated(&prices, probability);
        Portfolio {
            rows: self.rows,
            valued: prices.len() as u64,
            total: prices.iter().sum(),
            median: decile(0.5),
            spread: decile(0.1).zip(decile(0.9)).map(<[f64; 2]>::from),
            listed: self.listed,
            histogram: histogram(&prices),
            first: self.first.clone(),
            widest: self.widest.clone(),
            furthest: self.furthest.clone(),
        }
    }
}

/// Keeps the cars with the highest keys, the highest first.
fn keep<K: Ord>(cars: &mut Vec<CarResult>, car: &CarResult, max: usize, key: impl Fn(&CarResult) -> K) {
    let at = cars.partition_point(|other| key(other) >= key(car));
    if at < max {
        cars.insert(at, car.clone());
        cars.truncate(max);
    }
}

/// Equally wide ranges of sorted prices. The last one also has the few cars above the 99th percentile, or they would leave the
/// others one bar.
fn histogram(prices: &[f64]) -> Vec<PriceRange> {
    let (Some(first), Some(last), Some(top)) = (prices.first(), prices.last(), interpolated(prices, 0.99)) else {
        return Vec::new();
    };
    #[expect(clippy::cast_precision_loss, reason = "a handful of bars")]
    let edge = |bar: usize| first + (top - first) * bar as f64 / BARS as f64;
    let bars = if top > *first { BARS } else { 1 };
    let range = |bar: usize| {
        let is_last = bar + 1 == bars;
        let (from, to) = (edge(bar), if is_last { *last } else { edge(bar + 1) });
        let below = |end: f64| prices.partition_point(|price| *price < end);
        let end = if is_last { prices.len() } else { below(to) };
        PriceRange { from, to, count: (end - below(from)) as u64 }
    };
    (0..bars).map(range).collect()
}

/// A number with a total order.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Ordered(f64);

impl Eq for Ordered {}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ordered {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl CarResult {
    /// The width of its range, as a share of its price.
    fn width(&self) -> Ordered {
        self.share(self.high.zip(self.low).map(|(high, low)| high - low))
    }

    /// How far its listed price is from the valuation, as a share of that.
    fn distance(&self) -> Ordered {
        self.share(self.listed.zip(self.price).map(|(listed, price)| (listed - price).abs()))
    }

    fn share(&self, amount: Option<f64>) -> Ordered {
        let price = self.price.filter(|price| *price > 0.0);
        Ordered(amount.zip(price).map_or(0.0, |(amount, price)| amount / price))
    }
}

impl From<RowResult> for CarResult {
    fn from(result: RowResult) -> Self {
        let [price, low, high] = result.prices.map_or([None; 3], |prices| prices.map(Some));
        let status = result.status.chars().take(MAX_STATUS_CHARS).collect();
        Self { row: result.row, car: result.car, price, low, high, listed: result.listed, status }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(row: u64, price: f64, width: f64, listed: Option<f64>) -> RowResult {
        let prices = Some([price, price - width / 2.0, price + width / 2.0]);
        RowResult { row, car: format!("Kia {row}"), prices, listed, status: "ok".to_owned() }
    }

    #[test]
    fn cars_to_look_at_are_found_in_any_order_of_rows() {
        let collector = Collector::default();
        assert!(collector.portfolio().is_none());
        let mut rows: Vec<RowResult> = (2..=40).map(|number| row(number, 100.0, 10.0, Some(101.0))).collect();
        rows.push(row(41, 200.0, 90.0, None));
        rows.push(row(42, 300.0, 30.0, Some(150.0)));
        rows.push(RowResult { prices: None, listed: None, ..row(43, 1.0, 0.0, None) });
        rows.reverse();
        collector.add(rows);
        let portfolio = collector.portfolio().unwrap();
        assert_eq!((portfolio.rows, portfolio.valued, portfolio.median), (42, 41, Some(100.0)));
        assert_eq!(portfolio.first.iter().map(|car| car.row).collect::<Vec<_>>(), (2..12).collect::<Vec<_>>());
        assert_eq!((portfolio.widest[0].row, portfolio.furthest[0].row, portfolio.widest.len()), (41, 42, MAX_CARS));
        assert_eq!(portfolio.listed, Some([39.0 * 101.0 + 150.0, 3900.0 + 300.0]));
        assert_eq!(portfolio.histogram.iter().map(|bar| bar.count).sum::<u64>(), 41);
    }

    #[test]
    fn equal_prices_are_one_bar() {
        assert_eq!(histogram(&[5.0, 5.0]), [PriceRange { from: 5.0, to: 5.0, count: 2 }]);
        assert_eq!(histogram(&[]), []);
    }
}

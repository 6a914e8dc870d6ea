//! The accuracy card: how far a model's prices are from the asked ones, overall and by segment.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// Accuracy of one set of rows. Errors and shares are fractions: 0.154 means 15.4 %.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// How many rows were measured.
    pub rows: usize,
    /// Mean absolute percentage error.
    pub mape: f64,
    /// Median absolute percentage error.
    pub median_ape: f64,
    /// Mean absolute error, in currency units.
    pub mae: f64,
    /// Root mean squared error of `ln(1 + price)`.
    pub rmsle: f64,
    /// Share of the prices' variance that is explained.
    pub r2: f64,
    /// Share of rows within 5 %.
    pub within_5: f64,
    /// Share of rows within 10 %.
    pub within_10: f64,
    /// Share of rows within 20 %.
    pub within_20: f64,
    /// Share of rows whose price lies in the 80 % interval.
    pub coverage_80: f64,
    /// Median width of the 80 % interval as a fraction of the price.
    pub median_width_80: f64,
    /// Coefficient of dispersion: the mean distance of the ratios of predicted to asked price from their
    /// median, as a fraction of it (IAAO, Standard on Ratio Studies, 2013).
    pub cod: f64,
    /// Price-related differential: the mean ratio over the ratio of the sums; above 1 where dear cars
    /// are priced relatively lower than cheap ones (same standard).
    pub prd: f64,
    /// How far chance alone may move the main figures.
    pub intervals_95: Intervals,
}

/// Percentile bootstrap intervals of 95 %, lower and upper end (Efron and Tibshirani 1993, chapter 13).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Of [`Accuracy::mape`].
    pub mape: [f64; 2],
    /// Of [`Accuracy::median_ape`].
    pub median_ape: [f64; 2],
    /// Of [`Accuracy::coverage_80`].
    pub coverage_80: [f64; 2],
}

/// How often the price rises where common sense says that it should not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// How many rows were tried.
    pub rows: usize,
    /// Share of rows that become dearer with [`Surface::MORE_MILEAGE`] more on the clock.
    pub dearer_with_mileage: f64,
    /// Share of rows that become dearer when the same car is one year older.
    pub dearer_with_age: f64,
}

impl Surface {
    /// What is added to the mileage, in km.
    pub const MORE_MILEAGE: f64 = 10_000.0;
}

/// Accuracy overall and by segment: family, then segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccuracyCard {
    /// All rows.
    #[serde(flatten)]
    pub overall: Accuracy,
    /// By family of segments, then by segment.
    pub segments: BTreeMap<String, BTreeMap<String, Accuracy>>,
    /// The sanity of the prices' surface.
    pub surface: Surface,
    /// How a model did that was kept from the newest listings; `None` where there was none.
    pub newest: Option<Newest>,
}

/// The accuracy on the newest listings of a model that learned from the older ones only, as every model
/// in service meets a market that has moved on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Newest {
    /// The first day that was held out.
    pub since: NaiveDate,
    /// On the listings of that day and later.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

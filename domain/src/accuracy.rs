//! The accuracy card: how far predicted prices are from asking prices, overall and by segment.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};

/// Accuracy over one set of rows. Errors and shares are fractions: 0.154 means 15.4 %.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Number of rows evaluated.
    pub rows: usize,
    /// Mean absolute percentage error.
    pub mape: f64,
    /// Median absolute percentage error.
    pub median_ape: f64,
    /// Mean absolute error, in currency units.
    pub mae: f64,
    /// Root mean squared error of `ln(1 + price)`.
    pub rmsle: f64,
    /// Coefficient of determination of the price.
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
    /// Coefficient of dispersion: the mean absolute deviation of the ratios of predicted to asking price from their
    /// median, as a fraction of that median (IAAO, Standard on Ratio Studies, 2013).
    pub cod: f64,
    /// Price-related differential: the mean ratio over the ratio of the sums; above 1 where expensive cars are
    /// undervalued relative to cheap ones (same standard).
    pub prd: f64,
    /// Confidence intervals of the main figures.
    pub intervals_95: Intervals,
}

/// 95 % percentile bootstrap intervals, lower and upper bound (Efron and Tibshirani 1993, chapter 13).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    /// Of [`Accuracy::mape`].
    pub mape: [f64; 2],
    /// Of [`Accuracy::median_ape`].
    pub median_ape: [f64; 2],
    /// Of [`Accuracy::coverage_80`].
    pub coverage_80: [f64; 2],
}

/// How often the predicted price rises where it should fall.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Surface {
    /// Number of rows tried.
    pub rows: usize,
    /// Share of rows whose price rises with [`Surface::ADDED_MILEAGE`] more on the odometer.
    pub dearer_with_mileage: f64,
    /// Share of rows whose price rises when the same car is one year older.
    pub dearer_with_age: f64,
}

impl Surface {
    /// Mileage added, in km.
    pub const ADDED_MILEAGE: f64 = 10_000.0;
}

/// Accuracy overall and by segment: family, then segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccuracyCard {
    /// All rows.
    #[serde(flatten)]
    pub overall: Accuracy,
    /// By family of segments, then by segment.
    pub segments: BTreeMap<String, BTreeMap<String, Accuracy>>,
    /// Sanity of the price surface.
    pub surface: Surface,
    /// Accuracy when only some fields are given, the shortest form first; empty in older files.
    #[serde(default)]
    pub forms: Vec<FormAccuracy>,
    /// Accuracy of a model trained without the newest listings; `None` where there was none.
    pub newest: Option<Newest>,
    /// Accuracy of a linear model of the same listings, which a network must beat; `None` for linear models, in files of other
    /// programs and in older files.
    #[serde(default)]
    pub floor: Option<Accuracy>,
    /// How far prices depend on the random seed; `None` where the network was not trained twice.
    #[serde(default)]
    pub stability: Option<Stability>,
    /// Accuracy on days after the newest listing; `None` where it was not measured.
    #[serde(default)]
    pub forecast: Option<Forecast>,
}

impl AccuracyCard {
    /// Whether prices are nearer to the asking prices than those of the linear model, if there is one to compare with.
    #[must_use]
    pub fn beats_floor(&self) -> bool {
        self.floor.as_ref().is_none_or(|floor| self.overall.mape < floor.mape)
    }
}

/// Accuracy on listings of which only the first fields are given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FormAccuracy {
    /// The number of fields given, in the order of [`crate::form::FIELDS`]; `None` for all that the listing has.
    pub fields: Option<usize>,
    /// On all listings.
    #[serde(flatten)]
    pub accuracy: Accuracy,
    /// On the newest snapshot: the listings of the last [`crate::calibration::SNAPSHOT_DAYS`] days; `None` if there are too few.
    pub newest: Option<Accuracy>,
    /// Share of listings whose price with all fields lies in the 80 % interval of the form.
    pub full_price_in_interval: f64,
    /// Share of listings whose price with all fields differs from that of the form by more than a quarter.
    pub moved_by_a_quarter: f64,
}

/// Accuracy on the newest listings of a model trained only on older ones: in production, the market has always
/// moved on since training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Newest {
    /// First day held out.
    pub since: NaiveDate,
    /// On the listings of that day and later.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

/// How far the prices of the test split differ between the network and one trained with another seed, which was trained without the
/// validation split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Stability {
    /// Share of prices that differ by at most 3 %.
    pub within_3: f64,
    /// The median difference, as a fraction of the price.
    pub median_difference: f64,
}

/// Accuracy on days after the newest listing that a model learned from, by rolling origins (Tashman 2000): models trained on the
/// listings before a cut day value those since. Neither drift nor wander of an origin is fitted on itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Forecast {
    /// How the level of the market is expected to go on.
    pub drift: Drift,
    /// The rate of the drift: the change of the logarithm of prices in a year, as far as the drift follows it.
    pub rate: f64,
    /// How far the level may be from there after a year: half of the 80 % interval of its logarithm. It grows with the fourth root
    /// of the time.
    pub wander: f64,
    /// Each cut day, the newest first.
    pub origins: Vec<Origin>,
    /// Accuracy by distance from the newest listing, over all origins.
    pub horizons: Vec<HorizonAccuracy>,
}

/// How the level of the market is expected to go on after the newest listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Drift {
    /// It stays.
    Flat,
    /// The trend of the last year fades out.
    DampedTrend,
    /// It follows the mean trend of all years for some more.
    Index,
}

/// Accuracy on the listings since a cut day, of a model trained on those before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// First day held out.
    pub since: NaiveDate,
    /// The newest listing that the model learned from.
    pub market_as_of: NaiveDate,
    /// The median of the logarithm of asking price to predicted price: how far the level was missed.
    pub level_error: f64,
    /// On the listings of that day and later.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

/// Accuracy at a distance from the newest listing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HorizonAccuracy {
    /// The upper end of the distance, in months; `None` for all beyond.
    pub up_to_months: Option<u32>,
    /// The number of origins with listings at this distance.
    pub origins: usize,
    /// On those listings.
    #[serde(flatten)]
    pub accuracy: Accuracy,
}

//! What a car is worth.

use chrono::NaiveDate;

/// What a car is worth.
#[derive(Clone, Debug, PartialEq)]
pub struct Valuation {
    /// The median asking price, in currency units.
    pub price: f64,
    /// Lower end of the calibrated interval.
    pub low: f64,
    /// Upper end of the calibrated interval.
    pub high: f64,
    /// The share of asking prices that the interval is to hold.
    pub level: f64,
    /// The model's own quantiles, uncalibrated, in the order of the model file's levels.
    pub quantiles: Vec<f64>,
    /// The day that the price is for.
    pub as_of: NaiveDate,
    /// What the model does not know of the listing.
    pub warnings: Vec<Warning>,
}

/// Something of the listing that the model does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// A stable identifier: `unknown_value`.
    pub code: &'static str,
    /// The column.
    pub field: String,
    /// A sentence for people, with the nearest known value where one is near.
    pub message: String,
}

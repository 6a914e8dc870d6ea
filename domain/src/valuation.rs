//! The valuation of a car.

use chrono::NaiveDate;

/// The valuation of a car.
#[derive(Clone, Debug, PartialEq)]
pub struct Valuation {
    /// The median asking price, in currency units.
    pub price: f64,
    /// Lower bound of the calibrated interval.
    pub low: f64,
    /// Upper bound of the calibrated interval.
    pub high: f64,
    /// Nominal coverage of the interval.
    pub level: f64,
    /// The model's uncalibrated quantiles, in the order of the model file's levels.
    pub quantiles: Vec<f64>,
    /// The day of the valuation.
    pub as_of: NaiveDate,
    /// Values that the model does not know.
    pub warnings: Vec<Warning>,
}

/// A value of the listing that the model does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// A stable identifier: `unknown_value`.
    pub code: &'static str,
    /// The column.
    pub field: String,
    /// A sentence for people, suggesting the nearest known value if there is one.
    pub message: String,
}

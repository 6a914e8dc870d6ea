//! A value of a listing.

use chrono::NaiveDate;

/// A value of a listing, already checked against its column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text, trimmed, never empty.
    Text(String),
    /// A number in the column's unit.
    Number(f64),
    /// A calendar day.
    Date(NaiveDate),
}

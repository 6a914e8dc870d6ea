//! A value of a listing.

use chrono::NaiveDate;

/// A value of a listing, validated against its column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text, trimmed and not empty.
    Text(String),
    /// A number in the column's unit.
    Number(f64),
    /// A calendar day.
    Date(NaiveDate),
}

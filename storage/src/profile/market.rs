//! Prices of similar cars over time.

use chrono::NaiveDate;
use sqlx::FromRow;

/// The period by which listings are grouped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Calendar months.
    Month,
    /// Calendar quarters.
    Quarter,
    /// Calendar years.
    Year,
}

/// The price level of a cell (same brand, model and age) in a period.
#[derive(Clone, Debug, FromRow, PartialEq)]
pub struct CellLevel {
    /// The number of the cell.
    pub cell: i64,
    /// The first day of the period.
    pub period: NaiveDate,
    /// Listings.
    pub rows: i64,
    /// The median of the natural logarithm of the prices.
    pub level: f64,
}

/// The maximum number of cells, of which the largest are used.
pub(super) const MAX_CELLS: i64 = 20_000;

impl Period {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }
}

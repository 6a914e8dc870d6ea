//! Prices of like cars at different times.

use chrono::NaiveDate;
use sqlx::FromRow;

use crate::error::Result;
use crate::snapshot::Snapshot;

/// What listings are put together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// Calendar months.
    Month,
    /// Calendar quarters.
    Quarter,
    /// Calendar years.
    Year,
}

/// What cars of one cell (same brand, model and age) cost in one period.
#[derive(Clone, Debug, FromRow, PartialEq)]
pub struct CellLevel {
    /// The number of the cell.
    pub cell: i64,
    /// The period's first day.
    pub period: NaiveDate,
    /// Listings.
    pub rows: i64,
    /// Median of the natural logarithm of their prices.
    pub level: f64,
}

/// Cells that an index is computed from, the largest ones.
const CELLS: i64 = 20_000;

impl Snapshot {
    /// What like cars cost, for the cells that are listed in more than one period.
    ///
    /// # Errors
    /// See [`Snapshot::overview`].
    pub async fn cell_levels(&mut self, period: Period) -> Result<Vec<CellLevel>> {
        let query = sqlx::query_as(
            "WITH dated AS (
                 SELECT brand, model, date_part('year', listing_date)::int - year AS age,
                        date_trunc($1, listing_date)::date AS period, ln(price) AS level
                 FROM listings WHERE listing_date IS NOT NULL AND model IS NOT NULL),
             cells AS (
                 SELECT brand, model, age, row_number() OVER (ORDER BY count(*) DESC, brand, model, age) AS cell
                 FROM dated GROUP BY brand, model, age HAVING count(DISTINCT period) > 1
                 ORDER BY cell LIMIT $2)
             SELECT cell, period, count(*) AS rows, percentile_cont(0.5) WITHIN GROUP (ORDER BY level) AS level
             FROM dated JOIN cells USING (brand, model, age) GROUP BY cell, period ORDER BY cell, period",
        );
        Ok(query.bind(period.name()).bind(CELLS).fetch_all(self.connection()?).await?)
    }
}

impl Period {
    fn name(self) -> &'static str {
        match self {
            Self::Month => "month",
            Self::Quarter => "quarter",
            Self::Year => "year",
        }
    }
}

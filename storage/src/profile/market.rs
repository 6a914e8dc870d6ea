//! Prices of similar cars over time.

use chrono::NaiveDate;
use sqlx::FromRow;

use crate::error::Result;
use crate::snapshot::Snapshot;

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
const MAX_CELLS: i64 = 20_000;

impl Snapshot {
    /// The price levels of the cells with listings in more than one period.
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
        Ok(query.bind(period.name()).bind(MAX_CELLS).fetch_all(self.connection()?).await?)
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

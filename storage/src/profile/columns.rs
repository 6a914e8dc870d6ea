//! The profile of a column.

use domain::Column;
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};

use crate::error::Result;
use crate::snapshot::Snapshot;

/// The quantiles of a [`NumberProfile`].
pub const QUANTILE_LEVELS: [f64; 9] = [0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0];
/// The indices of the quartiles in [`QUANTILE_LEVELS`].
const QUARTILES: [usize; 3] = [3, 4, 5];
/// A text with fewer listings is rare.
const RARE_ROWS: i64 = 10;

/// A text and the number of its listings.
#[derive(Clone, Debug, FromRow, PartialEq, Serialize)]
pub struct Value {
    /// The text, preceded by those of the leading columns, if any.
    pub value: String,
    /// Listings.
    pub rows: i64,
}

/// The profile of a text column.
#[derive(Clone, Debug, Default, FromRow, PartialEq, Serialize)]
pub struct TextProfile {
    /// Listings with a value.
    pub known: i64,
    /// Distinct values.
    pub distinct: i64,
    /// The number of the most frequent values that cover half of the known ones.
    pub values_for_50: i64,
    /// The number that covers 90 %.
    pub values_for_90: i64,
    /// The number that covers 99 %.
    pub values_for_99: i64,
    /// Values with fewer than 10 listings.
    pub rare_values: i64,
    /// Listings with such values.
    pub rare_rows: i64,
    /// The most frequent values, in descending order.
    #[sqlx(skip)]
    pub top: Vec<Value>,
}

/// A number and the number of its listings.
#[derive(Clone, Copy, Debug, FromRow, PartialEq, Serialize)]
pub struct NumberCount {
    /// The number.
    pub number: f64,
    /// Listings.
    pub rows: i64,
}

/// The profile of a numeric column.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NumberProfile {
    /// Listings with a value.
    pub known: i64,
    /// Distinct values.
    pub distinct: i64,
    /// The quantiles at [`QUANTILE_LEVELS`]; empty if there are no values.
    pub quantiles: Vec<f64>,
    /// The outer fences (Tukey 1977), three interquartile ranges beyond the quartiles, optionally on a logarithmic scale. Values
    /// outside are extreme outliers.
    pub fences: (f64, f64),
    /// Listings below the lower fence.
    pub below: i64,
    /// Listings above the upper fence.
    pub above: i64,
    /// The lowest numbers below the lower fence.
    pub lowest: Vec<NumberCount>,
    /// The highest numbers above the upper fence.
    pub highest: Vec<NumberCount>,
    /// The most frequent numbers.
    pub frequent: Vec<NumberCount>,
}

impl NumberProfile {
    /// The quartiles, with the median in the middle; `None` if there are no values.
    #[must_use]
    pub fn quartiles(&self) -> Option<[f64; 3]> {
        quartiles(&self.quantiles)
    }
}

fn quartiles(quantiles: &[f64]) -> Option<[f64; 3]> {
    let [low, median, high] = QUARTILES.map(|index| quantiles.get(index).copied());
    Some([low?, median?, high?])
}

impl Snapshot {
    /// The profile of a text column, with at most `limit` of its values. The key has several columns if the last one is only
    /// meaningful within the others.
    ///
    /// # Errors
    /// See [`Snapshot::overview`].
    pub async fn text_profile(&mut self, key: &[Column], limit: i64) -> Result<TextProfile> {
        let Some(column) = key.last() else { return Ok(TextProfile::default()) };
        let names = key.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ");
        let counts = format!(
            "WITH counts AS (
                 SELECT concat_ws(' ', {names}) AS value, count(*) AS rows
                 FROM listings WHERE {} IS NOT NULL GROUP BY 1)",
            column.name()
        );
        let top = sqlx::query_as(AssertSqlSafe(format!(
            "{counts} SELECT value, rows FROM counts ORDER BY rows DESC, value LIMIT $1"
        )));
        let top = top.bind(limit).fetch_all(self.connection()?).await?;
        let profile = sqlx::query_as(AssertSqlSafe(format!(
            "{counts}, ranked AS (
                 SELECT rows, row_number() OVER frequent AS rank, sum(rows) OVER frequent AS so_far,
                        sum(rows) OVER () AS known
                 FROM counts WINDOW frequent AS (ORDER BY rows DESC, value))
             SELECT coalesce(sum(rows), 0)::bigint AS known, count(*) AS distinct,
                    coalesce(min(rank) FILTER (WHERE so_far >= 0.5 * known), 0) AS values_for_50,
                    coalesce(min(rank) FILTER (WHERE so_far >= 0.9 * known), 0) AS values_for_90,
                    coalesce(min(rank) FILTER (WHERE so_far >= 0.99 * known), 0) AS values_for_99,
                    count(*) FILTER (WHERE rows < $1) AS rare_values,
                    coalesce(sum(rows) FILTER (WHERE rows < $1), 0)::bigint AS rare_rows
             FROM ranked"
        )));
        let profile: TextProfile = profile.bind(RARE_ROWS).fetch_one(self.connection()?).await?;
        Ok(TextProfile { top, ..profile })
    }

    /// The profile of a numeric column, with at most `limit` of its extreme and frequent values.
    ///
    /// # Errors
    /// See [`Snapshot::overview`].
    pub async fn number_profile(&mut self, column: Column, is_logarithmic: bool, limit: i64) -> Result<NumberProfile> {
        let name = column.name();
        // The cast to numeric preserves 1.6 in a single-precision column.
        let exact = &format!("{name}::numeric::float8");
        let query = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT count({name}), count(DISTINCT {name}),
                    percentile_cont($1::float8[]) WITHIN GROUP (ORDER BY {exact})
             FROM listings"
        )));
        let (known, distinct, quantiles): (i64, i64, Option<Vec<f64>>) =
            query.bind(QUANTILE_LEVELS.as_slice()).fetch_one(self.connection()?).await?;
        let quantiles = quantiles.unwrap_or_default();
        let fences = fences(&quantiles, is_logarithmic);
        let query = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT count(*) FILTER (WHERE {exact} < $1), count(*) FILTER (WHERE {exact} > $2)
             FROM listings"
        )));
        let (below, above) = query.bind(fences.0).bind(fences.1).fetch_one(self.connection()?).await?;
        let lowest = format!("{exact} < {} GROUP BY 1 ORDER BY 1", literal(fences.0));
        let highest = format!("{exact} > {} GROUP BY 1 ORDER BY 1 DESC", literal(fences.1));
        let frequent = format!("{name} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1");
        Ok(NumberProfile {
            known,
            distinct,
            quantiles,
            fences,
            below,
            above,
            lowest: self.count_numbers(exact, &lowest, limit).await?,
            highest: self.count_numbers(exact, &highest, limit).await?,
            frequent: self.count_numbers(exact, &frequent, limit).await?,
        })
    }

    async fn count_numbers(&mut self, number: &str, condition: &str, limit: i64) -> Result<Vec<NumberCount>> {
        let query = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {number} AS number, count(*) AS rows FROM listings WHERE {condition} LIMIT $1"
        )));
        Ok(query.bind(limit).fetch_all(self.connection()?).await?)
    }
}

/// A number as an SQL literal.
fn literal(number: f64) -> String {
    format!("'{number:e}'::float8")
}

fn fences(quantiles: &[f64], is_logarithmic: bool) -> (f64, f64) {
    let Some([low, _, high]) = quartiles(quantiles) else { return (f64::MIN, f64::MAX) };
    if is_logarithmic && low > 0.0 {
        let distance = (high / low).powi(3);
        return (low / distance, high * distance);
    }
    let distance = 3.0 * (high - low);
    (low - distance, high + distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_found_among_the_quantiles() {
        assert_eq!(quartiles(&QUANTILE_LEVELS), Some([0.25, 0.5, 0.75]));
        assert_eq!(quartiles(&[]), None);
    }

    fn with_quartiles(low: f64, high: f64) -> [f64; 9] {
        [0.0, 0.0, 0.0, low, low, high, high, high, high]
    }

    #[test]
    fn fences_are_three_interquartile_ranges_out() {
        assert_eq!(fences(&with_quartiles(10.0, 20.0), false), (-20.0, 50.0));
        assert_eq!(fences(&with_quartiles(10.0, 20.0), true), (1.25, 160.0));
        assert_eq!(fences(&with_quartiles(0.0, 20.0), true), (-60.0, 80.0));
        assert_eq!(fences(&[], true), (f64::MIN, f64::MAX));
    }
}

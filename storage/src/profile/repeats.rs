//! Duplicate rows and cars with several listings.

use domain::Column;
use domain::identity::{Split, VARYING_COLUMNS};
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};

use crate::error::Result;
use crate::snapshot::Snapshot;

/// Duplicate rows and cars with several listings.
#[derive(Clone, Debug, FromRow, PartialEq, Serialize)]
pub struct Repeats {
    /// Rows of imported files that repeated a listing exactly; they were not stored again.
    #[sqlx(skip)]
    pub exact: i64,
    /// Rows of imported files that were rejected.
    #[sqlx(skip)]
    pub rejected: i64,
    /// Cars with several listings.
    pub cars: i64,
    /// Their listings.
    pub rows: i64,
    /// Cars with several prices.
    pub repriced_cars: i64,
    /// Their listings.
    pub repriced_rows: i64,
    /// The median ratio of a repriced car's highest price to its lowest.
    pub median_price_ratio: Option<f64>,
    /// The median number of days between the first and last listing of a repriced car with several dates.
    pub median_days: Option<f64>,
    /// Cars from several sources.
    pub across_sources: i64,
    /// Cars by the number of their listings: 2, 3, 4, 5, and 6 or more.
    pub by_listings: Vec<i64>,
    /// The maximum number of listings of a car.
    pub most: i64,
    /// Listings that agree with one of another car in every column except price, date, region and owners.
    #[sqlx(skip)]
    pub same_description: i64,
    /// Those whose counterpart is in another split.
    #[sqlx(skip)]
    pub same_description_other_split: i64,
}

impl Snapshot {
    /// Duplicate rows and cars with several listings.
    ///
    /// # Errors
    /// See [`Snapshot::overview`].
    pub async fn repeats(&mut self) -> Result<Repeats> {
        let query = sqlx::query_as(
            "SELECT coalesce(sum(repeated_in_file + already_known), 0)::bigint, coalesce(sum(rejected), 0)::bigint
             FROM imports",
        );
        let (exact, rejected) = query.fetch_one(self.connection()?).await?;
        let relisted = self.relisted().await?;
        let (same_description, same_description_other_split) = self.same_description().await?;
        Ok(Repeats { exact, rejected, same_description, same_description_other_split, ..relisted })
    }

    /// Counts cars with several listings; the other counts are 0.
    async fn relisted(&mut self) -> Result<Repeats> {
        let query = sqlx::query_as(
            "WITH cars AS (
                 SELECT count(*) AS rows, max(price) / min(price) AS ratio, min(price) < max(price) AS is_repriced,
                        max(listing_date) - min(listing_date) AS days, count(DISTINCT source) AS sources
                 FROM listings GROUP BY listing_group HAVING count(*) > 1)
             SELECT count(*) AS cars, coalesce(sum(rows), 0)::bigint AS rows,
                    count(*) FILTER (WHERE is_repriced) AS repriced_cars,
                    coalesce(sum(rows) FILTER (WHERE is_repriced), 0)::bigint AS repriced_rows,
                    percentile_cont(0.5) WITHIN GROUP (ORDER BY ratio) FILTER (WHERE is_repriced)
                        AS median_price_ratio,
                    percentile_cont(0.5) WITHIN GROUP (ORDER BY days) FILTER (WHERE is_repriced AND days > 0)
                        AS median_days,
                    count(*) FILTER (WHERE sources > 1) AS across_sources,
                    ARRAY[count(*) FILTER (WHERE rows = 2), count(*) FILTER (WHERE rows = 3),
                          count(*) FILTER (WHERE rows = 4), count(*) FILTER (WHERE rows = 5),
                          count(*) FILTER (WHERE rows > 5)] AS by_listings,
                    coalesce(max(rows), 0) AS most
             FROM cars",
        );
        Ok(query.fetch_one(self.connection()?).await?)
    }

    async fn same_description(&mut self) -> Result<(i64, i64)> {
        let stable =
            Column::descriptive().iter().filter(|column| !VARYING_COLUMNS.contains(column)).map(|column| column.name());
        let ((validation, _), (test, _)) = (Split::Validation.buckets(), Split::Test.buckets());
        let query = sqlx::query_as(AssertSqlSafe(format!(
            "WITH descriptions AS (
                 SELECT count(*) AS rows,
                        count(DISTINCT CASE WHEN bucket < {validation} THEN 0 WHEN bucket < {test} THEN 1 ELSE 2 END) AS splits
                 FROM listings GROUP BY {} HAVING min(listing_group::text) < max(listing_group::text))
             SELECT coalesce(sum(rows), 0)::bigint, coalesce(sum(rows) FILTER (WHERE splits > 1), 0)::bigint
             FROM descriptions",
            stable.collect::<Vec<_>>().join(", ")
        )));
        Ok(query.fetch_one(self.connection()?).await?)
    }
}

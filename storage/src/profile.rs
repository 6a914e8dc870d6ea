//! The queries of the data report: aggregates of bounded size that PostgreSQL computes, and a uniform sample for everything
//! else.
//!
//! All queries use one [`Snapshot`], so that the figures are consistent.

mod columns;
mod market;
mod repeats;
mod scope;
mod suspicions;

use chrono::NaiveDate;
use domain::Column;
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};

pub use columns::{NumberCount, NumberProfile, QUANTILE_LEVELS, TextProfile, Value};
pub use market::{CellLevel, Period};
pub use repeats::Repeats;
pub use scope::{AgePrices, NamedPrices, PeriodPrices, RecentListing, Scope, ScopeOverview};
pub use suspicions::{Check, Suspicion};

use crate::chunk::ListingChunk;
use crate::copy::{column_names, columns};
use crate::error::Result;
use crate::snapshot::Snapshot;

/// An overview of the listings.
#[derive(Clone, Debug, FromRow, PartialEq, Serialize)]
pub struct Overview {
    /// Listings.
    pub rows: i64,
    /// Distinct cars.
    pub cars: i64,
    /// Listings with a date.
    pub dated: i64,
    /// The first date.
    pub first_day: Option<NaiveDate>,
    /// The last date.
    pub last_day: Option<NaiveDate>,
    /// Distinct months with listings.
    pub months: i64,
    /// Distinct sources.
    pub sources: i64,
    /// Listings without a source.
    pub without_source: i64,
}

/// The listings of one source.
#[derive(Clone, Debug, FromRow, PartialEq, Serialize)]
pub struct SourceRows {
    /// The source; `None` for listings without one.
    pub source: Option<String>,
    /// Listings.
    pub rows: i64,
    /// The first date.
    pub first_day: Option<NaiveDate>,
    /// The last date.
    pub last_day: Option<NaiveDate>,
    /// The median asking price.
    pub median_price: f64,
}

/// The listings of one month.
#[derive(Clone, Debug, FromRow, PartialEq, Serialize)]
pub struct MonthRows {
    /// The first day of the month.
    pub month: NaiveDate,
    /// Listings.
    pub rows: i64,
    /// The number of distinct sources.
    pub sources: i64,
    /// The share of the largest of these sources.
    pub largest_source: f64,
}

/// Listings with the same missing columns and the same source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Absence {
    /// The index of the source in the queried list, or the length of the list for all others.
    pub source: usize,
    /// The missing columns.
    pub missing: MissingColumns,
    /// Listings.
    pub rows: i64,
}

/// A set of columns that are missing together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct MissingColumns(u32);

impl MissingColumns {
    /// Whether a column is missing.
    #[must_use]
    pub fn contains(self, column: Column) -> bool {
        self.0 & Self::bit(column) != 0
    }

    fn bit(column: Column) -> u32 {
        1 << column as u32
    }
}

impl FromIterator<Column> for MissingColumns {
    fn from_iter<I: IntoIterator<Item = Column>>(columns: I) -> Self {
        Self(columns.into_iter().map(Self::bit).fold(0, |bits, bit| bits | bit))
    }
}

/// A uniform sample of the listings.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The listings.
    pub listings: ListingChunk,
    /// The source of each listing.
    pub sources: Vec<Option<String>>,
}

/// The maximum number of combinations of source and missing columns; real tables have a few hundred.
const MAX_ABSENCES: i64 = 50_000;

impl Snapshot {
    /// An overview of the listings.
    ///
    /// # Errors
    /// The connection is lost, or [`crate::Error::SnapshotEnded`]; the same for all methods here.
    pub async fn overview(&mut self) -> Result<Overview> {
        let connection = self.connection()?;
        // The report sorts and hashes the whole table.
        sqlx::raw_sql("SET LOCAL work_mem = '32MB'; SET LOCAL jit = off").execute(&mut *connection).await?;
        let query = sqlx::query_as(
            "SELECT count(*) AS rows, count(DISTINCT listing_group) AS cars, count(listing_date) AS dated,
                    min(listing_date) AS first_day, max(listing_date) AS last_day,
                    count(DISTINCT date_trunc('month', listing_date)) AS months,
                    count(DISTINCT source) AS sources, count(*) FILTER (WHERE source IS NULL) AS without_source
             FROM listings",
        );
        Ok(query.fetch_one(connection).await?)
    }

    /// The sources with the most listings, the largest first; listings without a source are one of them.
    ///
    /// # Errors
    /// See [`Snapshot::overview`].
    pub async fn sources(&mut self, limit: i64) -> Result<Vec<SourceRows>> {
        let query = sqlx::query_as(
            "SELECT source, count(*) AS rows, min(listing_date) AS first_day, max(listing_date) AS last_day,
                    percentile_cont(0.5) WITHIN GROUP (ORDER BY price) AS median_price
             FROM listings GROUP BY source ORDER BY rows DESC, source LIMIT $1",
        );
        Ok(query.bind(limit).fetch_all(self.connection()?).await?)
    }

    /// The months with listings, in order.
    ///
    /// # Errors
    /// See [`Snapshot::overview`].
    pub async fn months(&mut self) -> Result<Vec<MonthRows>> {
        let query = sqlx::query_as(
            "WITH counts AS (
                 SELECT date_trunc('month', listing_date)::date AS month, source, count(*) AS rows
                 FROM listings WHERE listing_date IS NOT NULL GROUP BY 1, 2)
             SELECT month, sum(rows)::bigint AS rows, count(*) AS sources,
                    (max(rows) / sum(rows))::float8 AS largest_source
             FROM counts GROUP BY month ORDER BY month",
        );
        Ok(query.fetch_all(self.connection()?).await?)
    }

    /// The combinations of missing columns by source, the most frequent first.
    ///
    /// # Errors
    /// See [`Snapshot::overview`].
    pub async fn absences(&mut self, sources: &[SourceRows]) -> Result<Vec<Absence>> {
        let names: Vec<&str> = sources.iter().filter_map(|source| source.source.as_deref()).collect();
        let includes_nameless = sources.iter().any(|source| source.source.is_none());
        let query = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT CASE WHEN source = ANY($1) THEN source END AS source,
                    source IS NULL AND $2 AS is_nameless, {} AS missing, count(*) AS rows
             FROM listings GROUP BY 1, 2, 3 ORDER BY rows DESC, 1, 2, 3 LIMIT $3",
            missing_bits()
        )));
        let found: Vec<(Option<String>, bool, i32, i64)> =
            query.bind(&names).bind(includes_nameless).bind(MAX_ABSENCES).fetch_all(self.connection()?).await?;
        let index_of = |name: Option<&str>| sources.iter().position(|source| source.source.as_deref() == name);
        let absences = found.into_iter().map(|(source, is_nameless, missing, rows)| {
            let is_listed = source.is_some() || is_nameless;
            let source = if is_listed { index_of(source.as_deref()) } else { None };
            Absence { source: source.unwrap_or(sources.len()), missing: MissingColumns(missing.cast_unsigned()), rows }
        });
        Ok(absences.collect())
    }

    /// A uniform sample, which is deterministic: content hashes are as good as random.
    ///
    /// # Errors
    /// See [`Snapshot::overview`].
    pub async fn sample(&mut self, limit: i64) -> Result<Sample> {
        let columns = column_names();
        let statement = format!(
            "COPY (SELECT {columns} FROM listings ORDER BY content_hash LIMIT {limit}) TO STDOUT (FORMAT binary)"
        );
        let listings = self.copy(&statement).await?;
        let query = sqlx::query_scalar("SELECT source FROM listings ORDER BY content_hash LIMIT $1");
        let sources = query.bind(limit).fetch_all(self.connection()?).await?;
        Ok(Sample { listings, sources })
    }
}

/// The SQL expression for the bits of [`MissingColumns`].
fn missing_bits() -> String {
    let bit = |column: &Column| {
        format!("(CASE WHEN {} IS NULL THEN {} ELSE 0 END)", column.name(), MissingColumns::bit(*column))
    };
    columns().iter().map(bit).collect::<Vec<_>>().join(" | ")
}

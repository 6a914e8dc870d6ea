//! What the data report asks of the listings: counts and quantiles that PostgreSQL computes, each
//! of a size that does not grow with the table, and a uniform sample for everything else.
//!
//! All of it is asked of one [`Snapshot`], so that every figure is of the same moment.

mod columns;
mod market;
mod repeats;
mod suspicions;

use chrono::NaiveDate;
use domain::Column;
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow};

pub use columns::{NumberCount, NumberProfile, QUANTILE_LEVELS, TextProfile, Value};
pub use market::{CellLevel, Period};
pub use repeats::Repeats;
pub use suspicions::{Check, Suspicion};

use crate::chunk::ListingChunk;
use crate::copy::column_names;
use crate::error::Result;
use crate::snapshot::Snapshot;

/// How many listings there are, of when and from where.
#[derive(Clone, Debug, FromRow, PartialEq, Serialize)]
pub struct Overview {
    /// Listings.
    pub rows: i64,
    /// Cars: listings of one car are counted once.
    pub cars: i64,
    /// Listings with a date.
    pub dated: i64,
    /// The first day.
    pub first_day: Option<NaiveDate>,
    /// The last day.
    pub last_day: Option<NaiveDate>,
    /// Different months with a listing.
    pub months: i64,
    /// Different sources.
    pub sources: i64,
    /// Listings without a source.
    pub without_source: i64,
}

/// The listings of one source.
#[derive(Clone, Debug, FromRow, PartialEq, Serialize)]
pub struct SourceRows {
    /// Its name; `None` stands for listings without one.
    pub source: Option<String>,
    /// Listings.
    pub rows: i64,
    /// The first day.
    pub first_day: Option<NaiveDate>,
    /// The last day.
    pub last_day: Option<NaiveDate>,
    /// Median asking price.
    pub median_price: f64,
}

/// The listings of one month.
#[derive(Clone, Debug, FromRow, PartialEq, Serialize)]
pub struct MonthRows {
    /// The month's first day.
    pub month: NaiveDate,
    /// Listings.
    pub rows: i64,
    /// Different sources among them.
    pub sources: i64,
    /// The share of the largest of these sources.
    pub largest_source: f64,
}

/// Listings that have the same columns missing and come from the same source.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Absence {
    /// The place of the source in the list that was asked about, or the list's length for all others.
    pub source: usize,
    /// The columns.
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
    /// The source of each.
    pub sources: Vec<Option<String>>,
}

/// Combinations of source and missing columns that are told apart; real tables have some hundreds.
const ABSENCES: i64 = 50_000;

impl Snapshot {
    /// How many listings there are, of when and from where.
    ///
    /// # Errors
    /// A connection that broke, or [`crate::Error::SnapshotOver`], as of every method here.
    pub async fn overview(&mut self) -> Result<Overview> {
        let connection = self.connection()?;
        // Sorting and hashing the whole table is all that the report does.
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

    /// The largest sources, listings without one among them, the largest first.
    ///
    /// # Errors
    /// See [`Snapshot::overview`].
    pub async fn sources(&mut self, at_most: i64) -> Result<Vec<SourceRows>> {
        let query = sqlx::query_as(
            "SELECT source, count(*) AS rows, min(listing_date) AS first_day, max(listing_date) AS last_day,
                    percentile_cont(0.5) WITHIN GROUP (ORDER BY price) AS median_price
             FROM listings GROUP BY source ORDER BY rows DESC, source LIMIT $1",
        );
        Ok(query.bind(at_most).fetch_all(self.connection()?).await?)
    }

    /// The months that have listings, in order.
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

    /// Which columns are missing together, by source, the most frequent combinations first.
    ///
    /// # Errors
    /// See [`Snapshot::overview`].
    pub async fn absences(&mut self, sources: &[SourceRows]) -> Result<Vec<Absence>> {
        let names: Vec<&str> = sources.iter().filter_map(|source| source.source.as_deref()).collect();
        let nameless = sources.iter().any(|source| source.source.is_none());
        let query = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT CASE WHEN source = ANY($1) THEN source END AS source,
                    source IS NULL AND $2 AS is_nameless, {} AS missing, count(*) AS rows
             FROM listings GROUP BY 1, 2, 3 ORDER BY rows DESC, 1, 2, 3 LIMIT $3",
            missing_bits()
        )));
        let found: Vec<(Option<String>, bool, i32, i64)> =
            query.bind(&names).bind(nameless).bind(ABSENCES).fetch_all(self.connection()?).await?;
        let place = |name: Option<&str>| sources.iter().position(|source| source.source.as_deref() == name);
        let absences = found.into_iter().map(|(source, is_nameless, missing, rows)| {
            let is_listed = source.is_some() || is_nameless;
            let source = if is_listed { place(source.as_deref()) } else { None };
            Absence { source: source.unwrap_or(sources.len()), missing: MissingColumns(missing.cast_unsigned()), rows }
        });
        Ok(absences.collect())
    }

    /// A uniform sample, the same one as long as the listings are the same: content hashes are as
    /// good as random.
    ///
    /// # Errors
    /// See [`Snapshot::overview`].
    pub async fn sample(&mut self, at_most: i64) -> Result<Sample> {
        let columns = column_names();
        let statement = format!(
            "COPY (SELECT {columns} FROM listings ORDER BY content_hash LIMIT {at_most}) TO STDOUT (FORMAT binary)"
        );
        let listings = self.copy(&statement).await?;
        let query = sqlx::query_scalar("SELECT source FROM listings ORDER BY content_hash LIMIT $1");
        let sources = query.bind(at_most).fetch_all(self.connection()?).await?;
        Ok(Sample { listings, sources })
    }
}

/// The bits of [`MissingColumns`] as PostgreSQL computes them.
fn missing_bits() -> String {
    let bits = Column::ALL
        .map(|column| format!("(CASE WHEN {} IS NULL THEN {} ELSE 0 END)", column.name(), MissingColumns::bit(column)));
    bits.join(" | ")
}

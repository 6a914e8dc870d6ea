//! The prices of a whole market, of a make or of a model: what market pages show.

use chrono::NaiveDate;
use domain::{Column, Listing};
use serde::Serialize;
use sqlx::{AssertSqlSafe, FromRow, Postgres, QueryBuilder, Row};

use super::market::{CellLevel, MAX_CELLS, Period};
use crate::copy::column_names;
use crate::error::Result;
use crate::similar::read_listing;
use crate::snapshot::Snapshot;

// The statements convert dates to timestamps without a time zone: with one, PostgreSQL looks it up for every row.

/// Which listings: all of them, those of a make, or those of a model. The names are in canonical form. The index on make and
/// model finds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope {
    /// The make.
    pub brand: Option<String>,
    /// The model.
    pub model: Option<String>,
}

/// How many listings there are, and of which dates.
#[derive(Clone, Debug, FromRow, PartialEq)]
pub struct ScopeOverview {
    /// Listings.
    pub rows: i64,
    /// Distinct months with listings.
    pub months: i64,
    /// The first date.
    pub first_day: Option<NaiveDate>,
    /// The last date.
    pub last_day: Option<NaiveDate>,
    /// The median price; `None` without listings.
    pub median_price: Option<f64>,
}

/// The listings of one make, or of one model.
#[derive(Clone, Debug, FromRow, PartialEq, Serialize)]
pub struct NamedPrices {
    /// The make or model.
    pub name: String,
    /// Listings.
    pub rows: i64,
    /// The median price.
    pub median_price: f64,
}

/// The prices of the cars of an age.
#[derive(Clone, Debug, FromRow, PartialEq, Serialize)]
pub struct AgePrices {
    /// The age in years when listed.
    pub age: i32,
    /// Listings.
    pub rows: i64,
    /// The lower quartile of the prices.
    pub low: f64,
    /// The median.
    pub median_price: f64,
    /// The upper quartile.
    pub high: f64,
}

/// The prices in a period.
#[derive(Clone, Debug, FromRow, PartialEq, Serialize)]
pub struct PeriodPrices {
    /// The first day.
    pub period: NaiveDate,
    /// Listings.
    pub rows: i64,
    /// The median price, which also depends on which cars happened to be listed.
    pub median_price: f64,
}

/// A listing with its price.
#[derive(Clone, Debug, PartialEq)]
pub struct RecentListing {
    /// The car, in canonical form.
    pub listing: Listing,
    /// The asking price, or another target.
    pub price: f64,
}

/// The oldest age that is shown.
const MAX_AGE: i32 = 30;
/// Prices by age are those of the listings of this many days before the newest one: older prices are of another level.
const RECENT_DAYS: i32 = 730;

impl Scope {
    /// Appends the condition that selects the listings.
    fn push(&self, query: &mut QueryBuilder<Postgres>) {
        query.push(" TRUE");
        for (column, value) in [(Column::Brand, &self.brand), (Column::Model, &self.model)] {
            if let Some(value) = value {
                query.push(format!(" AND {} = ", column.name())).push_bind(value.clone());
            }
        }
    }
}

impl Snapshot {
    /// Limits each of the following statements to this many milliseconds, and lets it sort all listings in memory.
    ///
    /// # Errors
    /// The connection is lost, or [`crate::Error::SnapshotEnded`]; the same for all methods here, and a statement that takes too
    /// long.
    pub async fn limit_statements(&mut self, timeout_ms: u32) -> Result<()> {
        let limit =
            format!("SET LOCAL statement_timeout = {timeout_ms}; SET LOCAL jit = off; SET LOCAL work_mem = '64MB'");
        sqlx::raw_sql(AssertSqlSafe(limit)).execute(self.connection()?).await?;
        Ok(())
    }

    /// How many listings there are, and of which dates.
    ///
    /// # Errors
    /// See [`Snapshot::limit_statements`].
    pub async fn scope_overview(&mut self, scope: &Scope) -> Result<ScopeOverview> {
        let mut query = QueryBuilder::new(
            "SELECT count(*) AS rows, count(DISTINCT date_trunc('month', listing_date::timestamp)) AS months,
                    min(listing_date) AS first_day, max(listing_date) AS last_day,
                    percentile_cont(0.5) WITHIN GROUP (ORDER BY price) AS median_price
             FROM listings WHERE",
        );
        scope.push(&mut query);
        Ok(query.build_query_as().fetch_one(self.connection()?).await?)
    }

    /// The makes of the market, or the models of a make, with the most listings first; nothing for a model.
    ///
    /// # Errors
    /// See [`Snapshot::limit_statements`].
    pub async fn scope_names(&mut self, scope: &Scope, limit: i64) -> Result<Vec<NamedPrices>> {
        let name = match scope {
            Scope { model: Some(_), .. } => return Ok(Vec::new()),
            Scope { brand: Some(_), .. } => Column::Model.name(),
            Scope { .. } => Column::Brand.name(),
        };
        let mut query = QueryBuilder::new(format!(
            "SELECT {name} COLLATE \"C\" AS name, count(*) AS rows, percentile_cont(0.5) WITHIN GROUP (ORDER BY price) AS median_price
             FROM listings WHERE {name} IS NOT NULL AND"
        ));
        scope.push(&mut query);
        query.push(" GROUP BY 1 ORDER BY rows DESC, name LIMIT ").push_bind(limit);
        Ok(query.build_query_as().fetch_all(self.connection()?).await?)
    }

    /// The prices by age, of the two years up to the last listing.
    ///
    /// # Errors
    /// See [`Snapshot::limit_statements`].
    pub async fn scope_ages(&mut self, scope: &Scope, last_day: NaiveDate) -> Result<Vec<AgePrices>> {
        let mut query = QueryBuilder::new(
            "SELECT age, rows, quartiles[1] AS low, quartiles[2] AS median_price, quartiles[3] AS high FROM (
                 SELECT age, count(*) AS rows,
                        percentile_cont(ARRAY[0.25, 0.5, 0.75]) WITHIN GROUP (ORDER BY price) AS quartiles
                 FROM (SELECT greatest(date_part('year', listing_date::timestamp)::int - year, 0) AS age, price
                       FROM listings WHERE",
        );
        scope.push(&mut query);
        query.push(" AND listing_date > ").push_bind(last_day).push(format!("::date - {RECENT_DAYS}) AS dated"));
        query.push(format!(" WHERE age <= {MAX_AGE} GROUP BY age) AS ages ORDER BY age"));
        Ok(query.build_query_as().fetch_all(self.connection()?).await?)
    }

    /// The prices by period.
    ///
    /// # Errors
    /// See [`Snapshot::limit_statements`].
    pub async fn scope_periods(&mut self, scope: &Scope, period: Period) -> Result<Vec<PeriodPrices>> {
        let mut query = QueryBuilder::new("SELECT date_trunc(");
        query.push_bind(period.name()).push(
            ", listing_date::timestamp)::date AS period, count(*) AS rows,
                    percentile_cont(0.5) WITHIN GROUP (ORDER BY price) AS median_price
             FROM listings WHERE",
        );
        scope.push(&mut query);
        query.push(" AND listing_date IS NOT NULL GROUP BY 1 ORDER BY 1");
        Ok(query.build_query_as().fetch_all(self.connection()?).await?)
    }

    /// The price levels of the cells with listings in more than one period.
    ///
    /// # Errors
    /// See [`Snapshot::limit_statements`].
    pub async fn cell_levels(&mut self, scope: &Scope, period: Period) -> Result<Vec<CellLevel>> {
        // Numbers are sorted in half the time of texts; that two of the cells have the same one is out of the question.
        let mut query = QueryBuilder::new(
            "WITH levels AS (
                 SELECT hashtextextended(brand || chr(31) || model, date_part('year', listing_date::timestamp)::int - year) AS car,
                        date_trunc(",
        );
        query.push_bind(period.name());
        query.push(
            ", listing_date::timestamp)::date AS period, count(*) AS rows,
                        percentile_cont(0.5) WITHIN GROUP (ORDER BY ln(price)) AS level
                 FROM listings WHERE",
        );
        scope.push(&mut query);
        query.push(
            " AND listing_date IS NOT NULL AND model IS NOT NULL GROUP BY car, period),
             cells AS (
                 SELECT car, row_number() OVER (ORDER BY sum(rows) DESC, car) AS cell
                 FROM levels GROUP BY car HAVING count(*) > 1 ORDER BY cell LIMIT ",
        );
        query
            .push_bind(MAX_CELLS)
            .push(") SELECT cell, period, rows, level FROM levels JOIN cells USING (car) ORDER BY cell, period");
        Ok(query.build_query_as().fetch_all(self.connection()?).await?)
    }

    /// The newest listings first.
    ///
    /// # Errors
    /// See [`Snapshot::limit_statements`].
    pub async fn recent_listings(&mut self, scope: &Scope, offset: i64, limit: i64) -> Result<Vec<RecentListing>> {
        let mut query = QueryBuilder::new(format!("SELECT {} FROM listings WHERE", column_names()));
        scope.push(&mut query);
        query.push(" ORDER BY listing_date DESC NULLS LAST, id DESC OFFSET ").push_bind(offset);
        query.push(" LIMIT ").push_bind(limit);
        let rows = query.build().fetch_all(self.connection()?).await?;
        let recent =
            |row| Ok(RecentListing { listing: read_listing(row)?, price: row.try_get(Column::Price as usize)? });
        Ok(rows.iter().map(recent).collect::<sqlx::Result<_>>()?)
    }
}

//! The versions in which a model is listed.

use domain::identity::single_precision;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Postgres, QueryBuilder, Row};

use crate::error::Result;
use crate::listings::Listings;

/// A version of a model as listed, in canonical form.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedVersion {
    /// Generation.
    pub vehicle_generation: Option<String>,
    /// Fuel.
    pub fuel_type: Option<String>,
    /// Engine volume in liters.
    pub engine_volume: Option<f64>,
    /// Engine power in horsepower.
    pub engine_power: Option<f64>,
    /// Gearbox.
    pub transmission: Option<String>,
    /// Driven wheels.
    pub drive: Option<String>,
    /// The first and the last year of manufacture.
    pub years: (i16, i16),
    /// In how many of the listings.
    pub listings: u64,
}

/// At most this many listings are counted, so the search has a bounded cost.
const MAX_LISTINGS: i64 = 20_000;
/// At most this many versions are returned: the most frequent ones.
const MAX_VERSIONS: i64 = 1000;
/// With listings of fewer cars of the same year, other years count too.
const MIN_LISTINGS: u64 = 20;
/// The widest difference of years.
const YEARS: [i32; 3] = [0, 1, 3];

impl Listings {
    /// The versions of a model, whose make and name are in canonical form: of cars of a year if there are enough listings of
    /// it, else of the years around; the most frequent first. Each statement is limited to `timeout_ms` milliseconds.
    ///
    /// # Errors
    /// The database is unavailable or slow.
    pub async fn versions(
        &self,
        brand: &str,
        model: &str,
        year: Option<i32>,
        timeout_ms: u32,
    ) -> Result<Vec<ListedVersion>> {
        let mut transaction = self.pool().begin().await?;
        let settings = format!("SET TRANSACTION READ ONLY; SET LOCAL statement_timeout = {timeout_ms}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(settings)).execute(&mut *transaction).await?;
        let mut versions = Vec::new();
        match year {
            None => versions = find(&mut transaction, brand, model, None).await?,
            Some(year) => {
                for difference in YEARS {
                    let years = (year - difference, year + difference);
                    versions = find(&mut transaction, brand, model, Some(years)).await?;
                    if versions.iter().map(|version| version.listings).sum::<u64>() >= MIN_LISTINGS {
                        break;
                    }
                }
            }
        }
        transaction.commit().await?;
        Ok(versions)
    }
}

async fn find(
    connection: &mut PgConnection,
    brand: &str,
    model: &str,
    years: Option<(i32, i32)>,
) -> Result<Vec<ListedVersion>> {
    const COLUMNS: &str = "vehicle_generation, fuel_type, engine_volume, engine_power, transmission, drive";
    let mut query: QueryBuilder<Postgres> =
        QueryBuilder::new(format!("SELECT {COLUMNS}, min(year), max(year), count(*) FROM ("));
    query.push(format!("SELECT {COLUMNS}, year FROM listings WHERE brand = ")).push_bind(brand);
    query.push(" AND model = ").push_bind(model);
    if let Some((first, last)) = years {
        query.push(" AND year BETWEEN ").push_bind(first).push(" AND ").push_bind(last);
    }
    query.push(format!(
        " LIMIT {MAX_LISTINGS}) AS cars GROUP BY {COLUMNS} ORDER BY count(*) DESC, {COLUMNS} LIMIT {MAX_VERSIONS}"
    ));
    let rows = query.build().fetch_all(connection).await?;
    Ok(rows.iter().map(read_version).collect::<sqlx::Result<_>>()?)
}

fn read_version(row: &PgRow) -> sqlx::Result<ListedVersion> {
    let number = |index: usize| -> sqlx::Result<Option<f64>> {
        let number = row.try_get::<Option<f32>, _>(index)?;
        Ok(number.map(|number| single_precision(f64::from(number))))
    };
    Ok(ListedVersion {
        vehicle_generation: row.try_get(0)?,
        fuel_type: row.try_get(1)?,
        engine_volume: number(2)?,
        engine_power: number(3)?,
        transmission: row.try_get(4)?,
        drive: row.try_get(5)?,
        years: (row.try_get(6)?, row.try_get(7)?),
        listings: row.try_get::<i64, _>(8)?.unsigned_abs(),
    })
}

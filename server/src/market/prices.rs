//! The prices of a market, of a make or of a model: what market pages show.

use axum::Json;
use axum::extract::{Query, State as Extracted};
use chrono::NaiveDate;
use domain::cell::shorten;
use domain::{Column, Task};
use serde::Serialize;
use storage::profile::{RecentListing, Scope};
use utoipa::{IntoParams, ToSchema};

use crate::http::problem::openapi::MarketProblems;
use crate::http::problem::{FieldError, FieldErrors, Problem};
use crate::http::query::{TASK, read_pairs};
use crate::serving::prices::{ScopePrices, in_time, snapshot};
use crate::state::State;
use crate::valuations::listing::to_json;

/// The number of listings on a page.
const PAGE_ROWS: u32 = 20;
/// The last page: reading more of them costs more and tells no more.
const MAX_PAGES: u32 = 50;

/// Which listings.
#[derive(Debug, Default, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct MarketQuery {
    /// The task with the market, one of `/v1/tasks`; by default that of the server.
    #[param(required = false, nullable = false, example = "price")]
    task: Option<String>,
    /// The make; without it, the prices of the whole market are returned.
    #[param(required = false, nullable = false, max_length = 200)]
    brand: Option<String>,
    /// The model; requires the make.
    #[param(required = false, nullable = false, max_length = 200)]
    model: Option<String>,
    /// The page of the listings, of 20 each.
    #[param(required = false, nullable = false, minimum = 1, maximum = 50, example = 1)]
    page: u32,
}

/// What the listings say about the prices of a market, of a make or of a model. Prices are what the task predicts, in its unit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MarketPrices {
    /// The task.
    #[schema(example = "price")]
    task: String,
    /// The unit of the prices: a currency (ISO 4217) or `days`.
    #[schema(example = "RUB")]
    unit: String,
    /// The make in canonical form; null for the whole market.
    #[schema(example = "kia")]
    brand: Option<String>,
    /// The model in canonical form; null for all of them.
    #[schema(example = "rio")]
    model: Option<String>,
    /// The number of listings.
    #[schema(example = 1412)]
    listings: u64,
    /// The median of their prices.
    #[schema(example = 1_210_000.0)]
    median_price: f64,
    /// The date of the first listing; null if none has a date.
    first_day: Option<NaiveDate>,
    /// The date of the last listing.
    last_day: Option<NaiveDate>,
    /// The prices over time: by month, quarter or year, whichever has enough listings.
    periods: Vec<MarketPeriod>,
    /// The prices by age when listed, up to 30 years, of the two years up to the last listing.
    ages: Vec<MarketAge>,
    /// The makes of the market or the models of the make, at most 500, those with the most listings first.
    names: Vec<MarketName>,
    /// The newest listings of the make or model, 20 a page; none for the whole market.
    recent: Vec<MarketListing>,
    /// The page of these listings.
    #[schema(example = 1)]
    page: u32,
    /// The number of pages, at most 50.
    #[schema(example = 50)]
    pages: u32,
}

/// The prices in a period.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MarketPeriod {
    /// Its first day.
    period: NaiveDate,
    /// The number of listings.
    #[schema(example = 310)]
    listings: u64,
    /// Their median price, which also depends on which cars happened to be listed.
    #[schema(example = 1_310_000.0)]
    median_price: f64,
    /// The price level relative to the first period that has one: a time-product dummy index, which compares cars of the same make,
    /// model and age. Null if too few listings can be compared.
    #[schema(example = 1.34)]
    level: Option<f64>,
}

/// The prices of the cars of an age.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MarketAge {
    /// The age in years.
    #[schema(example = 5)]
    age: i32,
    /// The number of listings.
    #[schema(example = 120)]
    listings: u64,
    /// The lower quartile of the prices.
    #[schema(example = 1_050_000.0)]
    low: f64,
    /// The median.
    #[schema(example = 1_210_000.0)]
    median_price: f64,
    /// The upper quartile.
    #[schema(example = 1_390_000.0)]
    high: f64,
}

/// A make or model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct MarketName {
    /// Its name in canonical form.
    #[schema(example = "rio")]
    name: String,
    /// The number of listings.
    #[schema(example = 1412)]
    listings: u64,
    /// The median of their prices.
    #[schema(example = 1_210_000.0)]
    median_price: f64,
}

/// A listing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "price": 1_250_000.0, "listing": { "brand": "kia", "model": "rio", "year": 2018, "mileage": 83000 } }))]
pub(crate) struct MarketListing {
    /// What is asked for the car, or what else the task predicts.
    price: f64,
    /// The car, with the fields that it states, in the units of the market.
    #[schema(value_type = Object)]
    listing: serde_json::Value,
}

/// Prices of a market
///
/// What the listings say about a whole market, a make or a model: the price level over time, prices by age, the number of listings,
/// and the newest of them. The figures are computed once for as long as no listings are added.
#[utoipa::path(
    get, path = "/v1/market", operation_id = "get_market", tag = "market", params(MarketQuery),
    responses((status = 200, description = "The prices", body = MarketPrices), MarketProblems)
)]
pub(crate) async fn get_market(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<MarketPrices>, Problem> {
    let query = MarketQuery::read(&pairs).map_err(Problem::Invalid)?;
    let task = state.engine().models.slot(query.task.as_deref())?.task.clone();
    let canonical = |column, name: &Option<String>| name.as_ref().map(|name| task.market.canonical(column, name));
    let scope = Scope { brand: canonical(Column::Brand, &query.brand), model: canonical(Column::Model, &query.model) };
    let database = in_time(state.database_of(&task.market)).await?;
    let Some(prices) = state.prices().of(&database, &task, &scope).await? else {
        return Err(Problem::NotFound { detail: nothing_listed(&scope) });
    };
    let recent = if scope.brand.is_some() {
        let offset = i64::from((query.page - 1) * PAGE_ROWS);
        let read =
            async { snapshot(&database, &task).await?.recent_listings(&scope, offset, i64::from(PAGE_ROWS)).await };
        in_time(read).await?
    } else {
        Vec::new()
    };
    Ok(Json(MarketPrices::new(&task, scope, &prices, recent, query.page)))
}

fn nothing_listed(scope: &Scope) -> String {
    match (&scope.brand, &scope.model) {
        (Some(brand), Some(model)) => {
            format!(
                "there are no listings of {} {}; see /v1/market?brand={}",
                shorten(brand),
                shorten(model),
                shorten(brand)
            )
        }
        (Some(brand), None) => format!("there are no listings of {}; see /v1/market", shorten(brand)),
        _ => "there are no listings yet: import some with `probeg import FILE`".to_owned(),
    }
}

impl MarketQuery {
    fn read(pairs: &[(String, String)]) -> Result<Self, FieldErrors> {
        const MAX_LETTERS: usize = 200;
        let mut query = Self { page: 1, ..Self::default() };
        read_pairs(pairs, |name, value| {
            let text = || {
                if value.trim().is_empty() {
                    return Err(FieldError::in_query(name, format!("{name} is empty"), "missing"));
                }
                if value.chars().count() > MAX_LETTERS {
                    let msg = format!("{name} must have at most {MAX_LETTERS} characters");
                    return Err(FieldError::in_query(name, msg, "too_long"));
                }
                Ok(Some(value.to_owned()))
            };
            match name {
                TASK => query.task = Some(value.to_owned()),
                "brand" => query.brand = text()?,
                "model" => query.model = text()?,
                "page" => query.page = read_page(value)?,
                _ => return Err(FieldError::unknown_parameter(name)),
            }
            Ok(())
        })?;
        if query.model.is_some() && query.brand.is_none() {
            return Err(FieldError::in_query("brand", "a model requires its brand".to_owned(), "missing").into());
        }
        Ok(query)
    }
}

fn read_page(value: &str) -> Result<u32, FieldError> {
    let page = value.parse::<u32>().ok().filter(|page| (1..=MAX_PAGES).contains(page));
    page.ok_or_else(|| {
        let msg = format!("page must be a whole number from 1 to {MAX_PAGES} (got {:?})", shorten(value));
        FieldError::in_query("page", msg, "out_of_range").within(1.0, f64::from(MAX_PAGES))
    })
}

impl MarketPrices {
    fn new(task: &Task, scope: Scope, prices: &ScopePrices, recent: Vec<RecentListing>, page: u32) -> Self {
        let ScopePrices { overview, periods, ages, names } = prices;
        let listings = overview.rows.unsigned_abs();
        let full = listings.div_ceil(u64::from(PAGE_ROWS)).min(u64::from(MAX_PAGES));
        let pages = if scope.brand.is_some() { full } else { 0 };
        let recent = recent.into_iter().map(|RecentListing { listing, price }| MarketListing {
            price,
            listing: to_json(&listing.in_units_of(&task.market)),
        });
        let period = |(prices, level): &(storage::profile::PeriodPrices, Option<f64>)| MarketPeriod {
            period: prices.period,
            listings: prices.rows.unsigned_abs(),
            median_price: prices.median_price,
            level: level.map(|level| (level * 10_000.0).round() / 10_000.0),
        };
        Self {
            task: task.name.clone(),
            unit: task.unit().to_owned(),
            brand: scope.brand,
            model: scope.model,
            listings,
            median_price: overview.median_price.unwrap_or_default(),
            first_day: overview.first_day,
            last_day: overview.last_day,
            periods: periods.iter().map(period).collect(),
            ages: ages
                .iter()
                .map(|age| MarketAge {
                    age: age.age,
                    listings: age.rows.unsigned_abs(),
                    low: age.low,
                    median_price: age.median_price,
                    high: age.high,
                })
                .collect(),
            names: names
                .iter()
                .map(|named| MarketName {
                    name: named.name.clone(),
                    listings: named.rows.unsigned_abs(),
                    median_price: named.median_price,
                })
                .collect(),
            recent: recent.collect(),
            page,
            pages: u32::try_from(pages).unwrap_or(MAX_PAGES),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn queries_are_checked() {
        let query = MarketQuery::read(&pairs(&[("brand", "Kia"), ("model", "Rio"), ("page", "2")])).unwrap();
        assert_eq!((query.brand.as_deref(), query.model.as_deref(), query.page), (Some("Kia"), Some("Rio"), 2));
        let long = "a".repeat(201);
        for wrong in
            [("model", "rio"), ("brand", " "), ("brand", long.as_str()), ("page", "0"), ("page", "51"), ("make", "kia")]
        {
            assert!(MarketQuery::read(&pairs(&[wrong])).is_err(), "{wrong:?}");
        }
    }
}

//! Listings of similar cars.

use chrono::NaiveDate;
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

use crate::error::Result;
use crate::listings::Listings;

/// The car to compare listings with, in canonical form.
#[derive(Clone, Debug)]
pub struct Car {
    /// The make.
    pub brand: String,
    /// The model; if missing, listings of all models of the make are compared.
    pub model: Option<String>,
    /// The year of manufacture.
    pub year: i32,
    /// The mileage in kilometers.
    pub mileage: i32,
}

/// A listing of a similar car. Texts are in lower case, as stored.
#[derive(Clone, Debug, PartialEq, FromRow, Serialize, ToSchema)]
pub struct Comparable {
    /// Make.
    #[schema(example = "kia")]
    pub brand: String,
    /// Model.
    #[schema(example = "rio")]
    pub model: Option<String>,
    /// Generation.
    #[schema(example = "iv")]
    pub vehicle_generation: Option<String>,
    /// The year of manufacture.
    #[schema(example = 2018)]
    pub year: i16,
    /// The mileage in kilometers.
    #[schema(example = 79_500)]
    pub mileage: i32,
    /// Engine volume in liters.
    #[schema(example = 1.6)]
    pub engine_volume: Option<f32>,
    /// Engine power in horsepower.
    #[schema(example = 123)]
    pub engine_power: Option<f32>,
    /// Gearbox.
    #[schema(example = "автоматическая")]
    pub transmission: Option<String>,
    /// Region or city of the sale.
    #[schema(example = "москва")]
    pub region: Option<String>,
    /// Day of the listing.
    #[schema(example = "2026-03-17")]
    pub listing_date: Option<NaiveDate>,
    /// The asking price in RUB.
    #[schema(example = 1_290_000.0)]
    pub price: f64,
}

impl Listings {
    /// At most `count` listings of the same make and model, the most similar first. A difference of one year, in age or time
    /// since the listing, counts as much as 15,000 km, about the annual mileage. Only the latest listing of a car is returned.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn comparables(&self, car: &Car, count: u32) -> Result<Vec<Comparable>> {
        let query = sqlx::query_as(
            "SELECT * FROM (
                 SELECT DISTINCT ON (listing_group)
                        brand, model, vehicle_generation, year, mileage, engine_volume, engine_power, transmission,
                        region, listing_date, price
                 FROM listings
                 WHERE brand = $1 AND ($2::text IS NULL OR model = $2) AND year BETWEEN $3 - 3 AND $3 + 3
                 ORDER BY listing_group, listing_date DESC NULLS LAST
             ) AS latest
             ORDER BY abs(year - $3) * 15000.0 + abs(mileage - $4)
                      + coalesce(current_date - listing_date, 3650) / 365.0 * 15000.0, price, mileage
             LIMIT $5",
        );
        let query = query.bind(&car.brand).bind(&car.model).bind(car.year).bind(car.mileage).bind(i64::from(count));
        Ok(query.fetch_all(self.pool()).await?)
    }
}

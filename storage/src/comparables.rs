//! Listings of cars like a given one.

use chrono::NaiveDate;
use sqlx::FromRow;

use crate::error::Result;
use crate::listings::Listings;

/// The car that listings are compared with, in canonical form.
#[derive(Clone, Debug)]
pub struct Car {
    /// The make.
    pub brand: String,
    /// The model; without one, cars of any model of the make are compared.
    pub model: Option<String>,
    /// Year of manufacture.
    pub year: i32,
    /// Mileage in kilometres.
    pub mileage: i32,
}

/// A listing of a car like the one that was asked for, in canonical form.
#[derive(Clone, Debug, PartialEq, FromRow)]
#[expect(missing_docs, reason = "the fields are the columns of a listing")]
pub struct Comparable {
    pub brand: String,
    pub model: Option<String>,
    pub vehicle_generation: Option<String>,
    pub year: i16,
    pub mileage: i32,
    pub engine_volume: Option<f32>,
    pub engine_power: Option<f32>,
    pub transmission: Option<String>,
    pub region: Option<String>,
    pub listing_date: Option<NaiveDate>,
    pub price: f64,
}

impl Listings {
    /// At most `count` listings of the same make and model, the most alike first: a year counts as
    /// much as 15,000 km, which is what a car is driven in one, and so does a year since the
    /// listing. Of a car that was listed more than once, only its latest listing.
    ///
    /// # Errors
    /// The database does not answer.
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

//! Listings of cars similar to the one that is valued.

use std::time::Duration;

use chrono::NaiveDate;
use domain::synonyms::canonical;
use domain::{Column, Listing};
use serde::Serialize;
use storage::Car;
use utoipa::ToSchema;

use crate::state::State;

/// A listing of a similar car. Texts are in lower case, as they are stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Comparable {
    /// Make.
    #[schema(example = "kia")]
    brand: String,
    /// Model.
    #[schema(example = "rio")]
    model: Option<String>,
    /// Generation.
    #[schema(example = "iv")]
    vehicle_generation: Option<String>,
    /// Year of manufacture.
    #[schema(example = 2018)]
    year: i16,
    /// Mileage in kilometres.
    #[schema(example = 79_500)]
    mileage: i32,
    /// Engine volume in litres.
    #[schema(example = 1.6)]
    engine_volume: Option<f32>,
    /// Engine power in horsepower.
    #[schema(example = 123)]
    engine_power: Option<f32>,
    /// Gearbox.
    #[schema(example = "автоматическая")]
    transmission: Option<String>,
    /// Region or city of the sale.
    #[schema(example = "москва")]
    region: Option<String>,
    /// Day of the listing.
    #[schema(example = "2026-03-17")]
    listing_date: Option<NaiveDate>,
    /// The asking price in RUB.
    #[schema(example = 1_290_000.0)]
    price: f64,
}

/// After this time the valuation is returned without comparables.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Finds the listings most similar to a car, the most similar first; `None` if the database is unavailable or slow.
pub(crate) async fn find(state: &State, listing: &Listing, count: u32) -> Option<Vec<Comparable>> {
    let car = canonical_car(listing);
    let listings = state.database().listings();
    let reason = match tokio::time::timeout(TIMEOUT, listings.comparables(&car, count)).await {
        Ok(Ok(found)) => return Some(found.into_iter().map(Comparable::from).collect()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the database did not respond in time".to_owned(),
    };
    tracing::warn!(reason, "Comparable listings could not be looked up.");
    None
}

/// The car with its texts in the form in which listings are stored.
fn canonical_car(listing: &Listing) -> Car {
    let text = |column| listing.text(column).map(|text| canonical(column, text));
    #[expect(clippy::cast_possible_truncation, reason = "checked against the bounds of their columns")]
    let number = |column| listing.number(column).unwrap_or_default() as i32;
    Car {
        brand: text(Column::Brand).unwrap_or_default(),
        model: text(Column::Model),
        year: number(Column::Year),
        mileage: number(Column::Mileage),
    }
}

impl From<storage::Comparable> for Comparable {
    fn from(found: storage::Comparable) -> Self {
        Self {
            brand: found.brand,
            model: found.model,
            vehicle_generation: found.vehicle_generation,
            year: found.year,
            mileage: found.mileage,
            engine_volume: found.engine_volume,
            engine_power: found.engine_power,
            transmission: found.transmission,
            region: found.region,
            listing_date: found.listing_date,
            price: found.price,
        }
    }
}

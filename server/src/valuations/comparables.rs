//! Listings of cars similar to the one that is valued.

use std::time::Duration;

use domain::{Column, Listing, Market};
use storage::{Car, Comparable};

use crate::state::State;

/// The time limit, after which the valuation is returned without comparables.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Finds the listings most similar to a car, the most similar first; `None` if the database is unavailable or slow.
pub(crate) async fn find(state: &State, market: &Market, listing: &Listing, count: u32) -> Option<Vec<Comparable>> {
    let car = canonical_car(listing, market);
    let found = async { state.database_of(market).await?.listings().comparables(&car, count).await };
    let reason = match tokio::time::timeout(TIMEOUT, found).await {
        Ok(Ok(mut found)) => {
            found.iter_mut().for_each(|comparable| comparable.mileage = shown(market, comparable.mileage));
            return Some(found);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the database did not respond in time".to_owned(),
    };
    tracing::warn!(reason, "Comparable listings could not be looked up.");
    None
}

/// A mileage in the unit of the market.
fn shown(market: &Market, mileage: i32) -> i32 {
    #[expect(clippy::cast_possible_truncation, reason = "smaller than what is stored")]
    let shown = market.to_shown(Column::Mileage, f64::from(mileage)) as i32;
    shown
}

/// The car with its texts in the form in which listings are stored.
fn canonical_car(listing: &Listing, market: &Market) -> Car {
    let text = |column| listing.text(column).map(|text| market.canonical(column, text));
    #[expect(clippy::cast_possible_truncation, reason = "checked against the bounds of their columns")]
    let number = |column| listing.number(column).unwrap_or_default() as i32;
    Car {
        brand: text(Column::Brand).unwrap_or_default(),
        model: text(Column::Model),
        year: number(Column::Year),
        mileage: number(Column::Mileage),
    }
}

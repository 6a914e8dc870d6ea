//! What the listings know about cars like the one that is valued.

use std::time::Duration;

use chrono::NaiveDate;
use domain::identity::canonical_listing;
use domain::{Listing, Task};
use storage::SimilarListings;

use crate::state::State;

/// The time limit of a statement in the database.
const STATEMENT_TIMEOUT_MS: u32 = 300;
/// The time limit of the search, with the time until a connection is available. Without its result, the car is still valued.
const TIMEOUT: Duration = Duration::from_millis(500);

/// Finds listings of similar cars, with at most `comparables` of the most similar ones as of a day; `None` if the database is
/// unavailable or slow.
pub(crate) async fn find(
    state: &State,
    task: &Task,
    car: &Listing,
    day: NaiveDate,
    comparables: u32,
) -> Option<SimilarListings> {
    let car = canonical_listing(car, &task.market);
    let search = async {
        let listings = state.database_of(&task.market).await?.listings();
        listings.similar(&car, day, task.target, comparables, STATEMENT_TIMEOUT_MS).await
    };
    let reason = match tokio::time::timeout(TIMEOUT, search).await {
        Ok(Ok(found)) => return Some(found),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the database did not respond in time".to_owned(),
    };
    tracing::warn!(reason, "Similar listings could not be looked up.");
    None
}

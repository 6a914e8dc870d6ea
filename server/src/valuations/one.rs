//! One car.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State as Extracted};
use chrono::Datelike;
use domain::{Listing, Market, Reading};

use super::capacity::Capacity;
use super::listing::{self, ListingRequest};
use super::make::check_known;
use super::query::{OneQuery, check_level};
use super::valuation::Valuation;
use super::{comparables, factors};
use crate::http::body::JsonBody;
use crate::http::problem::openapi::ListingProblems;
use crate::http::problem::{FieldErrors, Problem, both};
use crate::serving::inference::ValuationRequest;
use crate::serving::models::Served;
use crate::state::State;

/// Values one car
///
/// Returns the asking price to expect in listings, not a sale price, and the interval in which most such cars are offered; or what
/// another task predicts.
/// Only `brand`, `year` and `mileage` are required; more fields usually narrow the interval. Texts are matched regardless of
/// case and spacing, and common synonyms are recognized. A make that the model does not know is refused with the error
/// `unknown_brand`, which names the nearest known one; other unknown texts cause a warning.
#[utoipa::path(
    post, path = "/v1/valuations", operation_id = "value_one", tag = "valuations", params(OneQuery),
    request_body(content = ListingRequest, description = "The car", example = json!(listing::example())),
    responses((status = 200, description = "What the car is worth", body = Valuation), ListingProblems)
)]
pub(crate) async fn value_one(
    _: Capacity,
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
    JsonBody(body): JsonBody,
) -> Result<Json<Valuation>, Problem> {
    let today = state.today();
    let item = listing::parse(&body, state.config().max_json_depth)?;
    let query = OneQuery::read(&pairs);
    let served = match &query {
        Ok(query) => Some(state.served(query.task.as_deref()).await?),
        Err(_) => None,
    };
    let market = served.as_ref().map_or(Market::russia(), |served| served.market());
    let listing = listing::read(&item, Reading { market, year: today.year() });
    let (query, listing) = both(query, listing).map_err(Problem::Invalid)?;
    let served = served.ok_or(Problem::NoModel)?;
    check_model(&state, &served, &query, &listing)?;
    let comparisons = if query.explain { factors::comparisons(&listing, today) } else { Vec::new() };
    let mut listings = vec![listing.clone()];
    listings.extend(comparisons.iter().map(|comparison| comparison.listing.clone()));
    let request = ValuationRequest { served: Arc::clone(&served), listings, level: query.level, today };
    let valuations = state.engine().inference.value(request).await?;
    let mut valuations = valuations.into_iter();
    let valued = valuations.next().ok_or_else(|| Problem::internal(&"the model returned no valuation"))?;
    let prices = valuations.map(|other| other.price);
    let factors = query.explain.then(|| factors::factors(valued.price, comparisons, prices));
    let valuation = Valuation::new(&served, valued, factors);
    if query.comparables == 0 {
        return Ok(Json(valuation));
    }
    Ok(Json(valuation.with_comparables(comparables::find(&state, served.market(), &listing, query.comparables).await)))
}

/// Refuses a level or a make that the model does not have.
fn check_model(state: &State, served: &Served, query: &OneQuery, listing: &Listing) -> Result<(), Problem> {
    let level = check_level(&served.model, query.level);
    let make = if query.allow_unknown { Ok(()) } else { check_known(state.metrics(), served, listing, &[]) };
    both(level.map_err(FieldErrors::from), make.map_err(FieldErrors::from)).map_err(Problem::Invalid)?;
    Ok(())
}

//! One car.

use std::sync::Arc;

use axum::extract::{Query, State as Extracted};
use axum::{Extension, Json};
use domain::Listing;
use onnx_model::model::MAX_QUICK_ROWS;

use super::capacity::Capacity;
use super::extras::{self, Plan};
use super::listing::{self, ListingRequest};
use super::make::check_known;
use super::query::{OneQuery, check_level};
use super::similar;
use super::valuation::{self, Valuation};
use crate::http::body::{Admitted, JsonBody};
use crate::http::problem::openapi::ListingProblems;
use crate::http::problem::{FieldErrors, Problem, both};
use crate::serving::inference::{ValuationRequest, ValuationResponse};
use crate::serving::models::Served;
use crate::state::State;

/// Values one car
///
/// Returns the asking price to expect in listings, not a sale price, and the interval in which most such cars are offered.
/// Only `brand`, `year` and `mileage` are required; more fields usually narrow the interval. Texts are matched regardless of
/// case and spacing, and common synonyms are recognized. A make that the model does not know is refused with the error
/// `unknown_brand`, which names the nearest known one; other unknown texts cause a warning.
///
/// The query parameters add what the price depends on. All of it together takes at most 320 rows of the model; every 24 count as a
/// car for the rate limit of a key.
#[utoipa::path(
    post, path = "/v1/valuations", operation_id = "value_one", tag = "valuations", params(OneQuery),
    request_body(content = ListingRequest, description = "The car", example = json!(listing::example())),
    responses(
        (
            status = 200, description = "What the car is worth", body = Valuation,
            examples(
                ("price" = (summary = "The price", value = json!(valuation::example()))),
                ("everything" = (
                    summary = "With explain, comparables, narrow, curves and asking_price",
                    value = json!(valuation::complete_example())
                )),
            )
        ),
        ListingProblems,
    )
)]
pub(crate) async fn value_one(
    _: Capacity,
    Extracted(state): Extracted<State>,
    Extension(Admitted { caller, .. }): Extension<Admitted>,
    Query(pairs): Query<Vec<(String, String)>>,
    JsonBody(body): JsonBody,
) -> Result<Json<Valuation>, Problem> {
    let today = state.today();
    let item = listing::parse(&body, state.config().max_json_depth)?;
    let parts = both(OneQuery::read(&pairs), listing::read(&item, today));
    let (query, listing) = parts.map_err(Problem::Invalid)?;
    let served = check_model(&state, query, &listing)?;
    let similar = if extras::need_similar_listings(query) {
        similar::find(&state, &listing, listing.date().unwrap_or(today), query.comparables).await
    } else {
        None
    };
    let (plan, listings) = Plan::new(&served.model, listing, query, today, similar);
    state.keys().charge(caller, extra_cars(listings.len()));
    let request = ValuationRequest { listings, level: query.level, today };
    let ValuationResponse { served, valuations } = state.engine().inference.value(request).await?;
    let mut valuations = valuations.into_iter();
    let valued = valuations.next().ok_or_else(|| Problem::internal(&"the model returned no valuation"))?;
    let extras = plan.extras(served.model.signature(), &valued, &mut valuations);
    Ok(Json(Valuation::new(&served, valued).with_extras(extras)))
}

/// The cars that a request counts as for the rate limit, besides the one that was charged on admission: one for each further
/// small batch of rows.
fn extra_cars(rows: usize) -> u64 {
    rows.div_ceil(MAX_QUICK_ROWS).saturating_sub(1) as u64
}

/// Returns the model in service, unless it does not have the level or the make.
fn check_model(state: &State, query: OneQuery, listing: &Listing) -> Result<Arc<Served>, Problem> {
    let served = state.engine().served()?;
    let level = check_level(&served.model, query.level);
    let make = if query.allow_unknown { Ok(()) } else { check_known(state.metrics(), &served, listing, &[]) };
    both(level.map_err(FieldErrors::from), make.map_err(FieldErrors::from)).map_err(Problem::Invalid)?;
    Ok(served)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_small_batch_counts_as_a_car() {
        assert_eq!([1, 24, 25, 314].map(extra_cars), [0, 0, 1, 13]);
    }
}

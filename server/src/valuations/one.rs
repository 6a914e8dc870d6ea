//! One car.

use axum::Json;
use axum::extract::{Query, State as Extracted};

use super::query::{OneQuery, check_level};
use super::{Valuation, comparables, factors};
use crate::body::JsonBody;
use crate::inference::{Answer, Question};
use crate::listing_request::{self, ListingRequest};
use crate::problem::Problem;
use crate::problem::document::OfListing;
use crate::state::State;

/// Values one car
///
/// The asking price to expect in listings, not a sale price, and the range in which most such cars are offered. Only
/// `brand`, `year` and `mileage` are required; the more is told, the narrower the range. Texts are matched without
/// regard to case and spacing, and common synonyms are known.
#[utoipa::path(
    post, path = "/v1/valuations", operation_id = "value_one", tag = "valuations", params(OneQuery),
    request_body(content = ListingRequest, description = "The car", example = json!(listing_request::example())),
    responses((status = 200, description = "What the car is worth", body = Valuation), OfListing)
)]
pub(crate) async fn value_one(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
    JsonBody(body): JsonBody,
) -> Result<Json<Valuation>, Problem> {
    let today = state.today();
    let item = listing_request::parse(&body, state.config().max_json_depth)?;
    let (query, listing) = match (OneQuery::read(&pairs), listing_request::read(&item, today)) {
        (Ok(query), Ok(listing)) => (query, listing),
        (query, listing) => {
            let mut errors = query.err().unwrap_or_default();
            errors.append(listing.err().unwrap_or_default());
            return Err(Problem::Invalid(errors));
        }
    };
    check_level(&state.engine().served()?.model, query.level).map_err(Problem::invalid)?;
    let comparisons = if query.explain { factors::comparisons(&listing, today) } else { Vec::new() };
    let mut listings = vec![listing.clone()];
    listings.extend(comparisons.iter().map(|comparison| comparison.listing.clone()));
    let question = Question { listings, level: query.level, today };
    let Answer { served, valuations } = state.engine().inference.ask(question).await?;
    let mut valuations = valuations.into_iter();
    let valued = valuations.next().ok_or_else(|| Problem::internal(&"the model gave no valuation"))?;
    let prices = valuations.map(|other| other.price);
    let factors = query.explain.then(|| factors::factors(valued.price, comparisons, prices));
    let valuation = Valuation::new(&served, valued, factors);
    if query.comparables == 0 {
        return Ok(Json(valuation));
    }
    Ok(Json(valuation.with_comparables(comparables::find(&state, &listing, query.comparables).await)))
}

//! One car.

use std::sync::Arc;

use axum::extract::{Query, State as Extracted};
use axum::{Extension, Json};
use chrono::Datelike;
use domain::identity::canonical_listing;
use domain::{Column, Listing, Market, Reading};
use onnx_model::model::MAX_QUICK_ROWS;

use super::capacity::Capacity;
use super::extras::{self, Plan};
use super::listing::{self, LenientListing, ListingRequest, OtherFields};
use super::make::check_known;
use super::query::{
    ASKING_PRICE, AskingPriceQuery, LenientAskingPriceQuery, OneQuery, check_level, read_asking_price,
    take_asking_price,
};
use super::similar;
use super::valuation::{self, Valuation};
use crate::http::body::{Admitted, JsonBody};
use crate::http::budget::Caller;
use crate::http::language::PreferredLanguage;
use crate::http::problem::openapi::ListingProblems;
use crate::http::problem::{FieldError, FieldErrors, Problem, both};
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
///
/// The query parameters add what the price depends on. All of it together takes at most 320 rows of the model; every 24 count as a
/// car for the rate limit of a key.
#[utoipa::path(
    post, path = "/v1/valuations", operation_id = "value_one", tag = "valuations", params(OneQuery, AskingPriceQuery),
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
    PreferredLanguage(language): PreferredLanguage,
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
    let valuation = value_listing(&state, caller, &served, &query, listing).await?;
    Ok(Json(valuation.in_language(language)))
}

/// Values one car as people describe it
///
/// Like `/v1/valuations`, but the values are read like the cells of a table of the market: "83 тыс. км", "1600 см³",
/// "2018 г.", "1.6 (106 л.с.)". A number with two meanings, such as "150.000" in Russia, is refused with the error
/// `ambiguous_number`, which has both as `choices`. The response has the car as it was understood as `listing`. A model in another
/// alphabet or misspelt by ear, such as "Камри", is recognized if it can be no other. This is what forms should call.
#[utoipa::path(
    post, path = "/v1/valuations/lenient", operation_id = "value_one_leniently", tag = "valuations",
    params(OneQuery, LenientAskingPriceQuery),
    request_body(content = LenientListing, description = "The car", example = json!(listing::lenient_example())),
    responses((status = 200, description = "What the car is worth", body = Valuation), ListingProblems)
)]
pub(crate) async fn value_one_leniently(
    _: Capacity,
    Extracted(state): Extracted<State>,
    Extension(Admitted { caller, .. }): Extension<Admitted>,
    PreferredLanguage(language): PreferredLanguage,
    Query(mut pairs): Query<Vec<(String, String)>>,
    JsonBody(body): JsonBody,
) -> Result<Json<Valuation>, Problem> {
    let item = listing::parse(&body, state.config().max_json_depth)?;
    let asked = take_asking_price(&mut pairs);
    let query = OneQuery::read(&pairs).map_err(Problem::Invalid)?;
    let served = state.served(query.task.as_deref()).await?;
    let reading = Reading { market: served.market(), year: state.today().year() };
    let asked = asked.map_or(Ok(None), |text| read_asking_price(&text, reading)).map_err(FieldErrors::from);
    let listing = listing::read_leniently(&item, OtherFields::Refused, reading);
    let (mut listing, asking_price) = both(listing, asked).map_err(Problem::Invalid)?;
    served.names.resolve(&mut listing, served.market());
    let query = OneQuery { asking_price, ..query };
    let understood = listing::to_json(&canonical_listing(&listing, served.market()).in_units_of(served.market()));
    let valuation = value_listing(&state, caller, &served, &query, listing).await?;
    Ok(Json(valuation.in_language(language).with_listing(understood)))
}

/// Values a listing, with what the query adds.
async fn value_listing(
    state: &State,
    caller: Caller,
    served: &Arc<Served>,
    query: &OneQuery,
    listing: Listing,
) -> Result<Valuation, Problem> {
    let today = state.today();
    check_model(state, served, query, &listing)?;
    let similar = if extras::need_similar_listings(query) {
        similar::find(state, served.task(), &listing, listing.date().unwrap_or(today), query.comparables).await
    } else {
        None
    };
    let (plan, listings) = Plan::new(&served.model, listing, query, today, similar);
    state.keys().charge(caller, extra_cars(listings.len()));
    let request = ValuationRequest { served: Arc::clone(served), listings, level: query.level, today };
    let mut valuations = state.engine().inference.value(request).await?.into_iter();
    let valued = valuations.next().ok_or_else(|| Problem::internal(&"the model returned no valuation"))?;
    let extras = plan.extras(served.model.signature(), &valued, &mut valuations);
    Ok(Valuation::new(served, valued).with_extras(extras))
}

/// The cars that a request counts as for the rate limit, besides the one that was charged on admission: one for each further
/// small batch of rows.
fn extra_cars(rows: usize) -> u64 {
    rows.div_ceil(MAX_QUICK_ROWS).saturating_sub(1) as u64
}

/// Refuses a level or a make that the model does not have, and an asking price of a task that does not predict one.
fn check_model(state: &State, served: &Served, query: &OneQuery, listing: &Listing) -> Result<(), Problem> {
    if query.asking_price.is_some() && served.task().target != Column::Price {
        let msg = format!("the task {} does not predict asking prices", served.task().name);
        return Err(Problem::invalid(FieldError::in_query(ASKING_PRICE, msg, "not_an_asking_price")));
    }
    let level = check_level(&served.model, query.level);
    let make = if query.allow_unknown { Ok(()) } else { check_known(state.metrics(), served, listing, &[]) };
    both(level.map_err(FieldErrors::from), make.map_err(FieldErrors::from)).map_err(Problem::Invalid)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_small_batch_counts_as_a_car() {
        assert_eq!([1, 24, 25, 314].map(extra_cars), [0, 0, 1, 13]);
    }
}

//! Many cars in one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{FromRequest, Query, Request, State as Extracted};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::NaiveDate;
use domain::Listing;
use serde::Serialize;

use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ArrayItems, Object as SchemaObject, SchemaType};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::Valuation;
use super::query::{BatchQuery, check_level};
use crate::body::{Admitted, JsonBody};
use crate::engine::Served;
use crate::json::MOST_ITEMS;
use crate::lane::{Abandon, JSON_BYTE};
use crate::listing_request::{self, Item};
use crate::problem::document::OfListing;
use crate::problem::{FieldError, FieldErrors, Location, Problem, ProblemDetails};
use crate::state::State;

/// One car's part of the answer.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum BatchItem {
    /// The car's valuation.
    Valuation(Box<Valuation>),
    /// Why it was not valued.
    Error {
        /// The problem.
        error: ProblemDetails,
    },
}

/// The schema of the body.
pub(crate) struct ListingList;

impl ToSchema for ListingList {}

impl PartialSchema for ListingList {
    fn schema() -> RefOr<Schema> {
        // Another value does not make the list wrong, only its own place in the answer.
        let anything = SchemaObject::with_type(SchemaType::AnyValue);
        let items = AnyOfBuilder::new().item(Ref::from_schema_name("Listing")).item(anything);
        let items = ArrayItems::RefOrSchema(Box::new(RefOr::T(items.build().into())));
        ArrayBuilder::new().items(items).min_items(Some(1)).max_items(Some(MOST_ITEMS)).into()
    }
}

/// Values up to 10,000 cars
///
/// The answer is a list in the order of the request: for each car its valuation, or `error` with the problem that it
/// would have been refused with alone. Of many errors in one batch, each car is told at least the first, and how many
/// more there are.
#[utoipa::path(
    post, path = "/v1/valuations/batch", operation_id = "value_batch", tag = "valuations", params(BatchQuery),
    request_body(
        content = inline(ListingList), description = "The cars",
        example = json!([listing_request::example(), { "brand": "LADA (ВАЗ)", "year": 1995, "mileage": -5 }])
    ),
    responses((status = 200, description = "A valuation or an error a car, in order", body = Vec<BatchItem>), OfListing)
)]
pub(crate) async fn value_batch(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, Problem> {
    let query = BatchQuery::read(&pairs).map_err(Problem::Invalid)?;
    let caller = Admitted::of(&request)?.caller;
    state.engine().bulk.check_room(caller)?;
    let JsonBody(body) = JsonBody::from_request(request, &state).await?;
    let place = state.engine().bulk.enter(caller)?;
    let today = state.today();
    let abandoned = Abandon::default();
    let is_abandoned = Arc::clone(&abandoned.0);
    let answer = place.run(JSON_BYTE * body.len() as u64, move || {
        let items = read(&body, state.config().max_json_depth, today)?;
        drop(body);
        // The request itself counted as the first.
        state.keys().charge(caller, items.len() as u64 - 1);
        let served = state.engine().served()?;
        check_level(&served.model, query.level).map_err(Problem::invalid)?;
        let batch = Batch { state: &state, served: &served, level: query.level, today, is_abandoned: &is_abandoned };
        batch.answer(items)
    });
    Ok(([(CONTENT_TYPE, "application/json")], answer.await?).into_response())
}

type Reading = Result<Listing, FieldErrors>;

/// The most errors that are told of all cars together, but for the first of each, which is always told: the answer stays
/// about as large as one without errors.
const MAX_BATCH_ERRORS: usize = 1000;

fn read(body: &[u8], max_depth: usize, today: NaiveDate) -> Result<Vec<Reading>, Problem> {
    let refuse = |msg: String, code| Err(Problem::invalid(FieldError::in_body(&[], msg, code)));
    let mut room = MAX_BATCH_ERRORS;
    let read = |place, item: Item<'_>| {
        let read = listing_request::read_at(&item, &[Location::Place(place)], today, room.max(1));
        room = room.saturating_sub(read.as_ref().map_or_else(|errors| errors.told().len(), |_| 0));
        read
    };
    match listing_request::parse_list(body, max_depth, read)? {
        None => refuse("the body must be a list of listings".to_owned(), "not_a_list"),
        Some((_, 0)) => refuse("the list holds no listing".to_owned(), "too_short"),
        Some((_, count)) if count > MOST_ITEMS => {
            refuse(format!("the list holds {count} listings; at most {MOST_ITEMS} are accepted"), "too_long")
        }
        Some((items, _)) => Ok(items),
    }
}

/// Cars that are valued together before it is asked whether anybody still waits.
const CHUNK: usize = 512;

/// How the cars of a batch are valued.
struct Batch<'b> {
    state: &'b State,
    served: &'b Served,
    level: f64,
    today: NaiveDate,
    is_abandoned: &'b AtomicBool,
}

impl Batch<'_> {
    /// The answer, a chunk of cars at a time, so that nothing but the answer itself grows with them.
    fn answer(&self, items: Vec<Reading>) -> Result<Vec<u8>, Problem> {
        let mut answer = Vec::new();
        let mut items = items.into_iter();
        loop {
            let chunk: Vec<Reading> = items.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                answer.push(b']');
                return Ok(answer);
            }
            if self.is_abandoned.load(Ordering::Relaxed) {
                return Err(Problem::Internal);
            }
            for item in self.value(chunk)? {
                answer.push(if answer.is_empty() { b'[' } else { b',' });
                serde_json::to_writer(&mut answer, &item).map_err(|error| Problem::internal(&error))?;
            }
        }
    }

    fn value(&self, chunk: Vec<Reading>) -> Result<Vec<BatchItem>, Problem> {
        let good: Vec<Listing> = chunk.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
        let valuations = self.served.model.value(&good, self.today, self.level);
        let valuations = valuations.map_err(|error| Problem::internal(&error))?;
        self.state.metrics().valued(self.served.version, &valuations);
        let mut valuations = valuations.into_iter();
        let answers = chunk.into_iter().map(|item| match item {
            Err(errors) => Ok(BatchItem::Error { error: Problem::Invalid(errors).details() }),
            Ok(_) => match valuations.next() {
                Some(valuation) => Ok(BatchItem::Valuation(Box::new(Valuation::new(self.served, valuation, None)))),
                None => Err(Problem::internal(&"the model gave too few valuations")),
            },
        });
        answers.collect()
    }
}

#[cfg(test)]
mod tests {
    use onnx_model::model::DEFAULT_LEVEL;

    use super::*;
    use crate::config::Config;
    use crate::tests::fixture::{self, today};

    #[tokio::test]
    async fn a_batch_whose_caller_is_gone_is_not_valued() {
        let state = fixture::state(Config::default());
        let served = state.engine().served().unwrap();
        let answer = |is_abandoned: bool| {
            let is_abandoned = &AtomicBool::new(is_abandoned);
            let batch = Batch { state: &state, served: &served, level: DEFAULT_LEVEL, today: today(), is_abandoned };
            batch.answer(vec![Ok(Listing::default()); CHUNK + 1])
        };
        assert_eq!(answer(true), Err(Problem::Internal));
        assert!(served.model.drift().is_empty(), "no car was valued");
        assert_eq!(serde_json::from_slice::<Vec<serde_json::Value>>(&answer(false).unwrap()).unwrap().len(), CHUNK + 1);
        assert!(!served.model.drift().is_empty(), "cars were valued");
    }
}

//! Many cars in one request.

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
use crate::json::{self, List, MOST_ITEMS};
use crate::lane::JSON_BYTE;
use crate::listing_request;
use crate::problem::document::OfListing;
use crate::problem::{FieldError, Location, Problem, ProblemDetails};
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
/// would have been refused with alone.
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
    let answer = place.run(JSON_BYTE * body.len() as u64, move || {
        let items = read(&body, state.config().max_json_depth, today)?;
        // The request itself counted as the first.
        state.keys().charge(caller, items.len() as u64 - 1);
        let served = state.engine().served()?;
        check_level(&served.model, query.level).map_err(|error| Problem::Invalid(vec![error]))?;
        let answers = value(&state, &served, items, query.level, today)?;
        serde_json::to_vec(&answers).map_err(|error| Problem::internal(&error))
    });
    Ok(([(CONTENT_TYPE, "application/json")], answer.await?).into_response())
}

type Reading = Result<Listing, Vec<FieldError>>;

fn read(body: &[u8], max_depth: usize, today: NaiveDate) -> Result<Vec<Reading>, Problem> {
    let refuse = |msg: String, code| Err(Problem::Invalid(vec![FieldError::in_body(&[], msg, code)]));
    match json::parse(body, max_depth)? {
        List::Other => refuse("the body must be a list of listings".to_owned(), "not_a_list"),
        List::Items(_, 0) => refuse("the list holds no listing".to_owned(), "too_short"),
        List::Items(_, count) if count > MOST_ITEMS => {
            refuse(format!("the list holds {count} listings; at most {MOST_ITEMS} are accepted"), "too_long")
        }
        List::Items(items, _) => {
            let read = |(place, item)| listing_request::read(item, &[Location::Place(place)], today);
            Ok(items.iter().enumerate().map(read).collect())
        }
    }
}

fn value(
    state: &State,
    served: &Served,
    items: Vec<Reading>,
    level: f64,
    today: NaiveDate,
) -> Result<Vec<BatchItem>, Problem> {
    let good: Vec<Listing> = items.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
    let valuations = served.model.value(&good, today, level).map_err(|error| Problem::internal(&error))?;
    state.metrics().valued(served.version, &valuations);
    let mut valuations = valuations.into_iter();
    let answers = items.into_iter().map(|item| match item {
        Err(errors) => Ok(BatchItem::Error { error: Problem::Invalid(errors).details() }),
        Ok(_) => match valuations.next() {
            Some(valuation) => Ok(BatchItem::Valuation(Box::new(Valuation::new(served, valuation, None)))),
            None => Err(Problem::internal(&"the model gave too few valuations")),
        },
    });
    answers.collect()
}

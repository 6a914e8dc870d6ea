//! Many cars in one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::{FromRequest, Query, Request, State as Extracted};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::{Datelike, NaiveDate};
use domain::{Language, Listing, Reading};
use serde::Serialize;
use utoipa::openapi::schema::{AnyOfBuilder, ArrayBuilder, ArrayItems, Object as SchemaObject, SchemaType};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::listing::{self, Item};
use super::make::check_known;
use super::query::{BatchQuery, check_level};
use super::valuation::Valuation;
use crate::http::body::{Admitted, JsonBody};
use crate::http::json::MAX_ITEMS;
use crate::http::language::PreferredLanguage;
use crate::http::problem::openapi::ListingProblems;
use crate::http::problem::{FieldError, FieldErrors, Location, Problem, ProblemDetails};
use crate::serving::bulk::{BYTES_PER_JSON_BYTE, CancelOnDrop};
use crate::serving::models::Served;
use crate::state::State;

/// The result for one car.
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

/// The schema of the request body.
pub(crate) struct ListingList;

impl ToSchema for ListingList {}

impl PartialSchema for ListingList {
    fn schema() -> RefOr<Schema> {
        // An item of another type is an error for that item only.
        let anything = SchemaObject::with_type(SchemaType::AnyValue);
        let items = AnyOfBuilder::new().item(Ref::from_schema_name("Listing")).item(anything);
        let items = ArrayItems::RefOrSchema(Box::new(RefOr::T(items.build().into())));
        ArrayBuilder::new().items(items).min_items(Some(1)).max_items(Some(MAX_ITEMS)).into()
    }
}

/// Values up to 10,000 cars
///
/// Returns a list in the order of the request: a valuation per car, or `error` with the problem that the car would have
/// had on its own. In a batch with many errors, each car lists at least the first one and the number of others.
#[utoipa::path(
    post, path = "/v1/valuations/batch", operation_id = "value_batch", tag = "valuations", params(BatchQuery),
    request_body(
        content = inline(ListingList), description = "The cars",
        example = json!([listing::example(), { "brand": "LADA (ВАЗ)", "year": 1995, "mileage": -5 }])
    ),
    responses((status = 200, description = "A valuation or an error per car, in order", body = Vec<BatchItem>), ListingProblems)
)]
pub(crate) async fn value_batch(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, Problem> {
    let query = BatchQuery::read(&pairs).map_err(Problem::Invalid)?;
    let served = state.served(query.task.as_deref()).await?;
    let caller = Admitted::of(&request)?.caller;
    let PreferredLanguage(language) = PreferredLanguage::of(request.headers());
    state.engine().bulk.check_capacity(caller)?;
    let JsonBody(body) = JsonBody::from_request(request, &state).await?;
    let slot = state.engine().bulk.enter(caller)?;
    let today = state.today();
    let on_drop = CancelOnDrop::default();
    let cancelled = Arc::clone(&on_drop.0);
    let items = slot.run(BYTES_PER_JSON_BYTE * body.len() as u64, move || {
        let items =
            read_items(&body, state.config().max_json_depth, Reading { market: served.market(), year: today.year() })?;
        drop(body);
        // The first car was charged on admission.
        state.keys().charge(caller, items.len() as u64 - 1);
        check_level(&served.model, query.level).map_err(Problem::invalid)?;
        let batch = Batch { state: &state, served: &served, query, today, language, cancelled: &cancelled };
        batch.respond(items)
    });
    Ok(([(CONTENT_TYPE, "application/json")], items.await?).into_response())
}

type Parsed = Result<Listing, FieldErrors>;

/// The maximum number of errors of all cars together, not counting the first of each: the response is about as large as one
/// without errors.
const MAX_BATCH_ERRORS: usize = 1000;

fn read_items(body: &[u8], max_depth: usize, reading: Reading<'_>) -> Result<Vec<Parsed>, Problem> {
    let refuse = |msg: String, code| Err(Problem::invalid(FieldError::in_body(&[], msg, code)));
    let mut errors_left = MAX_BATCH_ERRORS;
    let read_item = |index, item: Item<'_>| {
        let parsed = listing::read_at(&item, &[Location::Index(index)], reading, errors_left.max(1));
        errors_left = errors_left.saturating_sub(parsed.as_ref().map_or_else(|errors| errors.as_slice().len(), |_| 0));
        parsed
    };
    match listing::parse_list(body, max_depth, read_item)? {
        None => refuse("the body must be a list of listings".to_owned(), "not_a_list"),
        Some((_, 0)) => refuse("the list is empty".to_owned(), "too_short"),
        Some((_, count)) if count > MAX_ITEMS => {
            refuse(format!("the list has {count} listings; at most {MAX_ITEMS} are accepted"), "too_long")
        }
        Some((items, _)) => Ok(items),
    }
}

/// The number of cars to value between checks for cancellation.
const CHUNK: usize = 512;

/// How to value the cars of a batch.
struct Batch<'b> {
    state: &'b State,
    served: &'b Served,
    query: BatchQuery,
    today: NaiveDate,
    /// That of messages.
    language: Language,
    cancelled: &'b AtomicBool,
}

impl Batch<'_> {
    /// Builds the response in chunks of cars, so that memory is bounded apart from the response itself.
    fn respond(&self, items: Vec<Parsed>) -> Result<Vec<u8>, Problem> {
        let mut json = Vec::new();
        let mut items = items.into_iter().enumerate().map(|(index, item)| self.check(index, item));
        loop {
            let chunk: Vec<Parsed> = items.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                json.push(b']');
                return Ok(json);
            }
            if self.cancelled.load(Ordering::Relaxed) {
                return Err(Problem::Internal);
            }
            for item in self.value(chunk)? {
                json.push(if json.is_empty() { b'[' } else { b',' });
                serde_json::to_writer(&mut json, &item).map_err(|error| Problem::internal(&error))?;
            }
        }
    }

    /// Refuses a car of an unknown make, unless those are allowed.
    fn check(&self, index: usize, item: Parsed) -> Parsed {
        let listing = item?;
        if !self.query.allow_unknown {
            check_known(self.state.metrics(), self.served, &listing, &[Location::Index(index)])?;
        }
        Ok(listing)
    }

    fn value(&self, chunk: Vec<Parsed>) -> Result<Vec<BatchItem>, Problem> {
        let listings: Vec<Listing> = chunk.iter().filter_map(|item| item.as_ref().ok().cloned()).collect();
        let valuations = self.served.value(&listings, self.today, self.query.level);
        let valuations = valuations.map_err(|error| Problem::internal(&error))?;
        self.state.metrics().record_valuations(&self.served.task().name, self.served.version, &valuations);
        let mut valuations = valuations.into_iter();
        let items = chunk.into_iter().map(|item| match item {
            Err(errors) => Ok(BatchItem::Error { error: Problem::Invalid(errors).details_in(self.language) }),
            Ok(_) => match valuations.next() {
                Some(valuation) => {
                    let valuation = Valuation::new(self.served, valuation).in_language(self.language);
                    Ok(BatchItem::Valuation(Box::new(valuation)))
                }
                None => Err(Problem::internal(&"the model returned too few valuations")),
            },
        });
        items.collect()
    }
}

#[cfg(test)]
mod tests {
    use onnx_model::model::DEFAULT_LEVEL;

    use super::*;
    use crate::config::Config;
    use crate::tests::fixture::{self, today};

    #[tokio::test]
    async fn a_cancelled_batch_is_not_valued() {
        let state = fixture::state(Config::default());
        let served = fixture::served(&state);
        let respond = |is_cancelled: bool| {
            let cancelled = &AtomicBool::new(is_cancelled);
            let query = BatchQuery { task: None, level: DEFAULT_LEVEL, allow_unknown: false };
            let batch =
                Batch { state: &state, served: &served, query, today: today(), language: Language::English, cancelled };
            batch.respond(vec![Ok(Listing::default()); CHUNK + 1])
        };
        assert_eq!(respond(true), Err(Problem::Internal));
        assert!(served.drift().is_empty(), "no car was valued");
        assert_eq!(
            serde_json::from_slice::<Vec<serde_json::Value>>(&respond(false).unwrap()).unwrap().len(),
            CHUNK + 1
        );
        assert!(!served.drift().is_empty(), "cars were valued");
    }
}

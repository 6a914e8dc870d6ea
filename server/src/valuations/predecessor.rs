//! The two paths of the service that Probeg replaces, for its existing clients.

use axum::Json;
use axum::extract::{Query, Request, State as Extracted};
use axum::response::Response;
use chrono::Datelike;
use domain::{Column, Reading};
use onnx_model::model::DEFAULT_LEVEL;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::capacity::Capacity;
use super::listing::{self, OtherFields};
use super::make::check_known;
use super::query::{PredecessorQuery, TableQuery};
use super::workbook::{CSV, WorkbookFile, attachment, media_type, value_upload};
use crate::http::body::JsonBody;
use crate::http::problem::openapi::{ListingProblems, WorkbookProblems};
use crate::http::problem::{Problem, both};
use crate::http::upload::WorkbookForm;
use crate::serving::inference::ValuationRequest;
use crate::state::State;

/// The schema of a car in the format of the predecessor.
pub(crate) struct PredecessorListing;

impl ToSchema for PredecessorListing {}

impl PartialSchema for PredecessorListing {
    fn schema() -> RefOr<Schema> {
        let mut object = listing::lenient_schema()
            .description(Some(
                "A car in the format of the predecessor. Only brand, year and mileage are required. All fields of a listing \
                 are accepted, numbers may be strings and strings numbers, and unknown fields are ignored.",
            ))
            .examples([example()]);
        for column in Column::REQUIRED {
            object = object.required(column.name());
        }
        object.into()
    }
}

/// Values one car (predecessor's path)
///
/// Returns only the price, as a bare number. New clients should use `/v1/valuations`.
#[utoipa::path(
    post, path = "/get_sale_prediction_for_one_car", operation_id = "get_sale_prediction_for_one_car",
    tag = "predecessor", params(PredecessorQuery), request_body(content = PredecessorListing, description = "The car"),
    responses(
        (
            status = 200, description = "The asking price, in the currency of the market", body = f64, content_type = "application/json",
            example = json!(84213.7)
        ),
        ListingProblems
    )
)]
pub(crate) async fn value_one(
    _: Capacity,
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
    JsonBody(body): JsonBody,
) -> Result<Json<f64>, Problem> {
    let today = state.today();
    let item = listing::parse(&body, state.config().max_json_depth)?;
    let query = TableQuery::read_leniently(pairs);
    let task = query.as_ref().ok().and_then(|query| query.task.as_deref());
    let served = state.served(task).await?;
    let reading = Reading { market: served.market(), year: today.year() };
    let parts = both(query, listing::read_leniently(&item, OtherFields::Ignored, reading));
    let (query, listing) = parts.map_err(Problem::Invalid)?;
    if !query.allow_unknown {
        check_known(state.metrics(), &served, &listing, &[]).map_err(Problem::invalid)?;
    }
    let request = ValuationRequest { served, listings: vec![listing], level: DEFAULT_LEVEL, today };
    let valuations = state.engine().inference.value(request).await?;
    let valuation = valuations.first().ok_or_else(|| Problem::internal(&"the model returned no valuation"))?;
    Ok(Json((valuation.price * 10.0).round() / 10.0))
}

/// Values a workbook (predecessor's path)
///
/// Like `/v1/valuations/xlsx`, with the file name `predictions.xlsx`.
#[utoipa::path(
    post, path = "/get_sale_prediction_for_multiple_cars", operation_id = "get_sale_prediction_for_multiple_cars",
    tag = "predecessor", params(PredecessorQuery),
    request_body(content = WorkbookForm, content_type = "multipart/form-data", description = "The workbook"),
    responses(
        (
            status = 200, description = "The workbook with `predict_value`", body = inline(WorkbookFile),
            content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            headers(("Content-Disposition" = String, description = "The name to save it under"))
        ),
        WorkbookProblems
    )
)]
pub(crate) async fn value_many(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<Response, Problem> {
    let query = TableQuery::read_leniently(pairs).map_err(Problem::Invalid)?;
    let (name, workbook) = value_upload(&state, query, request).await?;
    let disposition = match media_type(&name) {
        CSV => "attachment;filename=predictions.csv",
        _ => "attachment;filename=predictions.xlsx",
    };
    attachment(disposition, media_type(&name), workbook).await
}

fn example() -> serde_json::Value {
    serde_json::json!({
        "brand": "LADA (ВАЗ)", "year": 1995, "mileage": 96000, "body_type": "седан", "fuel_type": "Бензин",
        "engine_volume": 1.5, "engine_power": 71, "transmission": "механическая", "drive": "передний",
        "wheel": "Левый", "state": "Не требует ремонта", "owners_count": 3, "pts": "Оригинал",
        "customs": "Растаможен",
    })
}

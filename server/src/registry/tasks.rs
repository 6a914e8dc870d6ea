//! The tasks: what can be valued, in which units, by which models.

use axum::Json;
use axum::extract::State as Extracted;
use domain::accuracy::Accuracy;
use domain::{Column, Kind, Task};
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::problem::openapi::LookupProblems;
use crate::serving::models::{Champion, Slot};
use crate::state::State;

/// The tasks.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskList {
    /// The task of requests that name none; null while no task has a model.
    #[schema(example = "price")]
    default: Option<String>,
    /// All tasks by name.
    tasks: Vec<TaskSummary>,
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "gb-price", "market": "gb", "language": "en", "target": "price", "unit": "GBP", "symbol": "£",
    "conditions": [], "columns": [{ "name": "mileage", "unit": "miles", "required": true }],
    "champion": { "version": 3, "trained_at": "2026-11-20T08:15:42Z", "accuracy": null }
}))]
pub(crate) struct TaskSummary {
    /// Its name, for `?task=`.
    name: String,
    /// The market of its cars.
    market: String,
    /// The language of the market, ISO 639-1.
    language: String,
    /// What is predicted: `price`, `sale_price` or `days_listed`.
    #[schema(value_type = String)]
    target: Column,
    /// The unit of the prediction: a currency, ISO 4217, or `days`.
    unit: String,
    /// The sign of that unit.
    symbol: String,
    /// Conditions that all cars of the task meet.
    conditions: Vec<String>,
    /// The fields of a car.
    columns: Vec<TaskColumn>,
    /// The model in service; null if there is none.
    champion: Option<TaskChampion>,
}

/// A field of a car.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({ "name": "mileage", "unit": "miles", "required": true }))]
pub(crate) struct TaskColumn {
    /// Its name.
    #[schema(value_type = String)]
    name: Column,
    /// The unit of its numbers; null if there is none.
    unit: Option<String>,
    /// Whether every valuation requires it.
    required: bool,
}

/// The model in service.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "version": 3, "trained_at": "2026-11-20T08:15:42Z", "accuracy": { "rows": 7241, "mape": 0.154, "coverage_80": 0.802 }
}))]
pub(crate) struct TaskChampion {
    /// Its version in the registry.
    version: i64,
    /// When it was trained, RFC 3339.
    #[schema(format = DateTime)]
    trained_at: String,
    /// Its accuracy on held-out listings; null if it was not evaluated. `/v1/models/{version}` has the whole card.
    #[schema(value_type = Option<Object>)]
    accuracy: Option<Accuracy>,
}

/// Lists the tasks
///
/// What can be valued: asking prices, sale prices or days listed of the cars of a market, with their units, their fields and the
/// model in service. All valuations take `?task=`.
#[utoipa::path(
    get, path = "/v1/tasks", operation_id = "list_tasks", tag = "models",
    responses((status = 200, description = "The tasks", body = TaskList), LookupProblems)
)]
pub(crate) async fn list_tasks(Extracted(state): Extracted<State>) -> Json<TaskList> {
    let models = &state.engine().models;
    let default = models.slot(None).ok().map(|slot| slot.task.name.clone());
    Json(TaskList { default, tasks: models.slots().values().map(|slot| summarize(slot)).collect() })
}

fn summarize(slot: &Slot) -> TaskSummary {
    let Task { name, market, target, conditions } = &slot.task;
    let column = |column: &Column| TaskColumn {
        name: *column,
        unit: Some(market.unit(*column).to_owned())
            .filter(|unit| !unit.is_empty() && matches!(column.kind(), Kind::Integer { .. } | Kind::Decimal { .. })),
        required: Column::REQUIRED.contains(column),
    };
    let champion = |champion: &Champion| TaskChampion {
        version: champion.file.version,
        trained_at: champion.trained_at.clone(),
        accuracy: champion.accuracy.clone(),
    };
    TaskSummary {
        name: name.clone(),
        market: market.name().to_owned(),
        language: market.definition().language.clone(),
        target: *target,
        unit: slot.task.unit().to_owned(),
        symbol: market.unit_label(*target).1.to_owned(),
        conditions: conditions.clone(),
        columns: Column::descriptive().iter().map(column).collect(),
        champion: slot.champion().as_deref().map(champion),
    }
}

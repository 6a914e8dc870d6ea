//! What served at a time, and what it was made of.

use axum::Json;
use axum::extract::{Query, State as Extracted};
use chrono::{DateTime, Utc};
use domain::moment;
use serde::Serialize;
use storage::{Action, ModelRecord, Run, ServedPeriod};
use utoipa::{IntoParams, ToSchema};

use crate::http::problem::openapi::ServedProblems;
use crate::http::problem::{FieldError, Problem};
use crate::http::query::{TASK, read_pairs};
use crate::registry::models::task_named;
use crate::state::State;

/// A version that was the champion of its task at a time.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "at": "2026-11-24T14:05:00Z", "since": "2026-11-20T08:16:02Z", "until": null, "action": "promote",
    "by": "admin 4813494d over HTTP", "model": { "version": 3, "task": "price" }, "run": { "id": 12, "seed": 42 }
}))]
pub(crate) struct ServedVersion {
    /// The time.
    pub(crate) at: DateTime<Utc>,
    /// When it became the champion.
    pub(crate) since: DateTime<Utc>,
    /// When another version did; null if none has since.
    pub(crate) until: Option<DateTime<Utc>>,
    /// `promote` or `rollback`.
    #[schema(value_type = String)]
    pub(crate) action: Action,
    /// Who made it the champion.
    pub(crate) by: String,
    /// The version, without the accuracy of segments.
    pub(crate) model: ModelRecord,
    /// The run that trained it, with its settings and the listings that it learned from; null if the file was imported.
    pub(crate) run: Option<Run>,
}

/// The time and the task.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the parameters are read by hand; this type documents them")]
pub(crate) struct ServedParameters {
    /// The time, in UTC unless it has an offset; now by default.
    #[param(required = false, nullable = false, example = "2026-11-24T14:05")]
    at: Option<String>,
    /// The task, one of `/v1/tasks`; by default that of the server.
    #[param(required = false, nullable = false, example = "price")]
    task: Option<String>,
}

/// Shows what served at a time
///
/// The version that was the champion of a task, with the run that trained it: its settings, and the listings that it learned from.
#[utoipa::path(
    get, path = "/v1/models/served", operation_id = "get_served", tag = "models", params(ServedParameters),
    responses((status = 200, description = "The version", body = ServedVersion), ServedProblems)
)]
pub(crate) async fn get_served(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Json<ServedVersion>, Problem> {
    let (mut at, mut task) = (None, None);
    read_pairs(&pairs, |name, value| {
        match name {
            "at" => at = Some(read_time(value)?),
            TASK => task = Some(value.to_owned()),
            _ => return Err(FieldError::unknown_parameter(name)),
        }
        Ok(())
    })
    .map_err(Problem::Invalid)?;
    let (task, at) = (task_named(&state, task.as_deref())?, at.unwrap_or_else(Utc::now));
    let missing = || Problem::NotFound { detail: format!("no version of the task {task} was served at {at}") };
    find_served(&state, &task, at).await?.map(Json).ok_or_else(missing)
}

/// Reads the parameter `at`.
pub(crate) fn read_time(text: &str) -> Result<DateTime<Utc>, FieldError> {
    let msg = || "at must be a time such as 2026-11-24T14:05 (UTC) or 2026-11-24T17:05:00+03:00".to_owned();
    moment::parse(text).ok_or_else(|| FieldError::in_query("at", msg(), "not_a_time"))
}

/// The champion of a task at a time, if it had one.
pub(crate) async fn find_served(
    state: &State,
    task: &str,
    at: DateTime<Utc>,
) -> Result<Option<ServedVersion>, Problem> {
    let models = state.database().models();
    let period = models.served_at(task, at).await.map_err(|error| Problem::from_storage(&error))?;
    let Some(ServedPeriod { change, until }) = period else { return Ok(None) };
    let model = models.get(change.version).await.map_err(|error| Problem::from_storage(&error))?;
    let Some(model) = model.map(ModelRecord::without_segments) else { return Ok(None) };
    let run = match model.run_id {
        Some(run) => state.database().runs().get(run).await.map_err(|error| Problem::from_storage(&error))?,
        None => None,
    };
    Ok(Some(ServedVersion { at, since: change.at, until, action: change.action, by: change.who, model, run }))
}

//! Training runs and their metrics.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Extracted};
use storage::{EpochMetrics, Run};

use crate::http::problem::Problem;
use crate::http::problem::openapi::{ItemProblems, ListProblems};
use crate::state::State;

/// Lists the runs
///
/// The newest first.
#[utoipa::path(
    get, path = "/v1/runs", operation_id = "list_runs", tag = "runs",
    responses((status = 200, description = "The runs", body = Vec<Run>), ListProblems)
)]
pub(crate) async fn list_runs(Extracted(state): Extracted<State>) -> Result<Json<Vec<Run>>, Problem> {
    let runs = state.database().runs().list().await.map_err(|error| Problem::from_storage(&error))?;
    Ok(Json(runs))
}

/// Shows a run
#[utoipa::path(
    get, path = "/v1/runs/{id}", operation_id = "get_run", tag = "runs",
    params(("id" = i64, Path, description = "Run number", example = 1)),
    responses((status = 200, description = "The run", body = Run), ItemProblems)
)]
pub(crate) async fn get_run(
    Extracted(state): Extracted<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Run>, Problem> {
    find_run(&state, id).await.map(Json)
}

/// Shows the metrics of a run
///
/// The metrics of each epoch, in order.
#[utoipa::path(
    get, path = "/v1/runs/{id}/metrics", operation_id = "get_run_metrics", tag = "runs",
    params(("id" = i64, Path, description = "Run number", example = 1)),
    responses((status = 200, description = "The epochs", body = Vec<EpochMetrics>), ItemProblems)
)]
pub(crate) async fn get_run_metrics(
    Extracted(state): Extracted<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<EpochMetrics>>, Problem> {
    let run = find_run(&state, id).await?;
    let epochs = state.database().runs().metrics(run.id).await.map_err(|error| Problem::from_storage(&error))?;
    Ok(Json(epochs))
}

/// Finds a run by its number. Anything but a number is not found.
async fn find_run(state: &State, id: Result<Path<String>, PathRejection>) -> Result<Run, Problem> {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let missing = || Problem::NotFound { detail: format!("there is no run {id}: see /v1/runs") };
    let number = id.parse().map_err(|_| missing())?;
    let run = state.database().runs().get(number).await.map_err(|error| Problem::from_storage(&error))?;
    run.ok_or_else(missing)
}

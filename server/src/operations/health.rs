//! Liveness and readiness.

use std::time::Duration;

use axum::Json;
use axum::extract::State as Extracted;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::problem::Problem;
use crate::http::problem::openapi::ReadinessProblems;
use crate::state::State;

/// The process is alive.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Live {
    /// Always `live`.
    #[schema(example = "live")]
    status: &'static str,
}

/// The server can value cars.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    /// `ready`, or `degraded` while the database is unavailable: valuations work, the registry and the runs do not.
    #[schema(example = "ready")]
    status: &'static str,
    /// The model version in service for requests that name no task.
    #[schema(example = 3)]
    model_version: i64,
    /// Whether the database is available.
    #[schema(example = true)]
    database: bool,
}

/// A slower database counts as unavailable.
const PING_TIMEOUT: Duration = Duration::from_secs(2);

/// Reports that the process is alive
#[utoipa::path(
    get, path = "/health/live", operation_id = "get_live", tag = "operations", security(()),
    responses((status = 200, description = "The process is alive", body = Live))
)]
pub(crate) async fn get_live() -> Json<Live> {
    Json(Live { status: "live" })
}

/// Reports whether cars can be valued
#[utoipa::path(
    get, path = "/health/ready", operation_id = "get_ready", tag = "operations", security(()),
    responses((status = 200, description = "A model is in service for requests that name no task", body = Ready), ReadinessProblems)
)]
pub(crate) async fn get_ready(Extracted(state): Extracted<State>) -> Result<Json<Ready>, Problem> {
    let served = state.engine().models.slot(None)?.champion().ok_or(Problem::NoModel)?;
    if state.shutdown().is_draining() {
        return Err(Problem::Draining);
    }
    if state.engine().inference.is_stuck() {
        return Err(Problem::Stuck);
    }
    let ping = tokio::time::timeout(PING_TIMEOUT, state.database().ping()).await;
    let database = matches!(ping, Ok(Ok(())));
    let status = if database { "ready" } else { "degraded" };
    Ok(Json(Ready { status, model_version: served.file.version, database }))
}

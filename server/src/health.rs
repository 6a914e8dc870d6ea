//! Whether the server lives, and whether it can value cars.

use std::time::Duration;

use axum::Json;
use axum::extract::State as Extracted;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::Problem;
use crate::problem::document::OfReadiness;
use crate::state::State;

/// The process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Live {
    /// Always `live`.
    #[schema(example = "live")]
    status: &'static str,
}

/// The server can value cars.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Ready {
    /// `ready`, or `degraded` while the database is away: valuations go on, the registry and the runs do not.
    #[schema(example = "ready")]
    status: &'static str,
    /// The version that serves.
    #[schema(example = 3)]
    model_version: i64,
    /// Whether the database answers.
    #[schema(example = true)]
    database: bool,
}

/// A database that takes longer is no help to a request.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells that the process lives
#[utoipa::path(
    get, path = "/health/live", operation_id = "get_live", tag = "operations", security(()),
    responses((status = 200, description = "It lives", body = Live))
)]
pub(crate) async fn get_live() -> Json<Live> {
    Json(Live { status: "live" })
}

/// Tells whether cars can be valued
#[utoipa::path(
    get, path = "/health/ready", operation_id = "get_ready", tag = "operations", security(()),
    responses((status = 200, description = "A model serves", body = Ready), OfReadiness)
)]
pub(crate) async fn get_ready(Extracted(state): Extracted<State>) -> Result<Json<Ready>, Problem> {
    let served = state.engine().served()?;
    if state.is_draining() {
        return Err(Problem::Draining);
    }
    if state.engine().inference.is_stuck() {
        return Err(Problem::Stuck);
    }
    let ping = tokio::time::timeout(PATIENCE, state.database().ping()).await;
    let database = matches!(ping, Ok(Ok(())));
    let status = if database { "ready" } else { "degraded" };
    Ok(Json(Ready { status, model_version: served.version, database }))
}

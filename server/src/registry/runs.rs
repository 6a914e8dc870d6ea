//! Experiments: the runs of training and how they went.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Extracted};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use storage::RunStatus;
use utoipa::ToSchema;

use crate::http::problem::Problem;
use crate::http::problem::openapi::{ItemProblems, ListProblems};
use crate::state::State;

/// A run of training.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": 12, "label": "lower learning rate", "status": "completed", "seed": 42,
    "config": { "learning_rate": 0.002, "batch_size": 256, "k": 3 },
    "schema_fingerprint": "4f9c2ab1077e3d15",
    "rows": { "train": 57936, "validation": 7242, "test": 7242 },
    "started_at": "2026-11-20T08:11:02Z", "heartbeat_at": "2026-11-20T08:15:42Z",
    "finished_at": "2026-11-20T08:15:42Z", "error": null, "model_version": 3
}))]
pub(crate) struct Run {
    /// Counted from 1, with gaps.
    id: i64,
    /// A name for people.
    label: Option<String>,
    /// How it stands: `running`, `interrupted` (it can be resumed), `completed` or `failed`.
    #[schema(value_type = String)]
    status: RunStatus,
    /// The seed of everything random.
    seed: u64,
    /// The whole configuration.
    #[schema(value_type = Object)]
    config: Value,
    /// Of the feature schema, once it is known.
    schema_fingerprint: Option<String>,
    /// Listings of each split, once they are counted.
    rows: Option<RunRows>,
    /// When it was begun.
    started_at: DateTime<Utc>,
    /// When it last gave a sign of life.
    heartbeat_at: DateTime<Utc>,
    /// When it ended.
    finished_at: Option<DateTime<Utc>>,
    /// Why it failed.
    error: Option<String>,
    /// The newest model version that came of it.
    model_version: Option<i64>,
}

/// Listings of each split.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunRows {
    /// Learned from.
    #[schema(example = 57_936)]
    train: u64,
    /// Stopped and calibrated by.
    #[schema(example = 7242)]
    validation: u64,
    /// Only measured on.
    #[schema(example = 7242)]
    test: u64,
}

/// What was measured at the end of an epoch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "epoch": 7, "metrics": { "train_loss": 0.0541, "validation_mape": 0.158 }, "recorded_at": "2026-11-20T08:13:31Z"
}))]
pub(crate) struct EpochMetrics {
    /// Counted as the run counts.
    epoch: u32,
    /// Name and figure, as the run chose them.
    #[schema(value_type = Object)]
    metrics: Value,
    /// When.
    recorded_at: DateTime<Utc>,
}

/// Lists the runs
///
/// The newest first.
#[utoipa::path(
    get, path = "/v1/runs", operation_id = "list_runs", tag = "runs",
    responses((status = 200, description = "The runs", body = Vec<Run>), ListProblems)
)]
pub(crate) async fn list_runs(Extracted(state): Extracted<State>) -> Result<Json<Vec<Run>>, Problem> {
    let runs = state.database().runs().list().await.map_err(|error| Problem::from_storage(&error))?;
    Ok(Json(runs.into_iter().map(Run::from).collect()))
}

/// Shows a run
#[utoipa::path(
    get, path = "/v1/runs/{id}", operation_id = "get_run", tag = "runs",
    params(("id" = i64, Path, description = "The run's number", example = 12)),
    responses((status = 200, description = "The run", body = Run), ItemProblems)
)]
pub(crate) async fn get_run(
    Extracted(state): Extracted<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Run>, Problem> {
    find(&state, id).await.map(|run| Json(Run::from(run)))
}

/// Shows how a run went
///
/// What was measured at the end of each epoch, in order.
#[utoipa::path(
    get, path = "/v1/runs/{id}/metrics", operation_id = "get_run_metrics", tag = "runs",
    params(("id" = i64, Path, description = "The run's number", example = 12)),
    responses((status = 200, description = "The epochs", body = Vec<EpochMetrics>), ItemProblems)
)]
pub(crate) async fn get_run_metrics(
    Extracted(state): Extracted<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<EpochMetrics>>, Problem> {
    let run = find(&state, id).await?;
    let epochs = state.database().runs().metrics(run.id).await.map_err(|error| Problem::from_storage(&error))?;
    Ok(Json(epochs.into_iter().map(EpochMetrics::from).collect()))
}

/// What is no number names no run.
async fn find(state: &State, id: Result<Path<String>, PathRejection>) -> Result<storage::Run, Problem> {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let missing = || Problem::NotFound { detail: format!("there is no run {id}: see /v1/runs") };
    let number = id.parse().map_err(|_| missing())?;
    let run = state.database().runs().get(number).await.map_err(|error| Problem::from_storage(&error))?;
    run.ok_or_else(missing)
}

impl From<storage::Run> for Run {
    fn from(run: storage::Run) -> Self {
        Self {
            id: run.id,
            label: run.label,
            status: run.status,
            seed: run.seed,
            config: run.config,
            schema_fingerprint: run.schema_fingerprint,
            rows: run.rows.map(|rows| RunRows { train: rows.train, validation: rows.validation, test: rows.test }),
            started_at: run.started_at,
            heartbeat_at: run.heartbeat_at,
            finished_at: run.finished_at,
            error: run.error,
            model_version: run.model_version,
        }
    }
}

impl From<storage::EpochMetrics> for EpochMetrics {
    fn from(epoch: storage::EpochMetrics) -> Self {
        Self { epoch: epoch.epoch, metrics: epoch.metrics, recorded_at: epoch.recorded_at }
    }
}

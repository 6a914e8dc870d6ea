//! The sweeps: searches over hyperparameters.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Extracted};
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use storage::{Sweep, SweepCounts, Trial};
use utoipa::ToSchema;

use crate::http::problem::Problem;
use crate::http::problem::openapi::{ItemProblems, SweepListProblems};
use crate::state::State;

/// A sweep.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "space", "task": "price", "created_at": "2026-11-20T08:11:02Z", "program": "0.1.0 (4b4196e)", "trials": 40,
    "counts": { "running": 2, "completed": 21, "pruned": 9, "failed": 0 }, "best_loss": 0.0312
}))]
pub(crate) struct SweepSummary {
    /// Its name.
    name: String,
    /// The name of its task.
    task: String,
    /// When it was started.
    created_at: DateTime<Utc>,
    /// The version of the program that started it.
    program: String,
    /// The number of trials that it is to have.
    trials: u32,
    /// The number of trials so far, by status.
    counts: SweepCounts,
    /// The lowest validation loss of a completed trial.
    best_loss: Option<f64>,
}

/// A sweep with its trials.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "name": "space", "task": "price", "created_at": "2026-11-20T08:11:02Z", "program": "0.1.0 (4b4196e)", "trials": 40,
    "space": { "learning_rate": { "low": 0.001, "high": 0.01, "log": true } }, "best": 17,
    "importance": [{ "name": "learning_rate", "share": 0.61 }], "results": []
}))]
pub(crate) struct SweepResults {
    /// Its name.
    name: String,
    /// The name of its task.
    task: String,
    /// When it was started.
    created_at: DateTime<Utc>,
    /// The version of the program that started it.
    program: String,
    /// The number of trials that it is to have.
    trials: u32,
    /// The settings that vary: each has `low` and `high`, and optionally `log` and `step`, or `values`.
    #[schema(value_type = Object)]
    space: Value,
    /// The number of the completed trial with the lowest validation loss.
    best: Option<i32>,
    /// How much each setting matters, the most important first; empty for few trials.
    importance: Vec<SettingImportance>,
    /// The trials so far.
    results: Vec<Trial>,
}

/// How much a setting matters.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SettingImportance {
    /// The name of the setting.
    #[schema(example = "learning_rate")]
    name: String,
    /// The share of the variance of the validation losses that it explains alone.
    #[schema(example = 0.61)]
    share: f64,
}

/// Lists the sweeps
///
/// The newest first.
#[utoipa::path(
    get, path = "/v1/sweeps", operation_id = "list_sweeps", tag = "runs",
    responses((status = 200, description = "The sweeps", body = Vec<SweepSummary>), SweepListProblems)
)]
pub(crate) async fn list_sweeps(Extracted(state): Extracted<State>) -> Result<Json<Vec<SweepSummary>>, Problem> {
    let sweeps = state.database().sweeps().counted().await.map_err(|error| Problem::from_storage(&error))?;
    let summary = |(Sweep { name, task, created_at, program, trials, .. }, counts, best_loss)| SweepSummary {
        name,
        task,
        created_at,
        program,
        trials,
        counts,
        best_loss,
    };
    Ok(Json(sweeps.into_iter().map(summary).collect()))
}

/// Shows a sweep
///
/// Its trials, the best one, and how much each setting matters.
#[utoipa::path(
    get, path = "/v1/sweeps/{name}", operation_id = "get_sweep", tag = "runs",
    params(("name" = String, Path, description = "The name of the sweep", example = "space")),
    responses((status = 200, description = "The sweep", body = SweepResults), ItemProblems)
)]
pub(crate) async fn get_sweep(
    Extracted(state): Extracted<State>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<SweepResults>, Problem> {
    let (sweep, results) = find_sweep(&state, name).await?;
    let importance = sweep.importance(&results).into_iter();
    Ok(Json(SweepResults {
        best: Sweep::best(&results).map(|trial| trial.number),
        importance: importance.map(|(name, share)| SettingImportance { name, share }).collect(),
        results,
        name: sweep.name,
        task: sweep.task,
        created_at: sweep.created_at,
        program: sweep.program,
        trials: sweep.trials,
        space: sweep.space,
    }))
}

/// Finds a sweep and its trials by its name.
pub(crate) async fn find_sweep(
    state: &State,
    name: Result<Path<String>, PathRejection>,
) -> Result<(Sweep, Vec<Trial>), Problem> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let missing = || Problem::NotFound { detail: format!("there is no sweep {name}: see /v1/sweeps") };
    // PostgreSQL rejects NUL characters in text.
    if name.contains('\0') {
        return Err(missing());
    }
    let sweeps = state.database().sweeps();
    let sweep = sweeps.get(&name).await.map_err(|error| Problem::from_storage(&error))?.ok_or_else(missing)?;
    let trials = sweeps.trials(sweep.id).await.map_err(|error| Problem::from_storage(&error))?;
    Ok((sweep, trials))
}

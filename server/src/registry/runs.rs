//! Training runs and their figures.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State as Extracted};
use axum::http::HeaderName;
use domain::residuals::Residuals;
use storage::{EpochMetrics, Figure, LogLine, Run, RunQuery, RunSort, RunStatus};
use utoipa::IntoParams;

use crate::http::problem::openapi::{FigureProblems, ItemProblems, RunListProblems};
use crate::http::problem::{FieldError, FieldErrors, Problem};
use crate::http::query::read_pairs;
use crate::state::State;

/// The header with the number of runs that match, whatever the limit.
const TOTAL: HeaderName = HeaderName::from_static("x-total-count");
/// The largest number of runs in a response.
const MAX_RUNS: u32 = 10_000;
/// The default number of points of a figure.
const DEFAULT_POINTS: u32 = 500;
/// The largest number of points of a figure.
const MAX_POINTS: u32 = 10_000;

/// Which runs to list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the parameters are read by hand; this type documents them")]
pub(crate) struct RunParameters {
    /// Only runs of this task.
    #[param(required = false, nullable = false, example = "price")]
    task: Option<String>,
    /// Only runs with this tag.
    #[param(required = false, nullable = false)]
    tag: Option<String>,
    /// Only runs with this status: `running`, `interrupted`, `completed` or `failed`.
    #[param(required = false, nullable = false)]
    status: Option<String>,
    /// Only the trials of this sweep.
    #[param(required = false, nullable = false)]
    sweep: Option<String>,
    /// Only runs whose number, name, task, tags or notes contain this text.
    #[param(required = false, nullable = false)]
    search: Option<String>,
    /// The order, smallest first: `run` (the newest first, the default), `name`, `task`, `status`, `started`, `rows`, `version`,
    /// `mape`, `median_ape`, `coverage_80`, `validation_loss` or `train_loss`. Runs without the value are last.
    #[param(required = false, nullable = false)]
    sort: Option<String>,
    /// `true` reverses the order.
    #[param(required = false, nullable = false)]
    reverse: Option<bool>,
    /// The maximum number of runs; 10000 by default, which is also the largest.
    #[param(required = false, nullable = false, minimum = 1, maximum = 10000)]
    limit: Option<u32>,
    /// The number of runs to skip.
    #[param(required = false, nullable = false, minimum = 0)]
    offset: Option<u32>,
}

/// Which figures to return.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "the parameters are read by hand; this type documents them")]
pub(crate) struct FigureParameters {
    /// Names of figures, separated by commas; all by default.
    #[param(required = false, nullable = false, example = "train_loss,validation_loss")]
    names: Option<String>,
    /// The maximum number of points of each figure; 500 by default.
    #[param(required = false, nullable = false, minimum = 1, maximum = 10000)]
    points: Option<u32>,
}

/// Lists the runs
///
/// The newest first, unless sorted otherwise. The header `x-total-count` has the number of runs that match.
#[utoipa::path(
    get, path = "/v1/runs", operation_id = "list_runs", tag = "runs", params(RunParameters),
    responses(
        (status = 200, description = "The runs", body = Vec<Run>,
         headers(("x-total-count" = u64, description = "The number of runs that match"))),
        RunListProblems
    )
)]
pub(crate) async fn list_runs(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<([(HeaderName, String); 1], Json<Vec<Run>>), Problem> {
    let query = read_query(&pairs).map_err(Problem::Invalid)?;
    let runs = state.database().runs();
    let listed = runs.list(&query).await.map_err(|error| Problem::from_storage(&error))?;
    let total = runs.count(&query).await.map_err(|error| Problem::from_storage(&error))?;
    Ok(([(TOTAL, total.to_string())], Json(listed)))
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

/// Shows the figures of a run
///
/// Its figures over the training steps, among them `train_loss`, `validation_loss`, `learning_rate`, `rows_per_second`, `memory`
/// (bytes) and `cpu` (processors in use). Figures with more points than requested are averaged.
#[utoipa::path(
    get, path = "/v1/runs/{id}/figures", operation_id = "get_run_figures", tag = "runs",
    params(("id" = i64, Path, description = "Run number", example = 1), FigureParameters),
    responses((status = 200, description = "The figures", body = Vec<Figure>), FigureProblems)
)]
pub(crate) async fn get_run_figures(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<Figure>>, Problem> {
    let (mut names, mut points) = (None, DEFAULT_POINTS);
    read_pairs(&pairs, |name, value| {
        match name {
            "names" => names = Some(value.split(',').map(str::to_owned).collect::<Vec<_>>()),
            "points" => points = number(name, value, (1, MAX_POINTS))?,
            _ => return Err(FieldError::unknown_parameter(name)),
        }
        text(name, value)
    })
    .map_err(Problem::Invalid)?;
    let run = find_run(&state, id).await?;
    let figures = state.database().runs().figures(&[run.id], names.as_deref(), points).await;
    Ok(Json(figures.map_err(|error| Problem::from_storage(&error))?))
}

/// Shows the log of a run
///
/// What happened, in sentences, in order.
#[utoipa::path(
    get, path = "/v1/runs/{id}/log", operation_id = "get_run_log", tag = "runs",
    params(("id" = i64, Path, description = "Run number", example = 1)),
    responses((status = 200, description = "The log", body = Vec<LogLine>), ItemProblems)
)]
pub(crate) async fn get_run_log(
    Extracted(state): Extracted<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Vec<LogLine>>, Problem> {
    let run = find_run(&state, id).await?;
    Ok(Json(state.database().runs().log(run.id).await.map_err(|error| Problem::from_storage(&error))?))
}

/// Shows the residuals of a run
///
/// How the prices that its model predicts differ from the listed ones on the test split: against each other, by age, price and date,
/// and how often prices are below each predicted quantile. Not found for a run without a model, and for those of versions before
/// these were recorded.
#[utoipa::path(
    get, path = "/v1/runs/{id}/residuals", operation_id = "get_run_residuals", tag = "runs",
    params(("id" = i64, Path, description = "Run number", example = 1)),
    responses((status = 200, description = "The residuals", body = Residuals), ItemProblems)
)]
pub(crate) async fn get_run_residuals(
    Extracted(state): Extracted<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Residuals>, Problem> {
    let run = find_run(&state, id).await?;
    let residuals = state.database().runs().residuals(run.id).await.map_err(|error| Problem::from_storage(&error))?;
    let missing = || Problem::NotFound { detail: format!("run {} has no residuals", run.id) };
    residuals.map(Json).ok_or_else(missing)
}

/// Reads which runs to list.
pub(crate) fn read_query(pairs: &[(String, String)]) -> Result<RunQuery, FieldErrors> {
    let mut query = RunQuery { limit: Some(MAX_RUNS), ..RunQuery::default() };
    read_pairs(pairs, |name, value| {
        let given = Some(value.to_owned());
        match name {
            "task" => query.task = given,
            "tag" => query.tag = given,
            "sweep" => query.sweep = given,
            "search" => query.search = given,
            "status" => {
                let statuses = [RunStatus::Running, RunStatus::Interrupted, RunStatus::Completed, RunStatus::Failed];
                let status = statuses.into_iter().find(|status| status.name() == value);
                query.status = Some(status.ok_or_else(|| unknown_value(name, &statuses.map(RunStatus::name)))?);
            }
            "sort" => {
                let names = RunSort::ALL.map(|(name, _)| name);
                query.sort = RunSort::named(value).ok_or_else(|| unknown_value(name, &names))?;
            }
            "reverse" => query.descending = value.parse().map_err(|_| unknown_value(name, &["true", "false"]))?,
            "limit" => query.limit = Some(number(name, value, (1, MAX_RUNS))?),
            "offset" => query.offset = number(name, value, (0, i32::MAX.unsigned_abs()))?,
            _ => return Err(FieldError::unknown_parameter(name)),
        }
        text(name, value)
    })?;
    Ok(query)
}

/// PostgreSQL rejects NUL characters in text.
fn text(name: &str, value: &str) -> Result<(), FieldError> {
    let msg = || format!("{name} must not contain NUL characters");
    if value.contains('\0') { Err(FieldError::in_query(name, msg(), "invalid_text")) } else { Ok(()) }
}

fn number(name: &str, value: &str, (low, high): (u32, u32)) -> Result<u32, FieldError> {
    let number = value.parse().ok().filter(|number| (low..=high).contains(number));
    number.ok_or_else(|| {
        FieldError::in_query(name, format!("{name} must be a number between {low} and {high}"), "out_of_range")
    })
}

fn unknown_value(name: &str, values: &[&str]) -> FieldError {
    FieldError::in_query(name, format!("{name} must be one of {}", values.join(", ")), "unknown_value")
}

/// Finds a run by its number. Anything but a number is not found.
pub(crate) async fn find_run(state: &State, id: Result<Path<String>, PathRejection>) -> Result<Run, Problem> {
    let id = id.map(|Path(id)| id).unwrap_or_default();
    let missing = || Problem::NotFound { detail: format!("there is no run {id}: see /v1/runs") };
    let number = id.parse().map_err(|_| missing())?;
    let run = state.database().runs().get(number).await.map_err(|error| Problem::from_storage(&error))?;
    run.ok_or_else(missing)
}

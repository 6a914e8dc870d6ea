//! Jobs: workbooks that take too long for a single request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, Request, State as Extracted};
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use chrono::{DateTime, Utc};
use domain::{Column, Language};
use serde::Serialize;
use tables::Header;
use utoipa::ToSchema;
use uuid::Uuid;

use super::query::TableQuery;
use super::workbook::{WorkbookFile, WorkbookValuation, attachment, media_type, result_name, valued_disposition};
use crate::http::body::Admitted;
use crate::http::file::Quota;
use crate::http::language::PreferredLanguage;
use crate::http::problem::openapi::{JobProblems, ResultProblems, WorkbookProblems};
use crate::http::problem::{Problem, ProblemDetails};
use crate::http::upload::{WorkbookForm, receive_file};
use crate::serving::jobs::JobEntry;
use crate::serving::portfolio::Portfolio;
use crate::state::State;

/// How long a result is available.
const RETENTION: Duration = Duration::from_hours(1);

/// The valuation of a workbook in the background.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0198c0de-1b7f-4c55-9f3e-0a8f5a1c2d3e", "state": "done", "file": "cars.xlsx", "valued": 99_812,
    "created_at": "2026-11-22T09:30:00Z", "result": "/v1/valuations/jobs/0198c0de-1b7f-4c55-9f3e-0a8f5a1c2d3e/result",
    "error": null, "columns": [{ "header": "Марка", "field": "brand" }, { "header": "VIN", "field": null }]
}))]
pub(crate) struct Job {
    /// The id of the job, which is at `/v1/valuations/jobs/{id}`.
    id: String,
    /// `running`, `done` or `failed`.
    state: &'static str,
    /// The name of the workbook.
    file: String,
    /// The number of rows with a price so far.
    valued: u64,
    /// When the job was created.
    created_at: DateTime<Utc>,
    /// The path of the workbook with prices, available for an hour; null until the job is done.
    result: Option<String>,
    /// Why the job failed; null otherwise.
    error: Option<ProblemDetails>,
    /// What became of the columns of the table; null until the job is done.
    columns: Option<Vec<TableColumn>>,
    /// What the prices add up to, and the cars to look at first; null until the job is done.
    portfolio: Option<Portfolio>,
}

/// A column of a table.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TableColumn {
    /// Its header, as written.
    #[schema(example = "Тип КПП")]
    header: String,
    /// The field that it was understood as; null if it was not used.
    #[schema(value_type = Option<String>, example = "transmission")]
    field: Option<Column>,
}

/// The columns of a table that have a header, in order.
fn table_columns(header: &Header) -> Vec<TableColumn> {
    let used: Vec<(usize, Column)> =
        header.columns().flat_map(|(column, indices)| indices.iter().map(move |index| (*index, column))).collect();
    let column = |(index, title): (usize, &String)| {
        let field = used.iter().find(|(other, _)| *other == index).map(|(_, column)| *column);
        (!title.trim().is_empty()).then(|| TableColumn { header: title.trim().to_owned(), field })
    };
    header.headers.iter().enumerate().filter_map(column).collect()
}

impl Job {
    fn new(id: Uuid, entry: &JobEntry, language: Language) -> Self {
        let (state, result, error) = match &*entry.outcome() {
            None => ("running", None, None),
            Some(Ok(_)) => ("done", Some(format!("/v1/valuations/jobs/{id}/result")), None),
            Some(Err(problem)) => ("failed", None, Some(problem.details_in(language))),
        };
        let valued = entry.valued.load(Ordering::Relaxed);
        let (file, created_at) = (entry.file_name.clone(), entry.created_at);
        let columns = entry.header.get().map(table_columns);
        let portfolio = (state == "done").then(|| entry.portfolio.portfolio()).flatten();
        Self { id: id.to_string(), state, file, valued, created_at, result, error, columns, portfolio }
    }
}

/// Values a workbook in the background
///
/// For large workbooks. The response is immediate, with the path of the job in `Location`: poll it, and fetch `result` when
/// it is done. A result is available for an hour, unless the same caller has many newer ones. When the server stops, its jobs
/// are lost.
#[utoipa::path(
    post, path = "/v1/valuations/jobs", operation_id = "start_job", tag = "valuations", params(TableQuery),
    request_body(content = WorkbookForm, content_type = "multipart/form-data", description = "The workbook"),
    responses(
        (
            status = 202, description = "The job", body = Job,
            headers(("Location" = String, description = "The path of the job"))
        ),
        WorkbookProblems
    )
)]
pub(crate) async fn start_job(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Job>), Problem> {
    let query = TableQuery::read(&pairs).map_err(Problem::Invalid)?;
    let served = state.served(query.task.as_deref()).await?;
    let caller = Admitted::of(&request)?.caller;
    state.jobs().check_capacity(caller)?;
    // Results of finished jobs must not block a new job.
    if !state.buffers().disk.allows(caller, state.config().max_upload_bytes as u64) {
        state.jobs().remove_oldest_finished(caller);
    }
    let upload = receive_file(state.buffers(), request).await?;
    let format = query.format;
    let cancelled = Arc::new(AtomicBool::new(false));
    let valuation = WorkbookValuation::new(&state, caller, query, served, Arc::clone(&cancelled));
    let entry = Arc::new(JobEntry {
        caller,
        file_name: result_name(upload.name.clone(), format),
        created_at: Utc::now(),
        valued: Arc::clone(&valuation.valued),
        cancelled,
        header: Arc::clone(&valuation.header),
        portfolio: Arc::clone(&valuation.portfolio),
        outcome: Mutex::new(None),
    });
    let id = state.jobs().add(Arc::clone(&entry))?;
    let job = Job::new(id, &entry, Language::English);
    tokio::spawn(async move {
        let jobs = state.clone();
        let quota =
            Quota::for_result(state.buffers(), caller).freeing_disk(move || jobs.jobs().remove_oldest_finished(caller));
        let slot = state.engine().bulk.enter_job(caller);
        let outcome = slot.run(upload.inflated_bytes, move || valuation.run(&upload, quota)).await;
        *entry.outcome() = Some(outcome.map(Arc::new));
        drop(entry);
        tokio::time::sleep(RETENTION).await;
        state.jobs().remove(id);
    });
    Ok((StatusCode::ACCEPTED, [(LOCATION, format!("/v1/valuations/jobs/{id}"))], Json(job)))
}

/// Shows a job
///
/// Poll about once a second while its state is `running`.
#[utoipa::path(
    get, path = "/v1/valuations/jobs/{id}", operation_id = "get_job", tag = "valuations",
    params(("id" = String, Path, description = "The job")),
    responses((status = 200, description = "The job", body = Job), JobProblems)
)]
pub(crate) async fn get_job(
    Extracted(state): Extracted<State>,
    PreferredLanguage(language): PreferredLanguage,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Job>, Problem> {
    let (id, entry) = find(&state, id)?;
    Ok(Json(Job::new(id, &entry, language)))
}

/// Deletes a job
///
/// A running job is cancelled; the result of a finished one is deleted.
#[utoipa::path(
    delete, path = "/v1/valuations/jobs/{id}", operation_id = "end_job", tag = "valuations",
    params(("id" = String, Path, description = "The job")),
    responses((status = 204, description = "The job is deleted"), JobProblems)
)]
pub(crate) async fn delete_job(
    Extracted(state): Extracted<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let (id, _) = find(&state, id)?;
    state.jobs().remove(id);
    Ok(StatusCode::NO_CONTENT)
}

/// Downloads the result of a job
///
/// It may be downloaded again until the job is deleted.
#[utoipa::path(
    get, path = "/v1/valuations/jobs/{id}/result", operation_id = "get_result", tag = "valuations",
    params(("id" = String, Path, description = "The job")),
    responses(
        (
            status = 200, description = "The workbook with prices", body = inline(WorkbookFile),
            content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            headers(("Content-Disposition" = String, description = "The file name"))
        ),
        ResultProblems
    )
)]
pub(crate) async fn get_result(
    Extracted(state): Extracted<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let (_, entry) = find(&state, id)?;
    let file = match &*entry.outcome() {
        Some(Ok(file)) => Arc::clone(file),
        Some(Err(problem)) => {
            let detail = format!("the job failed: {}", problem.details().detail);
            return Err(Problem::Conflict { detail });
        }
        None => return Err(Problem::Conflict { detail: "the job is still running".to_owned() }),
    };
    attachment(&valued_disposition(&entry.file_name), media_type(&entry.file_name), file).await
}

fn find(state: &State, id: Result<Path<String>, PathRejection>) -> Result<(Uuid, Arc<JobEntry>), Problem> {
    let id = id.ok().and_then(|Path(id)| Uuid::parse_str(&id).ok()).ok_or_else(Problem::unknown_job)?;
    let entry = state.jobs().get(id).ok_or_else(Problem::unknown_job)?;
    Ok((id, entry))
}

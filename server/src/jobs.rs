//! Workbooks that are too long to wait for: sent once, asked after, fetched when they are done.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State as Extracted};
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::body::Admitted;
use crate::budget::{Budget, Caller, Share};
use crate::content::{Content, Room};
use crate::problem::document::{OfJob, OfResult, OfWorkbook};
use crate::problem::{Problem, ProblemDetails};
use crate::state::State;
use crate::upload::{self, WorkbookForm};
use crate::valuations::workbook::{Work, WorkbookFile, attachment, valued_name};

/// How long a result is kept.
const KEPT: Duration = Duration::from_hours(1);
/// The most jobs of all callers, of which one may have half. A new one takes the place of the caller's own that was begun
/// first of those that are finished.
const MAX_JOBS: u64 = 128;

/// The jobs of this server. They end with it.
#[derive(Debug)]
pub(crate) struct Jobs {
    /// Each with the place that it takes.
    by_id: Mutex<HashMap<Uuid, (Arc<Entry>, Share)>>,
    places: Arc<Budget>,
}

#[derive(Debug)]
struct Entry {
    caller: Caller,
    name: String,
    created_at: DateTime<Utc>,
    valued: Arc<AtomicU64>,
    abandoned: Arc<AtomicBool>,
    outcome: Mutex<Option<Result<Arc<Content>, Problem>>>,
}

/// A workbook that is being valued, or was.
#[derive(Debug, Serialize, ToSchema)]
#[schema(example = json!({
    "id": "0198c0de-1b7f-4c55-9f3e-0a8f5a1c2d3e", "state": "done", "file": "cars.xlsx", "valued": 99_812,
    "created_at": "2026-11-22T09:30:00Z", "result": "/v1/valuations/jobs/0198c0de-1b7f-4c55-9f3e-0a8f5a1c2d3e/result",
    "error": null
}))]
pub(crate) struct Job {
    /// Its address is `/v1/valuations/jobs/{id}`.
    id: String,
    /// `running`, `done` or `failed`.
    state: &'static str,
    /// The name of the workbook.
    file: String,
    /// How many rows have a price so far.
    valued: u64,
    /// When it was sent.
    created_at: DateTime<Utc>,
    /// Where the workbook with prices is, for an hour; null before it is done.
    result: Option<String>,
    /// Why it failed; null unless it did.
    error: Option<ProblemDetails>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { by_id: Mutex::default(), places: Budget::new(MAX_JOBS) }
    }
}

impl Jobs {
    fn add(&self, entry: Arc<Entry>) -> Result<Uuid, Problem> {
        let mut place = self.places.share(entry.caller);
        if place.grow(1).is_err() {
            self.remove_oldest_finished(entry.caller);
            place.grow(1).map_err(|_| Problem::Overloaded)?;
        }
        // Whoever knows the id may fetch the result, so nobody must guess it.
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        self.lock().insert(id, (entry, place));
        Ok(id)
    }

    /// Refuses a caller for whose job there would be no place now.
    fn check_room(&self, caller: Caller) -> Result<(), Problem> {
        if self.places.has_room(caller, 1) || self.oldest_finished(caller).is_some() {
            Ok(())
        } else {
            Err(Problem::Overloaded)
        }
    }

    /// Removes the job of a caller that was begun first of those that are finished; false when there is none.
    pub(crate) fn remove_oldest_finished(&self, caller: Caller) -> bool {
        let oldest = self.oldest_finished(caller);
        oldest.is_some_and(|id| self.lock().remove(&id).is_some())
    }

    fn oldest_finished(&self, caller: Caller) -> Option<Uuid> {
        let jobs = self.lock();
        let finished = jobs.iter().filter(|(_, (entry, _))| entry.caller == caller && entry.outcome().is_some());
        finished.min_by_key(|(_, (entry, _))| entry.created_at).map(|(id, _)| *id)
    }

    fn find(&self, id: Result<Path<String>, PathRejection>) -> Result<(Uuid, Arc<Entry>), Problem> {
        let id = id.ok().and_then(|Path(id)| Uuid::parse_str(&id).ok()).ok_or_else(no_job)?;
        self.lock().get(&id).map(|(entry, _)| (id, Arc::clone(entry))).ok_or_else(no_job)
    }

    fn remove(&self, id: Uuid) {
        if let Some((entry, _)) = self.lock().remove(&id) {
            entry.abandoned.store(true, Ordering::Relaxed);
        }
    }

    /// A panic leaves the map whole: nothing is done within that could.
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, (Arc<Entry>, Share)>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn outcome(&self) -> MutexGuard<'_, Option<Result<Arc<Content>, Problem>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn describe(&self, id: Uuid) -> Job {
        let (state, result, error) = match &*self.outcome() {
            None => ("running", None, None),
            Some(Ok(_)) => ("done", Some(format!("/v1/valuations/jobs/{id}/result")), None),
            Some(Err(problem)) => ("failed", None, Some(problem.details())),
        };
        let valued = self.valued.load(Ordering::Relaxed);
        Job { id: id.to_string(), state, file: self.name.clone(), valued, created_at: self.created_at, result, error }
    }
}

/// No job has this id.
pub(crate) fn no_job() -> Problem {
    Problem::NotFound { detail: "there is no such job; it may have been removed, or an hour has passed".to_owned() }
}

/// Values a workbook while its sender does something else
///
/// For workbooks of many rows. The answer comes at once and names the job in `Location`: ask there how far it is, and
/// fetch `result` when it is done. A result is kept for an hour, unless the same caller has many newer ones; jobs of a
/// server that stops are gone.
#[utoipa::path(
    post, path = "/v1/valuations/jobs", operation_id = "start_job", tag = "valuations",
    request_body(content = WorkbookForm, content_type = "multipart/form-data", description = "The workbook"),
    responses(
        (
            status = 202, description = "The job", body = Job,
            headers(("Location" = String, description = "Where to ask after it"))
        ),
        OfWorkbook
    )
)]
pub(crate) async fn start_job(
    Extracted(state): Extracted<State>,
    request: Request,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<Job>), Problem> {
    let served = state.engine().served()?;
    let caller = Admitted::of(&request)?.caller;
    state.jobs().check_room(caller)?;
    // What the caller's finished jobs keep must not be in the way of his next one.
    if !state.disk().has_room(caller, state.config().max_upload_bytes as u64) {
        state.jobs().remove_oldest_finished(caller);
    }
    let upload = upload::read(&state, request).await?;
    let abandoned = Arc::new(AtomicBool::new(false));
    let work = Work::new(&state, caller, served, Arc::clone(&abandoned));
    let entry = Arc::new(Entry {
        caller,
        name: upload.name.clone(),
        created_at: Utc::now(),
        valued: Arc::clone(&work.valued),
        abandoned,
        outcome: Mutex::new(None),
    });
    let id = state.jobs().add(Arc::clone(&entry))?;
    let job = entry.describe(id);
    tokio::spawn(async move {
        let room = Room::of_job(&state, caller);
        let place = state.engine().bulk.wait(caller);
        let outcome = place.run(upload.inflated, move || work.value(&upload, room)).await;
        *entry.outcome() = Some(outcome.map(Arc::new));
        drop(entry);
        tokio::time::sleep(KEPT).await;
        state.jobs().remove(id);
    });
    Ok((StatusCode::ACCEPTED, [(LOCATION, format!("/v1/valuations/jobs/{id}"))], Json(job)))
}

/// Tells how far a job is
///
/// Ask again every second or so while its state is `running`.
#[utoipa::path(
    get, path = "/v1/valuations/jobs/{id}", operation_id = "get_job", tag = "valuations",
    params(("id" = String, Path, description = "The job", example = "0198c0de-1b7f-4c55-9f3e-0a8f5a1c2d3e")),
    responses((status = 200, description = "The job", body = Job), OfJob)
)]
pub(crate) async fn get_job(
    Extracted(state): Extracted<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<Job>, Problem> {
    let (id, entry) = state.jobs().find(id)?;
    Ok(Json(entry.describe(id)))
}

/// Removes a job
///
/// What it has not done yet is given up, and its result is gone.
#[utoipa::path(
    delete, path = "/v1/valuations/jobs/{id}", operation_id = "end_job", tag = "valuations",
    params(("id" = String, Path, description = "The job", example = "0198c0de-1b7f-4c55-9f3e-0a8f5a1c2d3e")),
    responses((status = 204, description = "It is gone"), OfJob)
)]
pub(crate) async fn end_job(
    Extracted(state): Extracted<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Problem> {
    let (id, _) = state.jobs().find(id)?;
    state.jobs().remove(id);
    Ok(StatusCode::NO_CONTENT)
}

/// Fetches the workbook of a job
///
/// May be fetched again until the job is removed.
#[utoipa::path(
    get, path = "/v1/valuations/jobs/{id}/result", operation_id = "get_result", tag = "valuations",
    params(("id" = String, Path, description = "The job", example = "0198c0de-1b7f-4c55-9f3e-0a8f5a1c2d3e")),
    responses(
        (
            status = 200, description = "The workbook with prices", body = inline(WorkbookFile),
            content_type = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            headers(("Content-Disposition" = String, description = "The name to save it under"))
        ),
        OfResult
    )
)]
pub(crate) async fn get_result(
    Extracted(state): Extracted<State>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Problem> {
    let (_, entry) = state.jobs().find(id)?;
    let content = match &*entry.outcome() {
        Some(Ok(content)) => Arc::clone(content),
        Some(Err(problem)) => {
            let detail = format!("the job failed, so there is no result: {}", problem.details().detail);
            return Err(Problem::Conflict { detail });
        }
        None => return Err(Problem::Conflict { detail: "the job is still running: ask for its state".to_owned() }),
    };
    attachment(&valued_name(&entry.name), content).await
}

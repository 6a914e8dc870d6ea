//! The data report: what there is to know of the listings before any model is trained on them.

use axum::extract::{Query, State as Extracted};
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};

use crate::http::problem::Problem;
use crate::http::problem::openapi::ReportProblems;
use crate::http::query::TaskQuery;
use crate::serving::prices::in_time;
use crate::state::State;

/// Returns the data report
///
/// What `probeg explore` writes: one HTML file, in both languages, on the listings of a task. The first request begins to create it,
/// which takes seconds, and returns 202. When listings have been added it is created again, at most every five minutes; meanwhile the
/// older one is returned. The page `/data` shows it.
#[utoipa::path(
    get, path = "/v1/report", operation_id = "get_report", tag = "market", params(TaskQuery),
    responses(
        (status = 200, description = "The report", content_type = "text/html", body = String),
        (status = 202, description = "The report is being created: ask again in a second"),
        ReportProblems
    )
)]
pub(crate) async fn get_report(
    Extracted(state): Extracted<State>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response, Problem> {
    let query = TaskQuery::read(&pairs).map_err(Problem::Invalid)?;
    let task = state.engine().models.slot(query.task.as_deref())?.task.clone();
    let database = in_time(state.database_of(&task.market)).await?;
    let Some(page) = state.reports().of(&database, &task, state.today()).await? else {
        return Ok((StatusCode::ACCEPTED, [(RETRY_AFTER, "1")]).into_response());
    };
    let headers = [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, report::POLICY),
    ];
    Ok((headers, page).into_response())
}

//! The problems of each operation in the OpenAPI document, by status, with real examples.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Language;
use utoipa::IntoResponses;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::fields::{FieldError, FieldErrors};
use super::{PROBLEM_JSON, Problem};

/// The problems of a valuation from JSON.
pub(crate) struct ListingProblems;
/// The problems of a valuation of a workbook.
pub(crate) struct WorkbookProblems;
/// The problems of a job.
pub(crate) struct JobProblems;
/// The problems of the result of a job.
pub(crate) struct ResultProblems;
/// The problems of the vocabulary.
pub(crate) struct VocabularyProblems;
/// The problems of suggestions.
pub(crate) struct SuggestionProblems;
/// The problems of versions.
pub(crate) struct VersionProblems;
/// The problems of the prices of a market.
pub(crate) struct MarketProblems;
/// The problems of the data report.
pub(crate) struct ReportProblems;
/// The problems of the template.
pub(crate) struct TemplateProblems;
/// The problems of a list of one task.
pub(crate) struct TaskProblems;
/// The problems of the list of runs.
pub(crate) struct RunListProblems;
/// The problems of the list of sweeps.
pub(crate) struct SweepListProblems;
/// The problems of what served at a time.
pub(crate) struct ServedProblems;
/// The problems of the figures of a run.
pub(crate) struct FigureProblems;
/// The problems of the tasks, which are in memory.
pub(crate) struct LookupProblems;
/// The problems of the champion of a task.
pub(crate) struct ChampionProblems;
/// The problems of one record read from the database.
pub(crate) struct ItemProblems;
/// The problems of a promotion.
pub(crate) struct PromotionProblems;
/// The problems of a rollback.
pub(crate) struct RollbackProblems;
/// The problems of the readiness check.
pub(crate) struct ReadinessProblems;
/// The problems of the metrics.
pub(crate) struct MetricsProblems;

impl IntoResponses for ListingProblems {
    fn responses() -> Responses {
        let malformed = Problem::MalformedJson { detail: "expected `,` or `}` at line 3 column 5".to_owned() };
        let limit = Problem::TooLarge { limit: 1 << 20 };
        let media_type = Problem::UnsupportedMediaType { expected: "application/json" };
        describe(&[malformed, TOO_SLOW, limit, media_type, out_of_range()], &[API, MODEL])
    }
}

impl IntoResponses for WorkbookProblems {
    fn responses() -> Responses {
        let malformed = Problem::MalformedForm { detail: "the form ends before its last part does".to_owned() };
        let limit = Problem::TooLarge { limit: 32 << 20 };
        let media_type = Problem::UnsupportedMediaType { expected: "multipart/form-data" };
        let missing = Problem::missing_file();
        let rows = Problem::TableTooLarge { detail: "cars.xlsx: it has more than 200000 rows".to_owned() };
        let table = Problem::UnreadableTable {
            detail:
                "cars.xlsx: missing required column mileage (accepted headers: mileage / пробег); the headers found in \
                     the first 100 rows are brand, year"
                    .to_owned(),
        };
        describe(&[malformed, TOO_SLOW, limit, rows, media_type, missing, table], &[API, MODEL])
    }
}

impl IntoResponses for JobProblems {
    fn responses() -> Responses {
        describe(&[Problem::unknown_job()], &[API])
    }
}

impl IntoResponses for ResultProblems {
    fn responses() -> Responses {
        let unfinished = Problem::Conflict { detail: "the job is still running".to_owned() };
        describe(&[Problem::unknown_job(), unfinished], &[API])
    }
}

impl IntoResponses for VocabularyProblems {
    fn responses() -> Responses {
        let detail = "brand \"toyotta\" is not known; did you mean \"toyota\"?".to_owned();
        let parameter = FieldError::unknown_parameter("make");
        describe(&[Problem::NotFound { detail }, Problem::invalid(parameter)], &[API, &[Problem::NoModel]])
    }
}

impl IntoResponses for SuggestionProblems {
    fn responses() -> Responses {
        let msg = "field must be brand, model or vehicle_generation (got \"color\")".to_owned();
        describe(&[Problem::invalid(FieldError::in_query("field", msg, "unknown_field"))], &[API, &[Problem::NoModel]])
    }
}

impl IntoResponses for VersionProblems {
    fn responses() -> Responses {
        let msg = "model is required and is missing".to_owned();
        describe(&[Problem::invalid(FieldError::in_query("model", msg, "missing"))], &[API, &[Problem::NoModel]])
    }
}

impl IntoResponses for MarketProblems {
    fn responses() -> Responses {
        let missing = Problem::NotFound { detail: "there are no listings of kai; see /v1/market".to_owned() };
        let page = "page must be a whole number from 1 to 50 (got \"0\")".to_owned();
        let page = Problem::invalid(FieldError::in_query("page", page, "out_of_range"));
        describe(&[missing, page, Problem::DatabaseAway], &[API, &[Problem::NoModel]])
    }
}

impl IntoResponses for ReportProblems {
    fn responses() -> Responses {
        let missing = "there are no listings to explore: import some with `probeg import FILE`".to_owned();
        describe(
            &[Problem::NotFound { detail: missing }, unknown_task(), Problem::DatabaseAway],
            &[API, &[Problem::NoModel]],
        )
    }
}

impl IntoResponses for TemplateProblems {
    fn responses() -> Responses {
        describe(&[], &[API])
    }
}

impl IntoResponses for RunListProblems {
    fn responses() -> Responses {
        let msg = "limit must be a number between 1 and 10000".to_owned();
        describe(&[Problem::invalid(FieldError::in_query("limit", msg, "out_of_range")), Problem::DatabaseAway], &[API])
    }
}

impl IntoResponses for SweepListProblems {
    fn responses() -> Responses {
        describe(&[Problem::DatabaseAway], &[API])
    }
}

impl IntoResponses for ServedProblems {
    fn responses() -> Responses {
        let missing = "no version of the task price was served at 2026-11-24 14:05:00 UTC".to_owned();
        let msg = "at must be a time such as 2026-11-24T14:05 (UTC) or 2026-11-24T17:05:00+03:00".to_owned();
        let time = Problem::invalid(FieldError::in_query("at", msg, "not_a_time"));
        describe(&[Problem::NotFound { detail: missing }, time, unknown_task(), Problem::DatabaseAway], &[API])
    }
}

impl IntoResponses for FigureProblems {
    fn responses() -> Responses {
        let missing = Problem::NotFound { detail: "there is no run 7: see /v1/runs".to_owned() };
        let msg = "points must be a number between 1 and 10000".to_owned();
        let points = Problem::invalid(FieldError::in_query("points", msg, "out_of_range"));
        describe(&[missing, points, Problem::DatabaseAway], &[API])
    }
}

impl IntoResponses for TaskProblems {
    fn responses() -> Responses {
        describe(&[unknown_task(), Problem::DatabaseAway], &[API])
    }
}

impl IntoResponses for LookupProblems {
    fn responses() -> Responses {
        describe(&[], &[API])
    }
}

impl IntoResponses for ChampionProblems {
    fn responses() -> Responses {
        let missing = Problem::NotFound { detail: "there is no model version 7: see /v1/models".to_owned() };
        describe(&[missing, unknown_task(), Problem::DatabaseAway], &[API])
    }
}

fn unknown_task() -> Problem {
    let msg = "there is no task \"gb\"; there are gb-price, price".to_owned();
    Problem::invalid(FieldError::in_query("task", msg, "unknown_task"))
}

impl IntoResponses for ItemProblems {
    fn responses() -> Responses {
        let missing = Problem::NotFound { detail: "there is no model version 7: see /v1/models".to_owned() };
        describe(&[missing, Problem::DatabaseAway], &[API])
    }
}

impl IntoResponses for PromotionProblems {
    fn responses() -> Responses {
        let malformed = Problem::MalformedJson { detail: "expected value at line 1 column 12".to_owned() };
        let missing = Problem::NotFound { detail: "there is no model version 7; see `probeg models list`".to_owned() };
        let limit = Problem::TooLarge { limit: 1 << 20 };
        let media_type = Problem::UnsupportedMediaType { expected: "application/json" };
        let field = Problem::missing_version();
        describe(&[malformed, missing, TOO_SLOW, limit, media_type, field, Problem::DatabaseAway, NO_ROOM], &[ADMIN])
    }
}

impl IntoResponses for RollbackProblems {
    fn responses() -> Responses {
        let detail = "there is nothing to roll back to: no version was champion before the current one".to_owned();
        describe(&[Problem::Conflict { detail }, unknown_task(), Problem::DatabaseAway], &[ADMIN])
    }
}

impl IntoResponses for ReadinessProblems {
    fn responses() -> Responses {
        describe(&[Problem::NoModel, Problem::Stuck, Problem::Draining], &[])
    }
}

impl IntoResponses for MetricsProblems {
    fn responses() -> Responses {
        describe(&[Problem::Internal], &[])
    }
}

type Responses = BTreeMap<String, RefOr<Response>>;

/// The problems of every path of the API.
const API: &[Problem] = &[
    Problem::Unauthorized { admin: false },
    Problem::TooManyRequests { wait: Duration::from_secs(1) },
    TOO_MANY_ATTEMPTS,
    Problem::Internal,
    Problem::TimedOut { seconds: 30 },
];
const ADMIN: &[Problem] = &[
    Problem::Unauthorized { admin: true },
    Problem::AdminOff,
    TOO_MANY_ATTEMPTS,
    Problem::Internal,
    Problem::TimedOut { seconds: 30 },
];
const TOO_MANY_ATTEMPTS: Problem = Problem::TooManyAttempts { wait: Duration::from_secs(1) };
/// The problems of every path that runs the model.
const MODEL: &[Problem] = &[Problem::NoModel, Problem::Overloaded, NO_ROOM];
/// The problems of every request with a body.
const TOO_SLOW: Problem = Problem::TooSlow { seconds: 30 };
const NO_ROOM: Problem = Problem::NoRoom;

fn out_of_range() -> Problem {
    let range = "mileage must be between 0 and 2000000 (got -5)".to_owned();
    let unknown = "milage is not a field of a listing; did you mean mileage?".to_owned();
    let mut errors = FieldErrors::from(FieldError::in_body(&["mileage".into()], range, "out_of_range"));
    errors.push(|| FieldError::in_body(&["milage".into()], unknown, "unknown_field"));
    Problem::Invalid(errors)
}

fn describe(own: &[Problem], shared: &[&[Problem]]) -> Responses {
    let mut by_status: BTreeMap<String, Vec<&Problem>> = BTreeMap::new();
    for problem in own.iter().chain(shared.iter().copied().flatten()) {
        by_status.entry(problem.status().as_str().to_owned()).or_default().push(problem);
    }
    by_status.into_iter().map(|(status, problems)| (status, RefOr::T(response(&problems)))).collect()
}

fn response(problems: &[&Problem]) -> Response {
    let titles: Vec<&str> = problems.iter().map(|problem| problem.title(Language::English)).collect();
    let examples = problems.iter().map(|problem| (problem.kind(), example(problem)));
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name("ProblemDetails")))
        .examples_from_iter(examples)
        .build();
    let mut response = ResponseBuilder::new().description(titles.join(", or: ")).content(PROBLEM_JSON, content);
    let text = || ObjectBuilder::new().schema_type(Type::String);
    if problems.iter().any(|problem| matches!(problem, Problem::Unauthorized { .. })) {
        let header = HeaderBuilder::new().schema(Some(text())).description(Some("How to authenticate"));
        response = response.header("WWW-Authenticate", header.build());
    }
    if problems.iter().any(|problem| problem.retry_after().is_some()) {
        let header = HeaderBuilder::new().schema(Some(text())).description(Some("Seconds to wait before retrying"));
        response = response.header("Retry-After", header.build());
    }
    response.build()
}

fn example(problem: &Problem) -> Example {
    // Plain structs of texts and numbers always serialize.
    let value = serde_json::to_value(problem.details()).ok();
    ExampleBuilder::new().summary(problem.title(Language::English)).value(value).build()
}

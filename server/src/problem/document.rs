//! The problems in the document: each status of an operation with real examples.

use std::collections::BTreeMap;
use std::time::Duration;

use utoipa::IntoResponses;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::{FieldError, FieldErrors, PROBLEM_JSON, Problem};

/// What a valuation from JSON may be refused for.
pub(crate) struct OfListing;
/// What a valuation of a workbook may be refused for.
pub(crate) struct OfWorkbook;
/// What a job may be refused for.
pub(crate) struct OfJob;
/// What a result may be refused for.
pub(crate) struct OfResult;
/// What a read that needs the model may be refused for.
pub(crate) struct OfVocabulary;
/// What the template may be refused for.
pub(crate) struct OfTemplate;
/// What a read of a list in the database may be refused for.
pub(crate) struct OfList;
/// What a read of one thing in the database may be refused for.
pub(crate) struct OfItem;
/// What a change of the champion may be refused for.
pub(crate) struct OfPromotion;
/// What a rollback may be refused for.
pub(crate) struct OfRollback;
/// What readiness may be refused for.
pub(crate) struct OfReadiness;
/// What the figures may be refused for.
pub(crate) struct OfMetrics;

impl IntoResponses for OfListing {
    fn responses() -> Responses {
        let malformed = Problem::MalformedJson { detail: "expected `,` or `}` at line 3 column 5".to_owned() };
        let limit = Problem::TooLarge { limit: 1 << 20 };
        let media_type = Problem::UnsupportedMediaType { expected: "application/json" };
        describe(&[malformed, limit, media_type, out_of_range()], &[API, MODEL])
    }
}

impl IntoResponses for OfWorkbook {
    fn responses() -> Responses {
        let malformed = Problem::MalformedForm { detail: "the form ends before its last part does".to_owned() };
        let limit = Problem::TooLarge { limit: 32 << 20 };
        let media_type = Problem::UnsupportedMediaType { expected: "multipart/form-data" };
        let missing = crate::upload::missing_file();
        let rows = Problem::TableTooLarge { detail: "cars.xlsx: it has more than 200000 rows".to_owned() };
        let table = Problem::UnreadableTable {
            detail: "cars.xlsx: no column for mileage (its header may be mileage / пробег); the headers found are \
                     brand, year"
                .to_owned(),
        };
        describe(&[malformed, Problem::TooSlow { seconds: 30 }, limit, rows, media_type, missing, table], &[API, MODEL])
    }
}

impl IntoResponses for OfJob {
    fn responses() -> Responses {
        describe(&[crate::jobs::no_job()], &[API])
    }
}

impl IntoResponses for OfResult {
    fn responses() -> Responses {
        let unfinished = Problem::Conflict { detail: "the job is still running: ask for its state".to_owned() };
        describe(&[crate::jobs::no_job(), unfinished], &[API])
    }
}

impl IntoResponses for OfVocabulary {
    fn responses() -> Responses {
        let detail = "brand \"toyotta\" is not known; did you mean \"toyota\"?".to_owned();
        let parameter = crate::valuations::query::unknown_parameter("make");
        describe(&[Problem::NotFound { detail }, Problem::invalid(parameter)], &[API, &[Problem::NoModel]])
    }
}

impl IntoResponses for OfTemplate {
    fn responses() -> Responses {
        describe(&[Problem::Overloaded], &[API])
    }
}

impl IntoResponses for OfList {
    fn responses() -> Responses {
        describe(&[Problem::DatabaseAway], &[API])
    }
}

impl IntoResponses for OfItem {
    fn responses() -> Responses {
        let missing = Problem::NotFound { detail: "there is no model version 7: see /v1/models".to_owned() };
        describe(&[missing, Problem::DatabaseAway], &[API])
    }
}

impl IntoResponses for OfPromotion {
    fn responses() -> Responses {
        let malformed = Problem::MalformedJson { detail: "expected value at line 1 column 12".to_owned() };
        let missing = Problem::NotFound { detail: "there is no model version 7: see `probeg models list`".to_owned() };
        let limit = Problem::TooLarge { limit: 1 << 20 };
        let media_type = Problem::UnsupportedMediaType { expected: "application/json" };
        let field = crate::models::version_needed();
        describe(&[malformed, missing, limit, media_type, field, Problem::DatabaseAway], &[ADMIN])
    }
}

impl IntoResponses for OfRollback {
    fn responses() -> Responses {
        let detail = "there is nothing to roll back to: no version served before the present one".to_owned();
        describe(&[Problem::Conflict { detail }, Problem::DatabaseAway], &[ADMIN])
    }
}

impl IntoResponses for OfReadiness {
    fn responses() -> Responses {
        describe(&[Problem::NoModel, Problem::Stuck, Problem::Draining], &[])
    }
}

impl IntoResponses for OfMetrics {
    fn responses() -> Responses {
        describe(&[Problem::Internal], &[])
    }
}

type Responses = BTreeMap<String, RefOr<Response>>;

/// What any path of the API may be refused for.
const API: &[Problem] = &[
    Problem::Unauthorized { admin: false },
    Problem::TooManyRequests { wait: Duration::from_secs(1) },
    Problem::Internal,
    Problem::TimedOut { seconds: 30 },
];
const ADMIN: &[Problem] =
    &[Problem::Unauthorized { admin: true }, Problem::AdminOff, Problem::Internal, Problem::TimedOut { seconds: 30 }];
/// What a computation may be refused for.
const MODEL: &[Problem] = &[Problem::NoModel, Problem::Overloaded];

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
    let titles: Vec<&str> = problems.iter().map(|problem| problem.kind().1).collect();
    let examples = problems.iter().map(|problem| (problem.kind().0, example(problem)));
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
        let header = HeaderBuilder::new().schema(Some(text())).description(Some("Seconds to wait before coming back"));
        response = response.header("Retry-After", header.build());
    }
    response.build()
}

fn example(problem: &Problem) -> Example {
    // Plain structs of texts and numbers always serialize.
    let value = serde_json::to_value(problem.details()).ok();
    ExampleBuilder::new().summary(problem.kind().1).value(value).build()
}

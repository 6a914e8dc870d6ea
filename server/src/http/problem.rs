//! Errors as problem details (RFC 9457): a closed list, and its conversion to responses.

pub(crate) mod fields;
pub(crate) mod openapi;

use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::Language;
use domain::message::{self, Argument, Topic};
use serde::Serialize;
use utoipa::ToSchema;

use fields::FieldErrorSchema;
pub(crate) use fields::{FieldError, FieldErrors, Location, MAX_ERRORS, both};

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Every reason to refuse a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Problem {
    /// The body is not valid JSON; the detail has the position.
    MalformedJson { detail: String },
    /// The request violates HTTP; the detail says how.
    BadRequest { detail: String },
    /// The body is not a multipart form.
    MalformedForm { detail: String },
    /// The API key or token is missing or wrong.
    Unauthorized { admin: bool },
    /// No admin token is configured, so changes are disabled.
    AdminOff,
    /// Not found; the detail says what.
    NotFound { detail: String },
    /// The path exists for other methods.
    MethodNotAllowed,
    /// The current state does not allow the change.
    Conflict { detail: String },
    /// The body is larger than the limit in bytes.
    TooLarge { limit: usize },
    /// The table exceeds a limit; the detail says which.
    TableTooLarge { detail: String },
    /// The media type of the body is not supported.
    UnsupportedMediaType { expected: &'static str },
    /// Fields of the body or the query are invalid.
    Invalid(FieldErrors),
    /// The file cannot be read as a table of cars.
    UnreadableTable { detail: String },
    /// An internal error, with its cause in the log.
    Internal,
    /// No model has been promoted yet.
    NoModel,
    /// The API key has exceeded its rate limit.
    TooManyRequests { wait: Duration },
    /// Too many wrong keys were sent from the address.
    TooManyAttempts { wait: Duration },
    /// The queue is full.
    Overloaded,
    /// The memory or disk budget for bodies and files is used up, by this caller or by all.
    NoRoom,
    /// An inference thread hangs.
    Stuck,
    /// The server is about to stop.
    Draining,
    /// The client sent the body too slowly.
    TooSlow { seconds: u64 },
    /// The request timed out.
    TimedOut { seconds: u64 },
    /// The database is unavailable.
    DatabaseAway,
}

/// Problem details (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ProblemDetails {
    /// A stable identifier of the kind of problem.
    #[schema(example = "urn:probeg:problem:invalid-fields")]
    pub(crate) r#type: String,
    /// The last part of it.
    #[schema(example = "invalid-fields")]
    pub(crate) code: &'static str,
    /// A short summary of the kind of problem, in the language of `Accept-Language`: English or Russian.
    #[schema(example = "Some fields are invalid")]
    pub(crate) title: &'static str,
    /// The HTTP status.
    #[schema(example = 422, minimum = 400, maximum = 599)]
    pub(crate) status: u16,
    /// What is wrong, and how to fix it.
    #[schema(example = "mileage must be between 0 and 2000000")]
    pub(crate) detail: String,
    /// The errors by field, at most 50.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<FieldErrorSchema>, required = false)]
    pub(crate) errors: Vec<FieldError>,
    /// How many more errors there are; absent if `errors` lists all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, minimum = 1, example = 12)]
    pub(crate) errors_omitted: Option<usize>,
}

impl Problem {
    /// A single invalid field.
    pub(crate) fn invalid(error: FieldError) -> Self {
        Self::Invalid(error.into())
    }

    /// The form has no file.
    pub(crate) fn missing_file() -> Self {
        let msg = "the form must have a field `file` with an .xlsx workbook".to_owned();
        Self::invalid(FieldError::in_body(&["file".into()], msg, "missing"))
    }

    /// No job has this id.
    pub(crate) fn unknown_job() -> Self {
        Self::NotFound {
            detail: "the job does not exist; it may have been removed or expired after an hour".to_owned(),
        }
    }

    /// The body does not name a version.
    pub(crate) fn missing_version() -> Self {
        let msg = "the body must be an object whose only field is version, a positive integer".to_owned();
        Self::invalid(FieldError::in_body(&["version".into()], msg, "missing"))
    }

    /// An internal error. The cause is logged here and not disclosed to the client.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "A request failed.");
        Self::Internal
    }

    /// The problem for a database error.
    pub(crate) fn from_storage(error: &storage::Error) -> Self {
        match error {
            storage::Error::NoModel(_) | storage::Error::NoRun(_) => Self::NotFound { detail: error.to_string() },
            storage::Error::NoEarlierChampion => Self::Conflict { detail: error.to_string() },
            error if error.is_unavailable() => Self::DatabaseAway,
            error => Self::internal(error),
        }
    }

    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest { .. } | Self::MalformedJson { .. } | Self::MalformedForm { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::Unauthorized { .. } => StatusCode::UNAUTHORIZED,
            Self::AdminOff => StatusCode::FORBIDDEN,
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict { .. } => StatusCode::CONFLICT,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::TooLarge { .. } | Self::TableTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid(_) | Self::UnreadableTable { .. } => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyRequests { .. } | Self::TooManyAttempts { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::NoModel
            | Self::Overloaded
            | Self::NoRoom
            | Self::Stuck
            | Self::Draining
            | Self::TimedOut { .. }
            | Self::DatabaseAway => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The last part of `type`.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::BadRequest { .. } => "bad-request",
            Self::MalformedJson { .. } => "malformed-json",
            Self::MalformedForm { .. } => "malformed-form",
            Self::Unauthorized { .. } => "unauthorized",
            Self::AdminOff => "admin-off",
            Self::NotFound { .. } => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::Conflict { .. } => "conflict",
            Self::TooLarge { .. } => "too-large",
            Self::TableTooLarge { .. } => "table-too-large",
            Self::UnsupportedMediaType { .. } => "unsupported-media-type",
            Self::Invalid(_) => "invalid-fields",
            Self::UnreadableTable { .. } => "unreadable-table",
            Self::Internal => "internal",
            Self::NoModel => "no-model",
            Self::TooManyRequests { .. } => "too-many-requests",
            Self::TooManyAttempts { .. } => "too-many-attempts",
            Self::Overloaded => "overloaded",
            Self::NoRoom => "no-room",
            Self::Stuck => "stuck",
            Self::Draining => "draining",
            Self::TooSlow { .. } => "too-slow",
            Self::TimedOut { .. } => "timed-out",
            Self::DatabaseAway => "database-away",
        }
    }

    /// The code of its messages.
    fn code(&self) -> &'static str {
        match self {
            Self::Unauthorized { admin: true } => "unauthorized-admin",
            problem => problem.kind(),
        }
    }

    /// A short summary of the kind of problem.
    pub(crate) fn title(&self, language: Language) -> &'static str {
        message::template(Topic::Title, self.code(), language)
    }

    fn detail(&self, language: Language) -> String {
        let plain = |text: &str| Argument::Plain(text.to_owned());
        let seconds = |seconds: u64| vec![("seconds", Argument::Plain(seconds.to_string()))];
        let arguments = match self {
            Self::BadRequest { detail }
            | Self::MalformedJson { detail }
            | Self::MalformedForm { detail }
            | Self::NotFound { detail }
            | Self::Conflict { detail }
            | Self::TableTooLarge { detail }
            | Self::UnreadableTable { detail } => vec![("detail", plain(detail))],
            Self::Invalid(errors) => vec![("detail", Argument::Plain(errors.detail(language)))],
            Self::TooLarge { limit } => vec![("limit", Argument::Plain(limit.to_string()))],
            Self::UnsupportedMediaType { expected } => vec![("expected", plain(expected))],
            Self::TooManyRequests { wait } | Self::TooManyAttempts { wait } => seconds(whole_seconds(*wait)),
            Self::TooSlow { seconds: limit } | Self::TimedOut { seconds: limit } => seconds(*limit),
            Self::Unauthorized { .. }
            | Self::AdminOff
            | Self::MethodNotAllowed
            | Self::Internal
            | Self::NoModel
            | Self::Overloaded
            | Self::NoRoom
            | Self::Stuck
            | Self::Draining
            | Self::DatabaseAway => Vec::new(),
        };
        message::text(Topic::Detail, self.code(), &arguments, language)
    }

    /// The `Retry-After` header in seconds, where retrying may help.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests { wait } | Self::TooManyAttempts { wait } => Some(whole_seconds(*wait)),
            Self::Overloaded => Some(1),
            Self::NoModel
            | Self::NoRoom
            | Self::Stuck
            | Self::Draining
            | Self::TimedOut { .. }
            | Self::DatabaseAway => Some(5),
            _ => None,
        }
    }

    /// The body of the response, in English.
    pub(crate) fn details(&self) -> ProblemDetails {
        self.details_in(Language::English)
    }

    /// The body of the response.
    pub(crate) fn details_in(&self, language: Language) -> ProblemDetails {
        let problem = match self {
            Self::Invalid(errors) => &Self::Invalid(errors.clone().in_language(language)),
            problem => problem,
        };
        let errors = if let Self::Invalid(errors) = problem { errors.clone() } else { FieldErrors::default() };
        ProblemDetails {
            r#type: format!("urn:probeg:problem:{}", problem.kind()),
            code: problem.kind(),
            title: problem.title(language),
            status: problem.status().as_u16(),
            detail: problem.detail(language),
            errors_omitted: Some(errors.omitted()).filter(|omitted| *omitted > 0),
            errors: errors.as_slice().to_vec(),
        }
    }
}

/// Writes a refusal in the language that the client prefers, if that is not English.
pub(crate) fn translate(response: Response, language: Language) -> Response {
    let Some(Refusal(problem)) = response.extensions().get::<Refusal>() else { return response };
    if language == Language::English {
        return response;
    }
    let details = axum::Json(problem.details_in(language)).into_response();
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(language.tag()));
    parts.headers.append(VARY, HeaderValue::from_static("accept-language"));
    Response::from_parts(parts, details.into_body())
}

/// The problem behind a response.
#[derive(Clone, Debug)]
struct Refusal(Arc<Problem>);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status(), axum::Json(self.details())).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Self::Unauthorized { .. } = self {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        let is_overload = matches!(
            self,
            Self::Overloaded | Self::NoRoom | Self::TooManyRequests { .. } | Self::TooManyAttempts { .. }
        );
        response.extensions_mut().insert(Refused { kind: self.kind(), is_overload });
        response.extensions_mut().insert(Refusal(Arc::new(self)));
        response
    }
}

/// Marks the response to a refused request, for the log and the metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    /// The last part of the problem's type.
    pub(crate) kind: &'static str,
    /// Whether the request was refused because of overload or a rate limit.
    pub(crate) is_overload: bool,
}

/// The seconds to wait, rounded up, at least one.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(field: usize) -> FieldError {
        FieldError::in_body(&[Location::Index(field)], format!("{field} is wrong"), "wrong")
    }

    #[test]
    fn errors_beyond_the_limit_are_only_counted() {
        let mut errors = FieldErrors::default();
        (0..MAX_ERRORS).for_each(|field| errors.push(|| wrong(field)));
        assert_eq!(Problem::Invalid(errors.clone()).details().errors_omitted, None);
        let mut others = FieldErrors::from(wrong(50));
        others.omit(7);
        errors.append(others);
        let details = Problem::Invalid(errors).details();
        assert_eq!((details.errors.len(), details.errors_omitted), (50, Some(8)));
        let expected = "0 is wrong; 1 is wrong; 2 is wrong; 3 is wrong; 4 is wrong; and 53 more";
        assert_eq!(details.detail, expected);
        let mut few = FieldErrors::with_limit(1);
        (0..9).for_each(|field| few.push(|| wrong(field)));
        let details = Problem::Invalid(few).details();
        assert_eq!((details.errors, details.errors_omitted), (vec![wrong(0)], Some(8)));
        assert_eq!(details.detail, "0 is wrong; and 8 more");
    }

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!([0, 1, 999, 1000, 1001].map(|ms| whole_seconds(Duration::from_millis(ms))), [1, 1, 1, 1, 2]);
    }
}

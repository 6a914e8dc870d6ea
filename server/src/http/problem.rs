//! Errors as problem details (RFC 9457): a closed list, and its conversion to responses.

pub(crate) mod fields;
pub(crate) mod openapi;

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

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
    /// A short summary of the kind of problem.
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
    #[schema(required = false)]
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

    /// The last part of `type`, and the title.
    pub(crate) fn kind(&self) -> (&'static str, &'static str) {
        match self {
            Self::BadRequest { .. } => ("bad-request", "The request is not valid HTTP"),
            Self::MalformedJson { .. } => ("malformed-json", "The body is not JSON"),
            Self::MalformedForm { .. } => ("malformed-form", "The body is not a valid form"),
            Self::Unauthorized { admin: false } => ("unauthorized", "An API key is required"),
            Self::Unauthorized { admin: true } => ("unauthorized", "The admin token is required"),
            Self::AdminOff => ("admin-off", "Changes are disabled"),
            Self::NotFound { .. } => ("not-found", "Not found"),
            Self::MethodNotAllowed => ("method-not-allowed", "Method not allowed"),
            Self::Conflict { .. } => ("conflict", "Conflict with the current state"),
            Self::TooLarge { .. } => ("too-large", "The body is too large"),
            Self::TableTooLarge { .. } => ("table-too-large", "The table is too large"),
            Self::UnsupportedMediaType { .. } => ("unsupported-media-type", "The media type is not supported"),
            Self::Invalid(_) => ("invalid-fields", "Some fields are invalid"),
            Self::UnreadableTable { .. } => ("unreadable-table", "The table cannot be valued"),
            Self::Internal => ("internal", "Internal error"),
            Self::NoModel => ("no-model", "No model is available yet"),
            Self::TooManyRequests { .. } => ("too-many-requests", "The rate limit of the key is exceeded"),
            Self::TooManyAttempts { .. } => ("too-many-attempts", "Too many wrong keys or tokens"),
            Self::Overloaded => ("overloaded", "Too many requests are waiting"),
            Self::NoRoom => ("no-room", "Uploads and results are using all available space"),
            Self::Stuck => ("stuck", "The server is stuck"),
            Self::Draining => ("draining", "The server is shutting down"),
            Self::TooSlow { .. } => ("too-slow", "The body was sent too slowly"),
            Self::TimedOut { .. } => ("timed-out", "The request timed out"),
            Self::DatabaseAway => ("database-away", "The database is unavailable"),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::BadRequest { detail }
            | Self::MalformedJson { detail }
            | Self::MalformedForm { detail }
            | Self::NotFound { detail }
            | Self::Conflict { detail }
            | Self::TableTooLarge { detail }
            | Self::UnreadableTable { detail } => detail.clone(),
            Self::Unauthorized { admin: false } => {
                "send one of the API keys as `X-API-Key: KEY` or `Authorization: Bearer KEY`".to_owned()
            }
            Self::Unauthorized { admin: true } => "send the admin token as `Authorization: Bearer TOKEN`".to_owned(),
            Self::AdminOff => {
                "the server has no PROBEG_ADMIN_TOKEN, so only the command `probeg models promote` can change the champion"
                    .to_owned()
            }
            Self::MethodNotAllowed => "see the Allow header or /docs".to_owned(),
            Self::TooLarge { limit } => format!("this path accepts at most {limit} bytes"),
            Self::UnsupportedMediaType { expected } => format!("send it with `Content-Type: {expected}`"),
            Self::Invalid(errors) => errors.detail(),
            Self::Internal => "the cause is in the server's log under the x-request-id of this response".to_owned(),
            Self::NoModel => "train one with `probeg train --promote`; the server will load it automatically".to_owned(),
            Self::TooManyRequests { wait } => format!("try again in {} s", whole_seconds(*wait)),
            Self::TooManyAttempts { wait } => {
                format!("too many wrong keys or tokens were sent from your address; try again in {} s", whole_seconds(*wait))
            }
            Self::Overloaded => "try again in a second".to_owned(),
            Self::NoRoom => {
                "the space for uploads and results is used up; send fewer requests at a time, or try again later"
                    .to_owned()
            }
            Self::Stuck => "an inference thread hangs; restart the server".to_owned(),
            Self::Draining => "use another server; this one is finishing its last requests".to_owned(),
            Self::TooSlow { seconds } => {
                format!("the body stalled for {seconds} seconds or was slower than 1 KiB/s")
            }
            Self::TimedOut { seconds } => format!("there was no response within {seconds} seconds"),
            Self::DatabaseAway => "try again later; valuations still work".to_owned(),
        }
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

    /// The body of the response.
    pub(crate) fn details(&self) -> ProblemDetails {
        let (kind, title) = self.kind();
        let errors = if let Self::Invalid(errors) = self { errors.clone() } else { FieldErrors::default() };
        ProblemDetails {
            r#type: format!("urn:probeg:problem:{kind}"),
            title,
            status: self.status().as_u16(),
            detail: self.detail(),
            errors_omitted: Some(errors.omitted()).filter(|omitted| *omitted > 0),
            errors: errors.as_slice().to_vec(),
        }
    }
}

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
        response.extensions_mut().insert(Refused { kind: self.kind().0, is_overload });
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

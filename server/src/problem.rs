//! Errors as problems (RFC 9457): one closed list, and the one place that turns it into HTTP.

pub(crate) mod document;

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::keys::whole_seconds;
use crate::middleware::Refused;

/// The media type of a problem.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// Everything that a request may be refused for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Problem {
    /// The body is no JSON; the detail says where.
    MalformedJson { detail: String },
    /// The request's head breaks a rule of HTTP; the detail says which.
    BadRequest { detail: String },
    /// The body is no form with parts.
    MalformedForm { detail: String },
    /// No key or token came with the request, or a wrong one.
    Unauthorized { admin: bool },
    /// No admin token is set up, so nobody may change anything.
    AdminOff,
    /// Nothing is there; the detail says what.
    NotFound { detail: String },
    /// The path exists, for other methods.
    MethodNotAllowed,
    /// The state of the registry does not allow it.
    Conflict { detail: String },
    /// The body is over the limit.
    TooLarge { limit: usize },
    /// The table is over a limit; the detail says over which.
    TableTooLarge { detail: String },
    /// The body is of another media type.
    UnsupportedMediaType { expected: &'static str },
    /// Fields of the body or of the query are wrong.
    Invalid(Vec<FieldError>),
    /// The file is no table that can be valued.
    UnreadableTable { detail: String },
    /// Our own fault. The cause is in the log.
    Internal,
    /// No model was promoted yet.
    NoModel,
    /// The caller's key has used its allowance up.
    TooManyRequests { wait: Duration },
    /// Too many requests wait.
    Overloaded,
    /// Bodies and files of this caller, or of all, take all the room that there is for them.
    NoRoom,
    /// A thread that computes hangs.
    Stuck,
    /// The server is about to stop.
    Draining,
    /// The caller took too long to send the body.
    TooSlow { seconds: u64 },
    /// It took too long.
    TimedOut { seconds: u64 },
    /// The database is away.
    DatabaseAway,
}

/// A problem, as RFC 9457 has it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ProblemDetails {
    /// A stable identifier of the kind of problem.
    #[schema(example = "urn:probeg:problem:invalid-fields")]
    pub(crate) r#type: String,
    /// The kind of problem in words.
    #[schema(example = "Some fields are wrong")]
    pub(crate) title: &'static str,
    /// The HTTP status.
    #[schema(example = 422, minimum = 400, maximum = 599)]
    pub(crate) status: u16,
    /// What went wrong this time, and what to do about it.
    #[schema(example = "mileage must be between 0 and 2000000")]
    pub(crate) detail: String,
    /// What is wrong with which field.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) errors: Vec<FieldError>,
}

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Where in the body, as a JSON pointer (RFC 6901); absent for a parameter of the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/mileage", nullable = false)]
    pub(crate) pointer: Option<String>,
    /// The same as a list: `body` or `query`, then names and places.
    #[schema(example = json!(["body", "mileage"]))]
    pub(crate) loc: Vec<Location>,
    /// What is wrong, for people.
    #[schema(example = "mileage must be between 0 and 2000000 (got -5)")]
    pub(crate) msg: String,
    /// What is wrong, for programs.
    #[schema(example = "out_of_range")]
    pub(crate) r#type: &'static str,
}

/// A step on the way to a field.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Location {
    /// The name of a field or parameter.
    Name(String),
    /// The place in a list, counted from 0.
    Place(usize),
}

impl From<&str> for Location {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl FieldError {
    /// A wrong parameter of the query.
    pub(crate) fn in_query(parameter: &str, msg: String, r#type: &'static str) -> Self {
        Self { pointer: None, loc: vec!["query".into(), parameter.into()], msg, r#type }
    }

    /// Whether this is about the place at a path in the body.
    pub(crate) fn is_at(&self, path: &[Location]) -> bool {
        self.pointer.is_some() && self.loc.get(1..) == Some(path)
    }

    /// Something wrong in the body, at a path of names and places.
    pub(crate) fn in_body(path: &[Location], msg: String, r#type: &'static str) -> Self {
        let steps = path.iter().map(|step| match step {
            Location::Name(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Location::Place(place) => format!("/{place}"),
        });
        let loc = std::iter::once("body".into()).chain(path.iter().cloned()).collect();
        Self { pointer: Some(steps.collect()), loc, msg, r#type }
    }
}

impl Problem {
    /// Our own fault: logged here, once, and told without its cause.
    pub(crate) fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "A request failed.");
        Self::Internal
    }

    /// What to tell of a failure of the database.
    pub(crate) fn of_storage(error: &storage::Error) -> Self {
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
            Self::TooManyRequests { .. } => StatusCode::TOO_MANY_REQUESTS,
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
            Self::MalformedForm { .. } => ("malformed-form", "The body is not a form with a file"),
            Self::Unauthorized { admin: false } => ("unauthorized", "An API key is needed"),
            Self::Unauthorized { admin: true } => ("unauthorized", "The admin token is needed"),
            Self::AdminOff => ("admin-off", "Changes are switched off"),
            Self::NotFound { .. } => ("not-found", "There is no such thing"),
            Self::MethodNotAllowed => ("method-not-allowed", "The path takes other methods"),
            Self::Conflict { .. } => ("conflict", "That is not possible now"),
            Self::TooLarge { .. } => ("too-large", "The body is too large"),
            Self::TableTooLarge { .. } => ("table-too-large", "The table is too large"),
            Self::UnsupportedMediaType { .. } => ("unsupported-media-type", "The body is of another type"),
            Self::Invalid(_) => ("invalid-fields", "Some fields are wrong"),
            Self::UnreadableTable { .. } => ("unreadable-table", "The table cannot be valued"),
            Self::Internal => ("internal", "The server failed"),
            Self::NoModel => ("no-model", "There is no model yet"),
            Self::TooManyRequests { .. } => ("too-many-requests", "The key has made too many requests"),
            Self::Overloaded => ("overloaded", "Too many requests are waiting"),
            Self::NoRoom => ("no-room", "Too much is being sent at once"),
            Self::Stuck => ("stuck", "The server hangs"),
            Self::Draining => ("draining", "The server is about to stop"),
            Self::TooSlow { .. } => ("too-slow", "The body came too slowly"),
            Self::TimedOut { .. } => ("timed-out", "It took too long"),
            Self::DatabaseAway => ("database-away", "The database does not answer"),
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
                "the server was started without PROBEG_ADMIN_TOKEN, so the champion can only be changed by the command \
                 `probeg models promote`"
                    .to_owned()
            }
            Self::MethodNotAllowed => "see the header Allow, or /docs".to_owned(),
            Self::TooLarge { limit } => format!("at most {limit} bytes are accepted here"),
            Self::UnsupportedMediaType { expected } => format!("send it with `Content-Type: {expected}`"),
            Self::Invalid(errors) => errors.iter().map(|error| error.msg.as_str()).collect::<Vec<_>>().join("; "),
            Self::Internal => "the cause is in the server's log, beside the x-request-id of this answer".to_owned(),
            Self::NoModel => "train one (`probeg train --promote`); the server takes it up by itself".to_owned(),
            Self::TooManyRequests { wait } => format!("try again in {} s", whole_seconds(*wait)),
            Self::Overloaded => "try again in a second".to_owned(),
            Self::NoRoom => {
                "uploads and results under way take all the room for them; send fewer at a time, or try again later"
                    .to_owned()
            }
            Self::Stuck => "a thread that values cars does not come back; restart the server".to_owned(),
            Self::Draining => "ask another one; this one answers its last requests".to_owned(),
            Self::TooSlow { seconds } => {
                format!("the body was silent for {seconds} seconds, or came more slowly than a kilobyte a second")
            }
            Self::TimedOut { seconds } => format!("no answer within {seconds} seconds"),
            Self::DatabaseAway => "try again later; valuations go on meanwhile".to_owned(),
        }
    }

    /// When to come back, in seconds, where coming back may help.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests { wait } => Some(whole_seconds(*wait)),
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

    /// The body of the answer.
    pub(crate) fn details(&self) -> ProblemDetails {
        let (kind, title) = self.kind();
        let errors = if let Self::Invalid(errors) = self { errors.clone() } else { Vec::new() };
        ProblemDetails {
            r#type: format!("urn:probeg:problem:{kind}"),
            title,
            status: self.status().as_u16(),
            detail: self.detail(),
            errors,
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
        let is_one_too_many = matches!(self, Self::Overloaded | Self::NoRoom | Self::TooManyRequests { .. });
        response.extensions_mut().insert(Refused { kind: self.kind().0, is_one_too_many });
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_escaped() {
        let error = FieldError::in_body(&[Location::Place(3), "a/b~c".into()], String::new(), "unknown_field");
        assert_eq!(error.pointer.as_deref(), Some("/3/a~1b~0c"));
        let loc = serde_json::to_value(error.loc).unwrap();
        assert_eq!(loc, serde_json::json!(["body", 3, "a/b~c"]));
    }
}

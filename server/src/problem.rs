//! Errors as problems (RFC 9457): one closed list, and the one place that turns it into HTTP.

pub(crate) mod document;

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::cell::shorten;
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
    Invalid(FieldErrors),
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
    /// What is wrong with which field: at most 50 errors.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    pub(crate) errors: Vec<FieldError>,
    /// How many more errors there are than `errors` holds; absent where it holds all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false, nullable = false, minimum = 1, example = 12)]
    pub(crate) errors_omitted: Option<usize>,
}

/// What is wrong with the fields of a request: the first errors, and how many more there are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldErrors {
    told: Vec<FieldError>,
    /// The most that are told.
    most: usize,
    omitted: usize,
}

/// The most errors that a problem tells of.
pub(crate) const MAX_ERRORS: usize = 50;
/// The most errors that its detail repeats.
const MAX_IN_DETAIL: usize = 5;

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// Where in the body, as a JSON pointer (RFC 6901) in which a long name is cut; absent for a parameter of the query.
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

impl FieldErrors {
    /// None yet, of which so many will be told, and [`MAX_ERRORS`] at most.
    pub(crate) fn at_most(most: usize) -> Self {
        Self { told: Vec::new(), most: most.min(MAX_ERRORS), omitted: 0 }
    }

    /// Adds one, or counts it where enough are told.
    pub(crate) fn push(&mut self, error: impl FnOnce() -> FieldError) {
        if self.told.len() < self.most {
            self.told.push(error());
        } else {
            self.omitted += 1;
        }
    }

    /// Counts some that are not told.
    pub(crate) fn omit(&mut self, count: usize) {
        self.omitted += count;
    }

    /// Adds those of another part of the request.
    pub(crate) fn append(&mut self, others: Self) {
        others.told.into_iter().for_each(|error| self.push(|| error));
        self.omitted += others.omitted;
    }

    /// Those that are told.
    pub(crate) fn told(&self) -> &[FieldError] {
        &self.told
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.told.is_empty() && self.omitted == 0
    }

    fn detail(&self) -> String {
        let messages: Vec<&str> = self.told.iter().take(MAX_IN_DETAIL).map(|error| error.msg.as_str()).collect();
        let detail = messages.join("; ");
        match self.told.len() - messages.len() + self.omitted {
            0 => detail,
            more => format!("{detail}; and {more} more"),
        }
    }
}

impl Default for FieldErrors {
    fn default() -> Self {
        Self::at_most(MAX_ERRORS)
    }
}

impl From<FieldError> for FieldErrors {
    fn from(error: FieldError) -> Self {
        let mut errors = Self::default();
        errors.push(|| error);
        errors
    }
}

impl FieldError {
    /// A wrong parameter of the query.
    pub(crate) fn in_query(parameter: &str, msg: String, r#type: &'static str) -> Self {
        Self { pointer: None, loc: vec!["query".into(), Location::Name(shorten(parameter))], msg, r#type }
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
    /// One field is wrong.
    pub(crate) fn invalid(error: FieldError) -> Self {
        Self::Invalid(error.into())
    }

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
            Self::MalformedJson { .. } | Self::MalformedForm { .. } => StatusCode::BAD_REQUEST,
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
            | Self::Stuck
            | Self::Draining
            | Self::TimedOut { .. }
            | Self::DatabaseAway => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The last part of `type`, and the title.
    pub(crate) fn kind(&self) -> (&'static str, &'static str) {
        match self {
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
            Self::Stuck => ("stuck", "The server hangs"),
            Self::Draining => ("draining", "The server is about to stop"),
            Self::TooSlow { .. } => ("too-slow", "The body came too slowly"),
            Self::TimedOut { .. } => ("timed-out", "It took too long"),
            Self::DatabaseAway => ("database-away", "The database does not answer"),
        }
    }

    fn detail(&self) -> String {
        match self {
            Self::MalformedJson { detail }
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
            Self::Invalid(errors) => errors.detail(),
            Self::Internal => "the cause is in the server's log, beside the x-request-id of this answer".to_owned(),
            Self::NoModel => "train one (`probeg train --promote`); the server takes it up by itself".to_owned(),
            Self::TooManyRequests { wait } => format!("try again in {} s", whole_seconds(*wait)),
            Self::Overloaded => "try again in a second".to_owned(),
            Self::Stuck => "a thread that values cars does not come back; restart the server".to_owned(),
            Self::Draining => "ask another one; this one answers its last requests".to_owned(),
            Self::TooSlow { seconds } => format!("no more of the body came within {seconds} seconds"),
            Self::TimedOut { seconds } => format!("no answer within {seconds} seconds"),
            Self::DatabaseAway => "try again later; valuations go on meanwhile".to_owned(),
        }
    }

    /// When to come back, in seconds, where coming back may help.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        match self {
            Self::TooManyRequests { wait } => Some(whole_seconds(*wait)),
            Self::Overloaded => Some(1),
            Self::NoModel | Self::Stuck | Self::Draining | Self::TimedOut { .. } | Self::DatabaseAway => Some(5),
            _ => None,
        }
    }

    /// The body of the answer.
    pub(crate) fn details(&self) -> ProblemDetails {
        let (kind, title) = self.kind();
        let FieldErrors { told, omitted, .. } =
            if let Self::Invalid(errors) = self { errors.clone() } else { FieldErrors::default() };
        ProblemDetails {
            r#type: format!("urn:probeg:problem:{kind}"),
            title,
            status: self.status().as_u16(),
            detail: self.detail(),
            errors: told,
            errors_omitted: (omitted > 0).then_some(omitted),
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
        let is_one_too_many = matches!(self, Self::Overloaded | Self::TooManyRequests { .. });
        response.extensions_mut().insert(Refused { kind: self.kind().0, is_one_too_many });
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(field: usize) -> FieldError {
        FieldError::in_body(&[Location::Place(field)], format!("{field} is wrong"), "wrong")
    }

    #[test]
    fn of_many_errors_the_first_are_told_and_the_others_counted() {
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
        let mut few = FieldErrors::at_most(1);
        (0..9).for_each(|field| few.push(|| wrong(field)));
        let details = Problem::Invalid(few).details();
        assert_eq!((details.errors, details.errors_omitted), (vec![wrong(0)], Some(8)));
        assert_eq!(details.detail, "0 is wrong; and 8 more");
    }

    #[test]
    fn pointers_are_escaped() {
        let error = FieldError::in_body(&[Location::Place(3), "a/b~c".into()], String::new(), "unknown_field");
        assert_eq!(error.pointer.as_deref(), Some("/3/a~1b~0c"));
        let loc = serde_json::to_value(error.loc).unwrap();
        assert_eq!(loc, serde_json::json!(["body", 3, "a/b~c"]));
    }
}

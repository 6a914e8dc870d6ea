//! Bodies of JSON, read whole under the limit of their path.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use futures_util::StreamExt;

use crate::problem::Problem;

/// The most bytes of a refused body that are read for nothing.
const MOST_DISCARDED: usize = 64 << 20;
/// The longest that a refused body is read for nothing.
const LONGEST_DISCARD: Duration = Duration::from_secs(10);

/// The most bytes of a body, known to those who have to say so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyLimit(pub(crate) usize);

/// The bytes of a body that says it is JSON.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::UnsupportedMediaType { expected: "application/json" });
        }
        let too_large = too_large(&request);
        match Bytes::from_request(request, state).await {
            Ok(bytes) => Ok(Self(bytes)),
            Err(rejection) if rejection.status() == axum::http::StatusCode::PAYLOAD_TOO_LARGE => Err(too_large),
            Err(_) => Err(Problem::MalformedJson { detail: "the body broke off before its end".to_owned() }),
        }
    }
}

/// Refuses a request before its body is read. The body is read for nothing, beside the answer: a connection that is
/// closed with bytes unread is reset, and the caller may never see the answer.
pub(crate) fn refuse(request: Request, problem: Problem) -> Problem {
    tokio::spawn(tokio::time::timeout(LONGEST_DISCARD, discard(request.into_body())));
    problem
}

async fn discard(body: Body) {
    let mut chunks = body.into_data_stream();
    let mut size = 0;
    while let Some(Ok(chunk)) = chunks.next().await {
        size += chunk.len();
        if size > MOST_DISCARDED {
            return;
        }
    }
}

/// How many bytes a request says that its body has.
pub(crate) fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// What to answer when the body of a request turns out to be over its limit.
pub(crate) fn too_large(request: &Request) -> Problem {
    let limit = request.extensions().get::<BodyLimit>().map_or(usize::MAX, |limit| limit.0);
    Problem::TooLarge { limit }
}

fn is_json(headers: &HeaderMap) -> bool {
    let given = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_told_by_its_media_type() {
        let headers = |value: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
        assert!(is_json(&headers("Application/JSON; charset=utf-8")));
        assert!(is_json(&headers("application/ld+json")));
        assert!(!is_json(&headers("text/plain")));
        assert!(!is_json(&HeaderMap::new()));
    }
}

//! What happens around every request: its id, its line in the log, keys, time limits, headers.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State as Extracted};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use crate::problem::Problem;
use crate::state::State;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
/// Longest id of a caller's that is taken over.
const LONGEST_ID: usize = 128;
/// What an answer that is no page may do in a browser: nothing.
const STRICTEST_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Gives each request an id, counts it, and gives the log one sentence on it.
pub(crate) async fn log(Extracted(state): Extracted<State>, request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let route = route.unwrap_or_else(|| "an unknown path".to_owned());
    let span = tracing::info_span!("request", request.id = id.to_str().unwrap_or_default());
    let begun = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let duration = begun.elapsed();
    let duration_ms = duration.as_secs_f64() * 1000.0;
    let status = response.status().as_u16();
    state.metrics().answered(known_method(&method), &route, status, duration);
    span.in_scope(|| {
        tracing::info!(
            http.method = %method, http.route = route, http.status = status, duration_ms,
            "Answered {method} {route} with {status} in {duration_ms:.1} ms."
        );
    });
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

/// A method's name, of those that there are: others would be as many as callers invent.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The caller's id, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given =
        headers.get(REQUEST_ID).filter(|id| id.len() <= LONGEST_ID && id.to_str().is_ok_and(|id| !id.is_empty()));
    let fresh = || HeaderValue::from_str(&uuid::Uuid::now_v7().to_string()).ok();
    given.cloned().or_else(fresh).unwrap_or_else(|| HeaderValue::from_static("none"))
}

/// Headers that keep browsers from guessing, framing and telling; a page brings its own policy.
pub(crate) async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(STRICTEST_POLICY);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Asks for one of the API keys, where there are any. The admin token is as good.
pub(crate) async fn require_key(Extracted(state): Extracted<State>, request: Request, next: Next) -> Response {
    let config = state.config();
    let given = [bearer(request.headers()), api_key(request.headers())];
    let mut known = config.api_keys.iter().chain(&config.admin_token);
    if config.api_keys.is_empty() || known.any(|key| given.iter().flatten().any(|given| key.is(given))) {
        next.run(request).await
    } else {
        Problem::Unauthorized { admin: false }.into_response()
    }
}

/// Asks for the admin token.
pub(crate) async fn require_admin(Extracted(state): Extracted<State>, request: Request, next: Next) -> Response {
    let Some(token) = &state.config().admin_token else { return Problem::AdminOff.into_response() };
    if bearer(request.headers()).is_some_and(|given| token.is(given)) {
        next.run(request).await
    } else {
        Problem::Unauthorized { admin: true }.into_response()
    }
}

/// Ends a request that takes longer than it may.
pub(crate) async fn limit_time(Extracted(limit): Extracted<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::TimedOut { seconds: limit.as_secs() }.into_response(),
    }
}

/// The answer when a handler panicked.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
pub(crate) fn crashed(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Problem::internal(&text.unwrap_or("a panic without words")).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn api_key(headers: &HeaderMap) -> Option<&str> {
    headers.get(API_KEY)?.to_str().ok()
}

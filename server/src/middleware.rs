//! What happens around every request: its id, its line in the log, keys, limits, headers.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State as Extracted};
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;
use tracing::field::Empty;
use uuid::Uuid;

use crate::body::{BodyLimit, announced_length, refuse};
use crate::problem::Problem;
use crate::state::State;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id of a caller's that is taken over.
const LONGEST_ID: usize = 128;
/// What an answer that is no page may do in a browser: nothing.
const STRICTEST_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// Gives each request an id, counts it, gives the log one sentence on it, and the answer the headers that all have.
pub(crate) async fn around(Extracted(state): Extracted<State>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("an unknown path", MatchedPath::as_str);
    // Named as OpenTelemetry names them.
    let span = tracing::info_span!(
        "request",
        http.request.method = %method,
        http.route = route,
        http.response.status_code = Empty,
        request.id = id.to_str().unwrap_or_default(),
    );
    let begun = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let duration = begun.elapsed();
    let duration_ms = duration.as_secs_f64() * 1000.0;
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    state.metrics().answered(known_method(&method), route, status, duration);
    let refused = response.extensions().get::<Refused>();
    if let Some(refused) = refused {
        state.metrics().refused(refused.kind);
    }
    span.in_scope(|| {
        if refused.is_some_and(|refused| refused.is_one_too_many) {
            // Those who are too many would fill the log as well. They are counted.
            tracing::debug!("Refused {method} {route}.");
        } else if is_probe(route) {
            tracing::debug!(duration_ms, "Answered {method} {route} with {status} in {duration_ms:.1} ms.");
        } else {
            tracing::info!(duration_ms, "Answered {method} {route} with {status} in {duration_ms:.1} ms.");
        }
    });
    let headers = response.headers_mut();
    secure(headers);
    headers.insert(REQUEST_ID, id);
    if state.is_closing() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether machines ask there every few seconds.
fn is_probe(route: &str) -> bool {
    route.starts_with("/health/") || route == "/metrics"
}

/// The id of a request, for those who write a line of their own on it.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// Marks an answer that is a problem with its kind.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refused {
    pub(crate) kind: &'static str,
    /// Whether there was nothing wrong with it but that there were too many.
    pub(crate) is_one_too_many: bool,
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
    let fresh = || HeaderValue::from_str(&fresh_id().hyphenated().to_string()).ok();
    given.cloned().or_else(fresh).unwrap_or_else(|| HeaderValue::from_static("none"))
}

/// Ids that sort by time. Their randomness is no secret and need not come from the system each time.
fn fresh_id() -> Uuid {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = u64::try_from(since.as_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &rand::random()).into_uuid()
}

/// Headers that keep browsers from guessing, framing and telling; a page brings its own policy.
fn secure(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(STRICTEST_POLICY);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// What stands before some routes. One layer does it all: each costs every request several allocations.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    pub(crate) state: State,
    pub(crate) access: Access,
    /// The most bytes of a body.
    pub(crate) most_bytes: usize,
    /// The longest that an answer may take.
    pub(crate) time: Duration,
    /// Whether requests are refused while too many wait for single cars.
    pub(crate) sheds: bool,
}

/// What a request has to bring.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Access {
    Nothing,
    /// One of the API keys, where there are any.
    Key,
    /// The admin token.
    Admin,
}

/// Lets a request in that may come in, refuses any other before anything is spent on it, and ends one that takes longer
/// than it may.
pub(crate) async fn guard(Extracted(gate): Extracted<Gate>, mut request: Request, next: Next) -> Response {
    if let Err(problem) = gate.admit(&mut request) {
        return refuse(request, problem).into_response();
    }
    match tokio::time::timeout(gate.time, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Problem::TimedOut { seconds: gate.time.as_secs() }.into_response(),
    }
}

impl Gate {
    fn admit(&self, request: &mut Request) -> Result<(), Problem> {
        match self.access {
            Access::Nothing => {}
            Access::Key => self.state.keys().admit(request.headers())?,
            Access::Admin => self.admit_admin(request)?,
        }
        if self.sheds && self.state.engine().inference.is_full() {
            return Err(Problem::Overloaded);
        }
        if announced_length(request.headers()).is_some_and(|length| length > self.most_bytes) {
            return Err(Problem::TooLarge { limit: self.most_bytes });
        }
        // A body that does not say how long it is, or lies, is counted while it is read.
        DefaultBodyLimit::max(self.most_bytes).apply(request);
        request.extensions_mut().insert(BodyLimit(self.most_bytes));
        Ok(())
    }

    fn admit_admin(&self, request: &mut Request) -> Result<(), Problem> {
        let id = request.extensions().get().cloned().unwrap_or(RequestId(HeaderValue::from_static("none")));
        let token = self.state.keys().admit_admin(request.headers()).inspect_err(|problem| {
            let reason = problem.kind().1;
            tracing::warn!(target: AUDIT, { request.id = id.as_str(), reason }, "A change was refused: {reason}.");
        })?;
        request.extensions_mut().insert(Admin { token, request: id });
        Ok(())
    }
}

/// Who is about to change something, and with which request.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    token: String,
    pub(crate) request: RequestId,
}

impl Admin {
    /// The name for the log and the history.
    pub(crate) fn who(&self) -> String {
        format!("admin {} over HTTP", self.token)
    }
}

/// The part of the log that tells who changed what, or tried to.
pub(crate) const AUDIT: &str = "probeg::audit";

/// The answer when a handler panicked.
#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
pub(crate) fn crashed(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Problem::internal(&text.unwrap_or("a panic without words")).into_response()
}

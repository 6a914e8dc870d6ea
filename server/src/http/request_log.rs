//! The outermost layer: request ids, log records, metrics, and common response headers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::extract::{MatchedPath, Request, State as Extracted};
use axum::http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;
use tracing_opentelemetry::OpenTelemetrySpanExt;
use uuid::Uuid;

use crate::http::body::IncomingBody;
use crate::http::connections::Connection;
use crate::http::language::PreferredLanguage;
use crate::http::problem::{Problem, Refused, translate};
use crate::http::shutdown::Shutdown;
use crate::observability::metrics::Metrics;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The maximum length of a request id from a client.
const MAX_ID_BYTES: usize = 128;
/// The content security policy of all responses except pages: nothing may be loaded.
const DENY_ALL: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");

/// The dependencies of [`log_request`].
#[derive(Clone, Debug)]
pub(crate) struct RequestLog {
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) shutdown: Arc<Shutdown>,
    /// The idle timeout of request bodies.
    pub(crate) idle_timeout: Duration,
}

/// Assigns an id to a request, logs and counts it, and adds the common response headers.
pub(crate) async fn log_request(Extracted(log): Extracted<RequestLog>, mut request: Request, next: Next) -> Response {
    let id = request_id(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("an unknown path", MatchedPath::as_str);
    // Formatted once for all records of the request, so it holds only what identifies it.
    let span = tracing::info_span!("request", request.id = id.to_str().unwrap_or_default());
    let start = Instant::now();
    let PreferredLanguage(language) = PreferredLanguage::of(request.headers());
    // Requests that do not come from a connection have no Host header.
    let connection = request.extensions().get::<Arc<Connection>>().cloned();
    let checked = if connection.is_some() { check_host(&request) } else { Ok(()) };
    let request = request.map(|body| IncomingBody::watch(body, connection, log.idle_timeout));
    let response = match checked {
        Ok(()) => next.run(request).instrument(span.clone()).await,
        Err(problem) => problem.into_response(),
    };
    let (method, duration) = (known_method(&method), start.elapsed());
    let duration_ms = duration.as_secs_f64() * 1000.0;
    let status = response.status().as_u16();
    log.metrics.record_response(method, route, status, duration);
    let refused = response.extensions().get::<Refused>();
    if let Some(refused) = refused {
        log.metrics.record_refusal(refused.kind);
    }
    // Attributes of the exported span, by their names in OpenTelemetry. Fields of the span itself would cost every request
    // a formatting, exported or not.
    span.set_attribute("http.request.method", method);
    span.set_attribute("http.route", route.to_owned());
    span.set_attribute("http.response.status_code", i64::from(status));
    span.in_scope(|| {
        if refused.is_some_and(|refused| refused.is_overload) {
            // Under overload these would flood the log; they are counted in the metrics.
            tracing::debug!("Refused {method} {route}.");
        } else if is_probe(route) {
            tracing::debug!(
                { http.request.method = method, http.route = route, http.response.status_code = status, duration_ms },
                "Answered {method} {route} with {status} in {duration_ms:.1} ms."
            );
        } else {
            tracing::info!(
                { http.request.method = method, http.route = route, http.response.status_code = status, duration_ms },
                "Answered {method} {route} with {status} in {duration_ms:.1} ms."
            );
        }
    });
    let mut response = translate(response, language);
    let headers = response.headers_mut();
    secure(headers);
    headers.insert(REQUEST_ID, id);
    if log.shutdown.is_closing() {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// An HTTP/1.1 request must have exactly one Host header, and any other request at most one: a proxy and the server might
/// interpret several differently (RFC 9112, 3.2).
fn check_host(request: &Request) -> Result<(), Problem> {
    let refuse = |detail: &str| Err(Problem::BadRequest { detail: detail.to_owned() });
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => refuse("send only one Host header"),
        (Some(host), None) if !host.as_bytes().iter().all(|byte| is_host_byte(*byte)) => {
            refuse("the Host header must be a host name or address with an optional port")
        }
        (None, _) if request.version() == Version::HTTP_11 => refuse("send the Host header, which HTTP/1.1 requires"),
        _ => Ok(()),
    }
}

/// Whether a host or port may contain the character (RFC 3986, 3.2.2).
fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:[]".contains(&byte)
}

/// Whether monitoring polls this route.
fn is_probe(route: &str) -> bool {
    route.starts_with("/health/") || route == "/metrics"
}

/// The id of a request, for further log records on it.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(pub(super) HeaderValue);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

/// The name of a standard method: each arbitrary one would create a new time series.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The client's id, or a new one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given =
        headers.get(REQUEST_ID).filter(|id| id.len() <= MAX_ID_BYTES && id.to_str().is_ok_and(|id| !id.is_empty()));
    let fresh = || HeaderValue::from_str(&fresh_id().hyphenated().to_string()).ok();
    given.cloned().or_else(fresh).unwrap_or_else(|| HeaderValue::from_static("none"))
}

/// An id that sorts by time. It is not a secret, so it does not need randomness from the system.
fn fresh_id() -> Uuid {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let milliseconds = u64::try_from(since.as_millis()).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &rand::random()).into_uuid()
}

/// Adds headers against content sniffing, framing and referrer leaks. Pages have their own content security policy.
fn secure(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(DENY_ALL);
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The response when a handler panicked.
#[expect(clippy::needless_pass_by_value, reason = "the signature that the layer expects")]
pub(crate) fn handle_panic(panic: Box<dyn std::any::Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Problem::internal(&text.unwrap_or("a panic without a message")).into_response()
}

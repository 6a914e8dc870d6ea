//! Request bodies, which must not stall or be too slow. Unread bytes are discarded.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use futures_util::StreamExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::http::budget::{BudgetExceeded, Caller, FREE_BYTES, Share};
use crate::http::buffers::Buffers;
use crate::http::connections::Connection;
use crate::http::problem::Problem;

/// The maximum number of bytes of an unread body to discard.
const MAX_DISCARDED_BYTES: usize = 64 << 20;
/// The time limit for discarding them.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
/// The minimum average rate of a body after the first idle timeout.
const MIN_BYTES_PER_SECOND: u64 = 1 << 10;

/// The caller of an admitted request, and the size limit of its body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    pub(crate) max_bytes: usize,
}

impl Admitted {
    pub(crate) fn of(request: &Request) -> Result<Self, Problem> {
        let admitted = request.extensions().get().copied();
        admitted.ok_or_else(|| Problem::internal(&"a body was read on a route without a gate"))
    }
}

/// A JSON body, which counts against the memory budget of its caller until it is dropped.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBody
where
    Arc<Buffers>: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::UnsupportedMediaType { expected: "application/json" });
        }
        let admitted = Admitted::of(&request)?;
        collect(request.into_body(), &Arc::from_ref(state), admitted).await.map(Self)
    }
}

/// Reads a body to its end.
async fn collect(body: Body, buffers: &Buffers, Admitted { caller, max_bytes }: Admitted) -> Result<Bytes, Problem> {
    let too_large = || Problem::TooLarge { limit: max_bytes };
    let declared = body.size_hint().upper().unwrap_or(u64::MAX);
    let mut chunks = body.into_data_stream();
    let Some(first) = chunks.next().await.transpose().map_err(|error| read_error(&error))? else {
        return Ok(Bytes::new());
    };
    if first.len() > max_bytes {
        return Err(too_large());
    }
    // Almost every body comes in one chunk, and needs only the memory of the connection.
    if chunks.is_end_stream() {
        return Ok(first);
    }
    let mut share = buffers.memory.share(caller);
    let (mut bytes, mut chunk) = (Vec::new(), first);
    loop {
        let size = bytes.len() + chunk.len();
        if size > max_bytes {
            return Err(too_large());
        }
        reserve(&mut bytes, size as u64, declared.min(max_bytes as u64), &mut share)?;
        bytes.extend_from_slice(&chunk);
        chunk = match chunks.next().await {
            Some(chunk) => chunk.map_err(|error| read_error(&error))?,
            None => return Ok(Bytes::from_owner(WithShare(bytes, share))),
        };
    }
}

/// Reserves `size` bytes in steps of half the capacity, up to `max`, and takes them from the budget.
fn reserve(bytes: &mut Vec<u8>, size: u64, max: u64, share: &mut Share) -> Result<(), BudgetExceeded> {
    let [size, max] = [size, max].map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    if size <= bytes.capacity() {
        return Ok(());
    }
    // Growing by half limits both the copying and the unused memory.
    let capacity = size.max(max.min(bytes.capacity() + bytes.capacity() / 2));
    if capacity as u64 > FREE_BYTES {
        share.grow(capacity as u64 - share.held())?;
    }
    bytes.reserve_exact(capacity - bytes.len());
    Ok(())
}

/// Bytes with their share of the budget.
struct WithShare(Vec<u8>, #[expect(dead_code, reason = "returned to the budget when the bytes are dropped")] Share);

impl AsRef<[u8]> for WithShare {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn read_error(error: &axum::Error) -> Problem {
    too_slow(error).unwrap_or_else(|| Problem::MalformedJson { detail: "the body ended early".to_owned() })
}

/// The body stalled or was too slow.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body was too slow")]
struct TooSlow {
    idle: Duration,
}

/// The problem if reading failed because the body was too slow.
pub(crate) fn too_slow(error: &axum::Error) -> Option<Problem> {
    let error: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let slow: &TooSlow = causes.find_map(|cause| cause.downcast_ref())?;
    Some(Problem::TooSlow { seconds: slow.idle.as_secs() })
}

/// A request body that fails if it stalls or is too slow. If it is dropped early, the rest is read and discarded in the
/// background: closing a connection with unread bytes resets it, and the client may never see the response.
#[derive(Debug)]
pub(crate) struct IncomingBody {
    /// `None` once it has ended.
    inner: Option<Body>,
    connection: Option<Arc<Connection>>,
    idle: Duration,
    received: u64,
    wait: Option<Wait>,
}

/// The wait for more of a body.
#[derive(Debug)]
struct Wait {
    /// When reading first had to wait.
    start: Instant,
    /// Whether reading is waiting now.
    is_stalled: bool,
    deadline: Pin<Box<Sleep>>,
}

impl IncomingBody {
    /// Wraps a body, unless it is empty.
    pub(crate) fn watch(body: Body, connection: Option<Arc<Connection>>, idle: Duration) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Self { inner: Some(body), connection, idle, received: 0, wait: None })
    }

    /// Records that there is nothing to read; ready once the body has stalled or been too slow.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (now, idle) = (Instant::now(), self.idle);
        let wait = self.wait.get_or_insert_with(|| Wait {
            start: now,
            is_stalled: false,
            deadline: Box::pin(sleep_until(now + idle)),
        });
        if !wait.is_stalled {
            wait.is_stalled = true;
            let earned = Duration::from_secs(self.received / MIN_BYTES_PER_SECOND);
            wait.deadline.as_mut().reset((now + idle).min(wait.start + idle + earned));
        }
        wait.deadline.as_mut().poll(cx)
    }
}

impl HttpBody for IncomingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(cx);
        if let Some(connection) = &self.connection {
            if polled.is_pending() { connection.set_idle() } else { connection.set_busy() }
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(wait) = &mut self.wait {
                    wait.is_stalled = false;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(ended) => {
                self.inner = None;
                Poll::Ready(ended)
            }
            Poll::Pending => self.as_mut().poll_deadline(cx).map(|()| {
                self.inner = None;
                Some(Err(axum::Error::new(TooSlow { idle: self.idle })))
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or(SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for IncomingBody {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.set_busy();
        }
        let Some(body) = self.inner.take().filter(|body| !body.is_end_stream()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(DISCARD_TIMEOUT, discard(body, self.idle)));
        }
    }
}

async fn discard(body: Body, idle: Duration) {
    let mut chunks = body.into_data_stream();
    let mut size = 0;
    while let Ok(Some(Ok(chunk))) = timeout(idle, chunks.next()).await {
        size += chunk.len();
        if size > MAX_DISCARDED_BYTES {
            return;
        }
    }
}

/// The `Content-Length` header.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_media_types_are_recognized() {
        let headers = |value: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
        assert!(is_json(&headers("Application/JSON; charset=utf-8")));
        assert!(is_json(&headers("application/ld+json")));
        assert!(!is_json(&headers("text/plain")));
        assert!(!is_json(&HeaderMap::new()));
    }
}

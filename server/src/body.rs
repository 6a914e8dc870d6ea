//! Bodies on their way in: none may be silent or slow for long, and what nobody reads is discarded.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use futures_util::StreamExt;
use hyper::body::{Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use crate::budget::{Caller, Exhausted, Share};
use crate::connections::Connection;
use crate::content::UNCOUNTED;
use crate::problem::Problem;
use crate::state::State;

/// The most bytes that are discarded of a body that nobody reads.
const MAX_DISCARDED: usize = 64 << 20;
/// The longest that such a body is read.
const LONGEST_DISCARD: Duration = Duration::from_secs(10);
/// What a body has to bring each second on average, once its caller has been waited for as long as he may be silent.
const MIN_BYTES_PER_SECOND: u64 = 1 << 10;

/// Who sends a request, and how many bytes its body may have: known once it was let in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admitted {
    pub(crate) caller: Caller,
    pub(crate) max_bytes: usize,
}

impl Admitted {
    pub(crate) fn of(request: &Request) -> Result<Self, Problem> {
        let admitted = request.extensions().get().copied();
        admitted.ok_or_else(|| Problem::internal(&"a body is read on a path that lets nobody in"))
    }
}

/// The bytes of a body that says it is JSON. As long as they are held, they count among the caller's.
#[derive(Debug)]
pub(crate) struct JsonBody(pub(crate) Bytes);

impl FromRequest<State> for JsonBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &State) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(Problem::UnsupportedMediaType { expected: "application/json" });
        }
        let admitted = Admitted::of(&request)?;
        collect(request.into_body(), state, admitted).await.map(Self)
    }
}

/// All of a body.
async fn collect(body: Body, state: &State, Admitted { caller, max_bytes }: Admitted) -> Result<Bytes, Problem> {
    let too_large = || Problem::TooLarge { limit: max_bytes };
    let announced = body.size_hint().upper().unwrap_or(u64::MAX);
    let mut pieces = body.into_data_stream();
    let Some(first) = pieces.next().await.transpose().map_err(|error| unread(&error))? else {
        return Ok(Bytes::new());
    };
    if first.len() > max_bytes {
        return Err(too_large());
    }
    // Nearly every body comes in one piece, and needs no room but the connection's own.
    if pieces.is_end_stream() {
        return Ok(first);
    }
    let mut share = state.memory().share(caller);
    let (mut bytes, mut piece) = (Vec::new(), first);
    loop {
        let size = bytes.len() + piece.len();
        if size > max_bytes {
            return Err(too_large());
        }
        reserve(&mut bytes, size as u64, announced.min(max_bytes as u64), &mut share)?;
        bytes.extend_from_slice(&piece);
        piece = match pieces.next().await {
            Some(piece) => piece.map_err(|error| unread(&error))?,
            None => return Ok(Bytes::from_owner(WithShare(bytes, share))),
        };
    }
}

/// Makes `bytes` large enough for `size`, in steps up to `most`, and takes as much room.
fn reserve(bytes: &mut Vec<u8>, size: u64, most: u64, share: &mut Share) -> Result<(), Exhausted> {
    let [size, most] = [size, most].map(|size| usize::try_from(size).unwrap_or(usize::MAX));
    if size <= bytes.capacity() {
        return Ok(());
    }
    // Half as much again, so that bytes are not copied too often, nor much room taken that stays empty.
    let capacity = size.max(most.min(bytes.capacity() + bytes.capacity() / 2));
    if capacity as u64 > UNCOUNTED {
        share.grow(capacity as u64 - share.held())?;
    }
    bytes.reserve_exact(capacity - bytes.len());
    Ok(())
}

/// Bytes, and what they take of a budget.
struct WithShare(Vec<u8>, #[expect(dead_code, reason = "given back with the bytes")] Share);

impl AsRef<[u8]> for WithShare {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn unread(error: &axum::Error) -> Problem {
    too_slow(error).unwrap_or_else(|| Problem::MalformedJson { detail: "the body broke off before its end".to_owned() })
}

/// A caller was silent for too long, or slow.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the body came too slowly")]
struct TooSlow {
    idle: Duration,
}

/// What to answer when it was the pace at which a body could not be read.
pub(crate) fn too_slow(error: &axum::Error) -> Option<Problem> {
    let error: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(error), |error| error.source());
    let slow: &TooSlow = causes.find_map(|cause| cause.downcast_ref())?;
    Some(Problem::TooSlow { seconds: slow.idle.as_secs() })
}

/// The body of a request, whoever reads it: ends with an error when it is silent for longer than it may be or comes too
/// slowly. What is left of it when it is dropped is read for nothing, beside the answer: a connection that is closed
/// with bytes unread is reset, and the caller may never see the answer.
#[derive(Debug)]
pub(crate) struct IncomingBody {
    /// None once it has ended.
    inner: Option<Body>,
    connection: Option<Arc<Connection>>,
    idle: Duration,
    received: u64,
    wait: Option<Wait>,
}

/// Waiting for more of a body.
#[derive(Debug)]
struct Wait {
    /// When there was nothing to read for the first time.
    first: Instant,
    /// Whether there is nothing to read now.
    is_silent: bool,
    limit: Pin<Box<Sleep>>,
}

impl IncomingBody {
    /// The same body, watched. One that is empty needs no watch.
    pub(crate) fn watch(body: Body, connection: Option<Arc<Connection>>, idle: Duration) -> Body {
        if body.is_end_stream() {
            return body;
        }
        Body::new(Self { inner: Some(body), connection, idle, received: 0, wait: None })
    }

    /// Notes that there is nothing to read; ready when that has been so for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (now, idle) = (Instant::now(), self.idle);
        let wait = self.wait.get_or_insert_with(|| Wait {
            first: now,
            is_silent: false,
            limit: Box::pin(sleep_until(now + idle)),
        });
        if !wait.is_silent {
            wait.is_silent = true;
            let earned = Duration::from_secs(self.received / MIN_BYTES_PER_SECOND);
            wait.limit.as_mut().reset((now + idle).min(wait.first + idle + earned));
        }
        wait.limit.as_mut().poll(cx)
    }
}

impl HttpBody for IncomingBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let polled = Pin::new(inner).poll_frame(cx);
        if let Some(connection) = &self.connection {
            if polled.is_pending() { connection.waits() } else { connection.works() }
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.received += frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(wait) = &mut self.wait {
                    wait.is_silent = false;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(ended) => {
                self.inner = None;
                Poll::Ready(ended)
            }
            Poll::Pending => self.as_mut().poll_patience(cx).map(|()| {
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
            connection.works();
        }
        let Some(body) = self.inner.take().filter(|body| !body.is_end_stream()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(timeout(LONGEST_DISCARD, discard(body, self.idle)));
        }
    }
}

async fn discard(body: Body, idle: Duration) {
    let mut pieces = body.into_data_stream();
    let mut size = 0;
    while let Ok(Some(Ok(piece))) = timeout(idle, pieces.next()).await {
        size += piece.len();
        if size > MAX_DISCARDED {
            return;
        }
    }
}

/// How many bytes a request says that its body has.
pub(crate) fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
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

//! The connections that there are, and for how long each has kept the server waiting.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;

use super::wire::Remains;

/// One connection, as far as others have to know.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// Since when the server waits for the peer, to ask, to send more of a body or to take in an answer, in
    /// milliseconds, from 1 on; 0 while it is the peer that waits.
    awaited_since: AtomicU64,
    /// Whether there is a request whose answer was not given to the end.
    serving: AtomicBool,
    /// How many requests there were.
    requests: AtomicU64,
    closed: Notify,
    /// What is left of it once HTTP is done.
    pub(super) remains: Mutex<Option<Remains>>,
}

impl Connection {
    /// The server waits for the peer from now on, unless it did before.
    pub(crate) fn waits(&self) {
        if !self.is_awaited() {
            self.awaited_since.store(now(), Ordering::Relaxed);
        }
    }

    /// The peer has done something, and waits for the server.
    pub(crate) fn works(&self) {
        self.awaited_since.store(0, Ordering::Relaxed);
    }

    pub(super) fn is_awaited(&self) -> bool {
        self.awaited_since.load(Ordering::Relaxed) > 0
    }

    /// A request has come.
    pub(super) fn begins(&self) {
        self.works();
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.serving.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Ends when the connection is to be closed. It may have been given something to do since.
    pub(super) async fn closed(&self) {
        self.closed.notified().await;
    }
}

/// Milliseconds since some moment, from 1 on.
fn now() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
}

/// All connections, by number.
#[derive(Debug, Default)]
pub(super) struct Registry {
    by_number: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
}

/// A connection's place among all, given up when it is dropped.
pub(super) struct Entry {
    number: u64,
    pub(super) connection: Arc<Connection>,
    registry: Arc<Registry>,
}

impl Registry {
    pub(super) fn add(self: &Arc<Self>) -> Entry {
        let (number, connection) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::<Connection>::default());
        connection.waits();
        self.lock().insert(number, Arc::clone(&connection));
        Entry { number, connection, registry: Arc::clone(self) }
    }

    /// Closes so many of the connections whose peers the server waits for: those that have kept it waiting longest.
    pub(super) fn close_longest_awaited(&self, count: usize) {
        let connections: Vec<_> = self.lock().values().map(Arc::clone).collect();
        let since = |connection: Arc<Connection>| (connection.awaited_since.load(Ordering::Relaxed), connection);
        let mut awaited: Vec<_> = connections.into_iter().map(since).filter(|(since, _)| *since > 0).collect();
        awaited.sort_unstable_by_key(|(since, _)| *since);
        for (_, connection) in awaited.into_iter().take(count) {
            connection.closed.notify_one();
        }
    }

    /// A panic leaves the map whole: nothing is done within that could.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.by_number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.number);
    }
}

/// The body of an answer, of which the server waits for the peer to take in each piece.
pub(super) struct Answer {
    body: Body,
    connection: Arc<Connection>,
}

impl Answer {
    pub(super) fn new(body: Body, connection: Arc<Connection>) -> Self {
        connection.waits();
        Self { body, connection }
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // That it is asked for more shows that the peer has taken in what it got.
        self.connection.works();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.connection.waits();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.connection.waits();
        self.connection.serving.store(false, Ordering::Relaxed);
    }
}

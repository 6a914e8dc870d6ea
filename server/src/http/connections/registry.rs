//! The open connections and their idle times.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::sync::Notify;

use super::finished::FinishedStream;

/// The shared state of a connection.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// The time since which the server has been waiting for the peer to send a request or more of a body, or to read a response,
    /// in milliseconds starting at 1; 0 while the peer is waiting for the server.
    idle_since: AtomicU64,
    /// Whether a request is in progress, up to the end of its response.
    serving: AtomicBool,
    /// The number of requests so far.
    requests: AtomicU64,
    evicted: Notify,
    /// The stream, once hyper has closed the connection.
    pub(super) finished: Mutex<Option<FinishedStream>>,
}

impl Connection {
    /// Marks the connection as idle: the server is waiting for the peer.
    pub(crate) fn set_idle(&self) {
        if !self.is_idle() {
            self.idle_since.store(now(), Ordering::Relaxed);
        }
    }

    /// Marks the connection as busy: the peer is waiting for the server.
    pub(crate) fn set_busy(&self) {
        self.idle_since.store(0, Ordering::Relaxed);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.idle_since.load(Ordering::Relaxed) > 0
    }

    pub(super) fn start_request(&self) {
        self.set_busy();
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.serving.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_serving(&self) -> bool {
        self.serving.load(Ordering::Relaxed)
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Completes when the connection should be closed, unless it has become busy in the meantime.
    pub(super) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

/// Milliseconds since the first call, starting at 1.
fn now() -> u64 {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX - 1) + 1
}

/// All connections, by number.
#[derive(Debug, Default)]
pub(super) struct Registry {
    by_number: Mutex<HashMap<u64, Arc<Connection>>>,
    next: AtomicU64,
}

/// A registered connection, removed on drop.
pub(super) struct Registered {
    number: u64,
    pub(super) connection: Arc<Connection>,
    registry: Arc<Registry>,
}

impl Registry {
    pub(super) fn add(self: &Arc<Self>) -> Registered {
        let (number, connection) = (self.next.fetch_add(1, Ordering::Relaxed), Arc::<Connection>::default());
        connection.set_idle();
        self.lock().insert(number, Arc::clone(&connection));
        Registered { number, connection, registry: Arc::clone(self) }
    }

    /// Evicts the connections that have been idle longest.
    pub(super) fn evict_longest_idle(&self, count: usize) {
        let connections: Vec<_> = self.lock().values().map(Arc::clone).collect();
        let since = |connection: Arc<Connection>| (connection.idle_since.load(Ordering::Relaxed), connection);
        let mut idle: Vec<_> = connections.into_iter().map(since).filter(|(since, _)| *since > 0).collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        for (_, connection) in idle.into_iter().take(count) {
            connection.evicted.notify_one();
        }
    }

    /// Evicts all connections without a request in progress.
    pub(super) fn evict_unused(&self) {
        self.lock()
            .values()
            .filter(|connection| !connection.is_serving())
            .for_each(|unused| unused.evicted.notify_one());
    }

    /// Nothing under the lock can panic halfway.
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.by_number.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.registry.lock().remove(&self.number);
    }
}

/// A response body that marks the connection as idle while the server waits for the peer to read it.
pub(super) struct TrackedBody {
    body: Body,
    connection: Arc<Connection>,
}

impl TrackedBody {
    pub(super) fn new(body: Body, connection: Arc<Connection>) -> Self {
        connection.set_idle();
        Self { body, connection }
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        // More is requested, so the peer has read the previous bytes.
        self.connection.set_busy();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.connection.set_idle();
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

impl Drop for TrackedBody {
    fn drop(&mut self) {
        self.connection.set_idle();
        self.connection.serving.store(false, Ordering::Relaxed);
    }
}

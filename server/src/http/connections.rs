//! Connections, limited in number and idle time. A shutdown loses no request.

mod finished;
mod registry;
mod stream;

use std::convert::Infallible;
use std::net::{IpAddr, TcpListener as BlockingListener, TcpStream as BlockingStream};
use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};

pub(crate) use registry::Connection;
use registry::{Registry, TrackedBody};
use stream::Stream;

use crate::http::budget::Caller;
use crate::http::buffers::Buffers;

/// The maximum size of a request head in bytes.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How long to wait when all slots are taken or the system cannot accept another connection.
const RETRY_DELAY: Duration = Duration::from_millis(50);
/// One in this many slots is freed at once when all are taken, since finding several costs no more than finding one.
const EVICTED_FRACTION: usize = 64;
/// The number of file descriptors to reserve for uploads, results, the database and the process itself.
const RESERVED_FILES: u64 = 512;

/// The peer address of a request, as an extension. Behind a proxy it is the address of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// All connections of the server.
pub(crate) struct Connections {
    router: Router,
    buffers: Arc<Buffers>,
    idle_timeout: Duration,
    max: usize,
    slots: Arc<Semaphore>,
    registry: Arc<Registry>,
    graceful: GracefulShutdown,
}

impl Connections {
    /// At most `max` connections at a time, or as many as the limit on open files allows.
    pub(crate) fn new(router: Router, buffers: Arc<Buffers>, max: usize, idle_timeout: Duration) -> Self {
        let max = limit_by_open_files(max);
        Self {
            router,
            buffers,
            idle_timeout,
            max,
            slots: Arc::new(Semaphore::new(max)),
            registry: Arc::default(),
            graceful: GracefulShutdown::new(),
        }
    }

    /// Accepts connections until it is dropped. When all slots are taken, the connections that have been idle longest are
    /// evicted.
    pub(crate) async fn accept(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let slot = self.acquire_slot().await;
                    self.serve(stream, slot);
                }
                // The client disconnected before it was accepted, or there are no more file descriptors.
                Err(error) => {
                    tracing::debug!(%error, "A connection could not be accepted.");
                    self.evict();
                    sleep(RETRY_DELAY).await;
                }
            }
        }
    }

    /// Serves the connections that the system had accepted when the listener was closed.
    pub(crate) fn serve_accepted(&self, streams: Vec<BlockingStream>) {
        for stream in streams {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let (Ok(stream), Ok(slot)) = (stream, Arc::clone(&self.slots).try_acquire_owned()) {
                self.serve(stream, slot);
            }
        }
    }

    /// Waits until all connections are closed, up to a limit.
    pub(crate) async fn wait_until_closed(&self, limit: Duration) {
        let closed = async {
            while self.slots.available_permits() < self.max {
                sleep(Duration::from_millis(10)).await;
            }
        };
        // After the limit, the caller handles the remaining connections.
        let _ = timeout(limit, closed).await;
    }

    /// Closes each connection after its response in progress, if any; false if the time limit was exceeded.
    pub(crate) async fn close(self, limit: Duration) -> bool {
        let Self { graceful, slots, max, registry, .. } = self;
        // hyper would wait for an incomplete request head.
        registry.evict_unused();
        let closed = async {
            graceful.shutdown().await;
            // The last responses may still be on their way. The semaphore is never closed.
            let _ = slots.acquire_many(u32::try_from(max).unwrap_or(u32::MAX)).await;
        };
        timeout(limit, closed).await.is_ok()
    }

    async fn acquire_slot(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() {
                return slot;
            }
            self.evict();
            // If all are busy, one of them will finish. The semaphore is never closed.
            if let Ok(Ok(slot)) = timeout(RETRY_DELAY, Arc::clone(&self.slots).acquire_owned()).await {
                return slot;
            }
        }
    }

    fn evict(&self) {
        self.registry.evict_longest_idle(self.max / EVICTED_FRACTION + 1);
    }

    fn serve(&self, stream: TcpStream, slot: OwnedSemaphorePermit) {
        // Fails if the client has already disconnected.
        let Ok(address) = stream.peer_addr() else { return };
        configure(&stream, self.idle_timeout);
        let peer = Peer(address.ip().to_canonical());
        let registered = self.registry.add();
        let connection = Arc::clone(&registered.connection);
        let stream = Stream::new(stream, Arc::clone(&connection), self.buffers.memory.share(Caller::at(peer.0)));
        let service = {
            let (router, connection) = (TowerToHyperService::new(self.router.clone()), Arc::clone(&connection));
            service_fn(move |mut request: Request<Incoming>| {
                connection.start_request();
                request.extensions_mut().insert(peer);
                request.extensions_mut().insert(Arc::clone(&connection));
                let (response, connection) = (router.call(request), Arc::clone(&connection));
                async move { Ok::<_, Infallible>(response.await?.map(|body| TrackedBody::new(body, connection))) }
            })
        };
        let http = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.idle_timeout)
            .max_buf_size(MAX_HEAD_BYTES)
            .max_header_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let http = self.graceful.watch(http);
        tokio::spawn(async move {
            let _held = (slot, registered);
            let error = run_until_evicted(http, &connection).await;
            let finished = connection.finished.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Clients disconnect, stall, or send something other than HTTP.
            if let (Some(error), Some(finished)) = (error, finished) {
                tracing::debug!(%error, "A connection ended early.");
                finished.respond(&error).await;
            }
        });
    }
}

/// Serves a connection until its end or its eviction; returns the error that ended it, if any.
async fn run_until_evicted(
    http: impl Future<Output = hyper::Result<()>>,
    connection: &Connection,
) -> Option<hyper::Error> {
    let mut http = pin!(http);
    loop {
        tokio::select! {
            biased;
            ended = http.as_mut() => return ended.err(),
            // A request may have arrived since the connection was chosen.
            () = connection.evicted() => if connection.is_idle() { return None },
        }
    }
}

/// Closes the listener and returns the connections in its backlog, which would be reset otherwise. Nothing may happen
/// between the two, since a client that connects in between is reset.
pub(crate) fn close_listener(listener: BlockingListener) -> Vec<BlockingStream> {
    let mut streams = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        streams.push(stream);
    }
    drop(listener);
    streams
}

/// Sends responses without delay, and gives up on a peer that does not acknowledge them.
fn configure(stream: &TcpStream, idle_timeout: Duration) {
    let milliseconds = u32::try_from(idle_timeout.as_millis()).unwrap_or(u32::MAX);
    let configured = stream.set_nodelay(true).and_then(|()| Ok(set_tcp_user_timeout(stream, milliseconds)?));
    if let Err(error) = configured {
        tracing::debug!(%error, "The options of a socket could not be set.");
    }
}

/// Raises the limit on open files as far as possible, and returns the number of connections that it allows, at most
/// `wanted`.
fn limit_by_open_files(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    let files = files.unwrap_or(u64::MAX);
    let allowed = usize::try_from(files - RESERVED_FILES.min(files / 2)).unwrap_or(usize::MAX);
    if allowed < wanted {
        tracing::warn!("At most {allowed} connections at a time: the limit on open files (ulimit -n) is {files}.");
    }
    wanted.min(allowed)
}

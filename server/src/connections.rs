//! Connections: so many at a time, none that stays silent for ever, and none that loses a request when the server stops.

mod registry;
mod wire;

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
use hyper_util::service::TowerToHyperService;
use rustix::net::sockopt::set_tcp_user_timeout;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

pub(crate) use registry::Connection;
use registry::{Answer, Registry};
use wire::Wire;

use crate::budget::Caller;
use crate::state::State;
use crate::{build, reload};

/// How long requests under way may take to end when the server is stopped.
const FAREWELL: Duration = Duration::from_secs(20);
/// How long a connection may take to bring another request, once the server ends.
const ON_THE_WAY: Duration = Duration::from_secs(1);
/// The most bytes of a request's head.
const LONGEST_HEAD: usize = 64 << 10;
/// How long to wait where the system has no room for another connection, or all are at work.
const NO_ROOM: Duration = Duration::from_millis(50);
/// When all places are taken, the part of them that is freed at once: looking for them costs as much for one.
const FREED_AT_ONCE: usize = 64;
/// Open files that are left to uploads, results, the database and the program itself.
const OTHER_FILES: u64 = 512;

/// The address that a request came from, in its extensions. Behind a proxy it is the proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Serves until `shutdown` ends, and then goes without losing a request: at first it calls itself not ready, but serves
/// on; after [`crate::Config::drain`], or once nobody is connected, it takes no more connections, closes each behind its
/// next answer, and gives the requests under way some seconds to end. Were connections closed before, their callers
/// would all come back, and those who do so in the moment in which the listener is closed are reset.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(listener: TcpListener, state: State, shutdown: impl Future<Output = ()>) -> std::io::Result<()> {
    remove_leftovers(&state).await;
    let follower = tokio::spawn(reload::follow(state.clone()));
    let connections = Connections::new(&state, max_connections(state.config().max_connections));
    tokio::select! {
        () = connections.accept(&listener) => {}
        () = async {
            shutdown.await;
            state.drain();
            tracing::info!("The server was asked to stop: it is not ready any more.");
            connections.all_closed_within(state.config().drain).await;
        } => {}
    }
    let last = take_the_last(listener.into_std()?);
    state.close();
    connections.serve_the_last(last);
    if !connections.end(FAREWELL).await {
        tracing::warn!("Some requests did not end in time and were cut off.");
    }
    follower.abort();
    Ok(())
}

/// Removes what killed servers left on the disk, rather than with the first large upload.
async fn remove_leftovers(state: &State) {
    let state = state.clone();
    match tokio::task::spawn_blocking(move || state.scratch()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "The server's folder cannot be used: large uploads will fail."),
        Err(error) => tracing::error!(%error, "The server's folder could not be looked at."),
    }
}

/// The connections that there are.
struct Connections {
    state: State,
    router: Router,
    max: usize,
    places: Arc<Semaphore>,
    open: Arc<Registry>,
    ending: watch::Sender<bool>,
    /// Each connection holds one end: they are all gone when the other is told so.
    held: mpsc::Sender<Infallible>,
    released: mpsc::Receiver<Infallible>,
}

impl Connections {
    fn new(state: &State, max: usize) -> Self {
        let (held, released) = mpsc::channel(1);
        Self {
            state: state.clone(),
            router: build(state),
            max,
            places: Arc::new(Semaphore::new(max)),
            open: Arc::default(),
            ending: watch::Sender::new(false),
            held,
            released,
        }
    }

    /// Takes connections for ever. When all places are taken, those that have been waited for longest give way.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    let place = self.place().await;
                    self.serve(stream, place);
                }
                // The caller was gone before it was accepted, or there are no more file descriptors.
                Err(error) => {
                    tracing::debug!(%error, "A connection could not be accepted.");
                    self.open.close_longest_awaited(self.max / FREED_AT_ONCE + 1);
                    sleep(NO_ROOM).await;
                }
            }
        }
    }

    async fn place(&self) -> OwnedSemaphorePermit {
        loop {
            if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
                return place;
            }
            self.open.close_longest_awaited(self.max / FREED_AT_ONCE + 1);
            // Where all are at work, one of them will be done. The semaphore is never closed.
            if let Ok(Ok(place)) = timeout(NO_ROOM, Arc::clone(&self.places).acquire_owned()).await {
                return place;
            }
        }
    }

    fn serve_the_last(&self, streams: Vec<BlockingStream>) {
        for stream in streams {
            let stream = stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream));
            if let (Ok(stream), Ok(place)) = (stream, Arc::clone(&self.places).try_acquire_owned()) {
                self.serve(stream, place);
            }
        }
    }

    fn serve(&self, stream: TcpStream, place: OwnedSemaphorePermit) {
        // Fails where the caller is gone already.
        let Ok(address) = stream.peer_addr() else { return };
        prepare(&stream, self.state.config().idle_timeout);
        let peer = Peer(address.ip().to_canonical());
        let entry = self.open.add();
        let room = self.state.memory().share(Caller::at(peer.0));
        let wire = Wire::new(stream, Arc::clone(&entry.connection), room);
        let (router, held, ending) = (self.router.clone(), self.held.clone(), self.ending.subscribe());
        let silence = self.state.config().idle_timeout;
        tokio::spawn(async move {
            let _held = (place, held);
            let ended = answer_requests(wire, router, peer, &entry.connection, silence, ending).await;
            let remains = entry.connection.remains.lock().unwrap_or_else(PoisonError::into_inner).take();
            // Callers go away in the middle, fall silent, or send what is no HTTP.
            if let (Some(error), Some(remains)) = (ended, remains) {
                tracing::debug!(%error, "A connection ended early.");
                remains.end(&error).await;
            }
        });
    }

    /// Waits until nobody is connected any more, but no longer than so.
    async fn all_closed_within(&self, limit: Duration) {
        let none_open = async {
            while self.places.available_permits() < self.max {
                sleep(Duration::from_millis(10)).await;
            }
        };
        // Whoever is still connected then is served to the end of what is under way.
        let _ = timeout(limit, none_open).await;
    }

    /// Ends all connections once they have answered; false when some have not after this time.
    async fn end(self, limit: Duration) -> bool {
        let Self { ending, held, mut released, .. } = self;
        // The connections may all be gone.
        let _ = ending.send(true);
        drop(held);
        timeout(limit, released.recv()).await.is_ok()
    }
}

/// Answers the requests of a connection until its peer or the server ends it, and tells why it ended early.
async fn answer_requests(
    wire: Wire,
    router: Router,
    peer: Peer,
    connection: &Arc<Connection>,
    silence: Duration,
    mut ending: watch::Receiver<bool>,
) -> Option<hyper::Error> {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        connection.begins();
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(Arc::clone(connection));
        let (answer, connection) = (router.call(request), Arc::clone(connection));
        async move { Ok::<_, Infallible>(answer.await?.map(|body| Answer::new(body, connection))) }
    });
    let http = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(silence)
        .max_buf_size(LONGEST_HEAD)
        .max_header_size(LONGEST_HEAD)
        .serve_connection(TokioIo::new(wire), service);
    let mut http = pin!(http);
    let mut ended = loop {
        tokio::select! {
            biased;
            ended = http.as_mut() => break Some(ended),
            // A request may have come since it was chosen.
            () = connection.closed() => if connection.is_awaited() { return None },
            _ = ending.wait_for(|ending| *ending) => break None,
        }
    };
    if ended.is_none() {
        // There may be a question on the way, which a shutdown would not wait for. Its answer ends the connection.
        ended = timeout(ON_THE_WAY, http.as_mut()).await.ok();
    }
    if ended.is_none() && connection.is_serving() {
        http.as_mut().graceful_shutdown();
        ended = Some(http.await);
    }
    ended?.err()
}

/// Closes the listener, and takes what the system had accepted already, which would be reset otherwise. Nothing else is
/// done in between: whoever connects after the last look is reset.
fn take_the_last(listener: BlockingListener) -> Vec<BlockingStream> {
    let mut streams = Vec::new();
    while let Ok((stream, _)) = listener.accept() {
        streams.push(stream);
    }
    drop(listener);
    streams
}

/// Answers go at once, and a caller who does not take them is given up.
fn prepare(stream: &TcpStream, silence: Duration) {
    let milliseconds = u32::try_from(silence.as_millis()).unwrap_or(u32::MAX);
    let prepared = stream.set_nodelay(true).and_then(|()| Ok(set_tcp_user_timeout(stream, milliseconds)?));
    if let Err(error) = prepared {
        tracing::debug!(%error, "A connection could not be set up as it should be.");
    }
}

/// As many connections as are wanted, or as the limit of open files allows: each is one, and a process may at first have
/// a thousand or so.
fn max_connections(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    let files = if raised.is_ok() { limit.maximum } else { limit.current };
    let files = files.unwrap_or(u64::MAX);
    let allowed = usize::try_from(files - OTHER_FILES.min(files / 2)).unwrap_or(usize::MAX);
    if allowed < wanted {
        tracing::warn!("Only {allowed} connections at a time: the limit of open files (ulimit -n) is {files}.");
    }
    wanted.min(allowed)
}

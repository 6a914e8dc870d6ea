//! Connections: so many at a time, none that stays silent for ever, and none that loses a request when the server stops.

use std::convert::Infallible;
use std::net::{IpAddr, TcpListener as BlockingListener, TcpStream as BlockingStream};
use std::pin::pin;
use std::sync::Arc;
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
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

use crate::config::Config;
use crate::state::State;
use crate::{build, reload};

/// How long requests under way may take to end when the server is stopped.
const FAREWELL: Duration = Duration::from_secs(20);
/// How long a connection may take to bring another request, once the server ends.
const ON_THE_WAY: Duration = Duration::from_secs(1);
/// The most bytes of a request's head.
const LONGEST_HEAD: usize = 64 << 10;
/// How long to wait where the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_millis(50);

/// The address that a request came from, in its extensions. Behind a proxy it is the proxy's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Serves until `shutdown` ends, and then goes without losing a request: at first it calls itself not ready, but serves
/// on; after [`Config::drain`], or once nobody is connected, it takes no more connections, closes each behind its next
/// answer, and gives the requests under way some seconds to end. Were connections closed before, their callers would
/// all come back, and those who do so in the moment in which the listener is closed are reset.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(listener: TcpListener, state: State, shutdown: impl Future<Output = ()>) -> std::io::Result<()> {
    allow_open_files();
    let follower = tokio::spawn(reload::follow(state.clone()));
    let connections = Connections::new(&state);
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

/// The connections that there are.
struct Connections {
    router: Router,
    config: Config,
    places: Arc<Semaphore>,
    ending: watch::Sender<bool>,
    /// Each connection holds one end: they are all gone when the other is told so.
    open: mpsc::Sender<Infallible>,
    closed: mpsc::Receiver<Infallible>,
}

impl Connections {
    fn new(state: &State) -> Self {
        let config = state.config().clone();
        let (open, closed) = mpsc::channel(1);
        let places = Arc::new(Semaphore::new(config.max_connections));
        Self { router: build(state), config, places, ending: watch::Sender::new(false), open, closed }
    }

    /// Takes connections for ever, as long as there are places; the others wait in the system's queue.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, _)) => self.serve(stream, place),
                // The caller was gone before it was accepted, or there are no more file descriptors.
                Err(error) => {
                    tracing::debug!(%error, "A connection could not be accepted.");
                    sleep(NO_ROOM).await;
                }
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

    fn serve(&self, stream: TcpStream, place: tokio::sync::OwnedSemaphorePermit) {
        let (router, open, mut ending) = (self.router.clone(), self.open.clone(), self.ending.subscribe());
        let silence = self.config.idle_timeout;
        // Fails where the caller is gone already.
        let Ok(address) = stream.peer_addr() else { return };
        let peer = Peer(address.ip().to_canonical());
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            router.call(request)
        });
        tokio::spawn(async move {
            let _held = (place, open);
            prepare(&stream, silence);
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(silence)
                .max_buf_size(LONGEST_HEAD)
                .serve_connection(TokioIo::new(stream), service);
            let mut connection = pin!(connection);
            let mut ended = tokio::select! {
                ended = connection.as_mut() => Some(ended),
                _ = ending.wait_for(|ending| *ending) => None,
            };
            if ended.is_none() {
                // There may be a question on the way, which a shutdown would not wait for. Its answer ends the connection.
                ended = timeout(ON_THE_WAY, connection.as_mut()).await.ok();
            }
            if ended.is_none() {
                connection.as_mut().graceful_shutdown();
                ended = Some(connection.await);
            }
            // Callers go away in the middle, fall silent, or send what is no HTTP.
            if let Some(Err(error)) = ended {
                tracing::debug!(%error, "A connection ended early.");
            }
        });
    }

    /// Waits until nobody is connected any more, but no longer than so.
    async fn all_closed_within(&self, limit: Duration) {
        let none_open = async {
            while self.places.available_permits() + 1 < self.config.max_connections {
                sleep(Duration::from_millis(10)).await;
            }
        };
        // Whoever is still connected then is served to the end of what is under way.
        let _ = timeout(limit, none_open).await;
    }

    /// Ends all connections once they have answered; false when some have not after this time.
    async fn end(self, limit: Duration) -> bool {
        let Self { ending, open, mut closed, .. } = self;
        // The connections may all be gone.
        let _ = ending.send(true);
        drop(open);
        timeout(limit, closed.recv()).await.is_ok()
    }
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

/// Every connection is an open file, of which a process may at first have a thousand or so.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    // Without it, connections wait in the system's queue.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
}

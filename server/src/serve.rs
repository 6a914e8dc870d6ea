//! A server from its start to its graceful shutdown.

use std::time::Duration;

use tokio::net::TcpListener;

use crate::http::connections::{Connections, close_listener};
use crate::router::build;
use crate::state::State;

/// How long idle connections may take to send another request once the server no longer accepts connections.
const LAST_REQUEST_TIMEOUT: Duration = Duration::from_secs(1);
/// How long requests in progress may take to finish after that.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// Serves until `shutdown` completes, then stops without losing a request. The server first reports that it is not ready but
/// still serves requests. After [`crate::Config::drain`], or once there are no connections, it stops accepting connections,
/// closes each one after its next response, and waits for requests in progress. If it closed connections immediately, all
/// clients would reconnect, and those that reconnect while the listener is being closed would be reset.
///
/// # Errors
/// The listener cannot be used.
pub async fn serve(listener: TcpListener, state: State, shutdown: impl Future<Output = ()>) -> std::io::Result<()> {
    remove_leftovers(&state).await;
    let reloader = state.reloader().clone();
    let follower = tokio::spawn(async move { reloader.follow().await });
    let config = state.config();
    let buffers = state.buffers().clone();
    let connections = Connections::new(build(&state), buffers, config.max_connections, config.idle_timeout);
    tokio::select! {
        () = connections.accept(&listener) => {}
        () = async {
            shutdown.await;
            state.shutdown().start_draining();
            tracing::info!("The server is shutting down and no longer ready.");
            connections.wait_until_closed(config.drain).await;
        } => {}
    }
    let accepted = close_listener(listener.into_std()?);
    state.shutdown().start_closing();
    connections.serve_accepted(accepted);
    connections.wait_until_closed(LAST_REQUEST_TIMEOUT).await;
    if !connections.close(SHUTDOWN_TIMEOUT).await {
        tracing::warn!("Some requests did not finish in time and were cut off.");
    }
    follower.abort();
    Ok(())
}

/// Removes the scratch files of killed servers now rather than on the first large upload.
async fn remove_leftovers(state: &State) {
    let buffers = state.buffers().clone();
    match tokio::task::spawn_blocking(move || buffers.scratch()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => tracing::warn!(%error, "The folder of the server is not usable: large uploads will fail."),
        Err(error) => tracing::error!(%error, "The folder of the server could not be checked."),
    }
}

//! `probeg serve`: the server.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::Args;
use server::{Config, State};
use tokio::net::{TcpListener, TcpSocket};

use crate::context::{Context, server_folder, today};
use crate::output::out;
use crate::process::Process;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg serve --bind 0.0.0.0:8000")]
pub struct Arguments {
    /// The address to listen on [default: `PROBEG_BIND`, else 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    bind: Option<SocketAddr>,
}

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    let config = config(arguments.bind)?;
    let context = Context::open_for_server(process)?;
    serve(&context, config)
}

/// The configuration of the server from the environment, with the address overridden by `bind`.
pub fn config(bind: Option<SocketAddr>) -> Result<Config> {
    let mut config = Config::from_env()?;
    config.bind = bind.unwrap_or(config.bind);
    Ok(config)
}

/// The maximum length of the queue of pending connections.
const BACKLOG: u32 = 4096;

/// Listens on an address.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // After a restart, closed connections may occupy the address for a minute.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    socket().with_context(|| {
        format!("cannot listen on {address}; is another server running? use --bind for another address")
    })
}

/// Serves until a stop is requested.
pub fn serve(context: &Context, config: Config) -> Result<()> {
    let config = Config { folder: server_folder(&context.home), ..config };
    context.publishing.follow_champions();
    context.tokio.block_on(async {
        let listener = listen(config.bind)?;
        let address = listener.local_addr()?;
        let state = State::new(config, context.database.clone(), context.inference()?.clone(), today)?;
        // The model is loaded before the address is printed, so that no early request fails.
        tokio::select! {
            biased;
            () = context.stop.requested() => return Ok(()),
            () = state.load_champions() => {}
        }
        out!("Probeg is serving on http://{address}/ (press Ctrl-C to stop)")?;
        out!("  value one car           http://{address}/")?;
        out!("  try out the API         http://{address}/docs")?;
        out!("  the OpenAPI document    http://{address}/openapi.json")?;
        server::serve(listener, state, context.stop.requested()).await?;
        Ok(())
    })
}

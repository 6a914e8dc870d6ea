//! `probeg serve`: the server alone.

use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use clap::Args;
use server::{Config, State};
use tokio::net::{TcpListener, TcpSocket};

use crate::context::{Context, server_folder, today};
use crate::output::say;
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
    let context = Context::open_to_serve(process)?;
    serve(&context, config)
}

/// The server's configuration, from the environment, at another address if one is given.
pub fn config(bind: Option<SocketAddr>) -> Result<Config> {
    let mut config = Config::from_env()?;
    config.bind = bind.unwrap_or(config.bind);
    Ok(config)
}

/// Connections that the system holds for the server until it takes them.
const BACKLOG: u32 = 4096;

/// Listens on an address, or says who may be in the way.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A server that was just stopped leaves connections behind that hold the address for a minute.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    socket().with_context(|| {
        format!("cannot listen on {address}; is another server running? choose another address with --bind")
    })
}

/// Serves until asked to stop.
pub fn serve(context: &Context, config: Config) -> Result<()> {
    let config = Config { folder: server_folder(&context.home), ..config };
    context.tokio.block_on(async {
        let listener = listen(config.bind)?;
        let address = listener.local_addr()?;
        let state = State::new(config, context.database.clone(), context.inference()?.clone(), today)?;
        // Loaded before anybody is told to come, so that nobody is turned away.
        tokio::select! {
            biased;
            () = context.stop.requested() => return Ok(()),
            () = state.load_champion() => {}
        }
        say!("Probeg is serving on http://{address}/ (stop it with Ctrl-C)")?;
        say!("  value one car           http://{address}/")?;
        say!("  try out the API         http://{address}/docs")?;
        say!("  the OpenAPI document    http://{address}/openapi.json")?;
        server::serve(listener, state, context.stop.requested()).await?;
        Ok(())
    })
}

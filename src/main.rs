//! The command `probeg`: parses the command line, wires, and tells how it ended.

mod address_space;
mod commands;
mod context;
mod output;
mod progress;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use tracing_subscriber::EnvFilter;

use commands::Command;

/// Training frees and takes large buffers at every step; the system's allocator gives them back to
/// the kernel each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tells what a used car is worth: trains on listings in PostgreSQL, serves one ONNX model.
#[derive(Debug, Parser)]
#[command(version, about, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Variables: DATABASE_URL (PostgreSQL to use; without it a private cluster is kept in PROBEG_HOME, default .probeg), \
PG_BIN_DIR (its server programs), PROBEG_BIND, PROBEG_ADMIN_TOKEN, PROBEG_API_KEYS, PROBEG_RATE_LIMIT, \
PROBEG_CORS_ORIGINS, the server's limits (PROBEG_MAX_UPLOAD_BYTES and others: see the README), ORT_DYLIB_PATH \
(a native ONNX Runtime), RUST_LOG, PROBEG_LOG (text or json).

Example: probeg up --data listings.csv.gz";

fn main() -> ExitCode {
    address_space::reserve_little_where_limited();
    let cli = Cli::parse();
    start_log();
    match commands::run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Logs go to standard error, as text or, with `PROBEG_LOG=json`, as JSON; `RUST_LOG` filters them.
fn start_log() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn,tract=error,tract_core=error,ort=warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false);
    if std::env::var("PROBEG_LOG").is_ok_and(|format| format == "json") {
        log.json().init();
    } else {
        log.compact().init();
    }
}

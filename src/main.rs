//! The command `probeg`: parses the command line, wires, and tells how it ended.

mod allocators;
mod commands;
mod context;
mod log;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;
use log::Log;
use output::tell;

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
    let cli = Cli::parse();
    allocators::set_up(cli.command.is_server());
    let log = Log::start();
    let outcome = commands::run(cli.command);
    log.end();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

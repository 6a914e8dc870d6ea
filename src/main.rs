//! The command `probeg`: parses the command line, wires, and tells how it ended.

mod allocators;
mod commands;
mod context;
mod log;
mod output;
mod process;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;
use log::Log;
use output::tell;
use process::Process;

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
    let is_server = cli.command.is_server();
    allocators::set_up(is_server);
    let process = match Process::start() {
        Ok(process) => process,
        Err(error) => {
            tell!("error: the system has no resources left: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = Log::start().and_then(|log| {
        let outcome = commands::run(cli.command, &process);
        log.end();
        outcome
    });
    // A server that was asked to stop has done what it was to do, also where it had not begun to serve.
    let has_stopped = is_server && process.stop.is_requested();
    process.end();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if has_stopped => {
            tell!("{error:#}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tell!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

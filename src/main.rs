//! The command `probeg`: parses the command line, wires, and tells how it ended.

mod allocators;
mod commands;
mod context;
mod log;
mod output;
mod process;
mod progress;
mod variables;

use std::process::ExitCode;

use clap::Parser;

use commands::Cli;
use log::Log;
use output::tell;
use process::Process;

/// Training frees and takes large buffers at every step; the system's allocator gives them back to
/// the kernel each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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

//! The command `probeg`: parses the command line, runs the command and reports its outcome.

mod allocators;
mod commands;
mod context;
mod log;
mod output;
mod process;
mod progress;
mod publishing;
mod slurm;
mod variables;

use std::process::ExitCode;

use clap::Parser;

use commands::Cli;
use log::Log;
use output::err;
use process::Process;

/// Training allocates and frees large buffers in every step, which the system allocator would return to the kernel each time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let is_server = cli.command.is_server();
    allocators::configure(is_server);
    let process = match Process::start() {
        Ok(process) => process,
        Err(error) => {
            err!("error: the system is out of resources: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = Log::start().and_then(|log| {
        let outcome = commands::run(cli.command, &process);
        log.shut_down();
        outcome
    });
    // A requested stop of a server is a success, even before it has started to serve.
    let was_stopped = is_server && process.stop.is_requested();
    process.shut_down();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if was_stopped => {
            err!("{error:#}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            err!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

//! Running and terminating programs.

use std::process::{Child, Command, Output};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::error::{Error, Result};

const POLL_INTERVAL: Duration = Duration::from_millis(20);
const TAIL_LINES: usize = 12;

/// Sleeps for one polling interval.
///
/// # Errors
/// [`Error::Stopped`] once `stop` is set.
pub(crate) fn pause(stop: &AtomicBool) -> Result<()> {
    if stop.load(Ordering::Relaxed) {
        return Err(Error::Stopped);
    }
    std::thread::sleep(POLL_INTERVAL);
    Ok(())
}

/// Sends a signal to the process group of a program, waits for it to exit, and kills the group after the timeout.
pub(crate) fn terminate(child: &mut Child, signal: Signal, timeout: Duration) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let send = |signal| group.map(|group| kill_process_group(group, signal));
    send(signal);
    let started = Instant::now();
    while matches!(child.try_wait(), Ok(None)) {
        if started.elapsed() > timeout {
            send(Signal::KILL);
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Runs a program to completion.
pub(crate) fn run_program(program: &'static str, command: &mut Command) -> Result<()> {
    check_output(program, command.output())
}

/// Turns a failed exit status into an error with the last lines of output.
pub(crate) fn check_output(program: &'static str, output: std::io::Result<Output>) -> Result<()> {
    let output = output.map_err(|cause| not_run(program, &cause))?;
    if output.status.success() {
        return Ok(());
    }
    let printed = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
    Err(Error::Program { program, output: last_lines(&printed) })
}

pub(crate) fn not_run(program: &'static str, cause: &std::io::Error) -> Error {
    Error::Program { program, output: cause.to_string() }
}

pub(crate) fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}

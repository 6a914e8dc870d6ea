//! Configures the allocators. They read their settings from the environment before `main`, so the process re-executes itself
//! to change them.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Resource, getrlimit};
use server::Variable;

use crate::variables;

/// Smaller reservations of address space: 16 MiB (in KiB) at a time for mimalloc instead of 1 GiB, and a single arena for the
/// system allocator instead of one per thread.
const SMALL_RESERVATIONS: [(Variable, &str); 2] = [(variables::ARENA_RESERVE, "16384"), (variables::ARENA_MAX, "1")];

/// The delay in milliseconds before freed memory is returned to the system, instead of a second: a server does not soon need
/// the memory for loading a model or a workbook again, whereas training needs the same memory in each step.
const EARLY_PURGE: (Variable, &str) = (variables::PURGE_DELAY, "10");

/// Configures the allocators for a server or another command, and for a limited address space (`ulimit -v`, `prlimit --as`).
/// Variables that are already set are not changed.
pub fn configure(is_server: bool) {
    let mut settings = Vec::new();
    if getrlimit(Resource::As).current.is_some() {
        settings.extend(SMALL_RESERVATIONS);
    }
    if is_server {
        settings.push(EARLY_PURGE);
    }
    settings.retain(|(variable, _)| !variable.is_set());
    let settings: Vec<_> = settings.into_iter().map(|(variable, value)| (variable.name, value)).collect();
    if let Ok(program) = std::env::current_exe()
        && !settings.is_empty()
    {
        // Returns only on failure, in which case the process continues unchanged.
        let _ = Command::new(program).args(std::env::args_os().skip(1)).envs(settings).exec();
    }
}

//! How much memory the allocators keep. They read that from the environment before `main` begins, so the program starts
//! itself once more where it is to be other than usual.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Resource, getrlimit};
use server::Variable;

use crate::variables;

/// How much the allocators reserve at a time, beyond what they use: mimalloc 16 MiB (in KiB) instead of 1 GiB, the
/// system's one arena of 64 MiB instead of one a thread.
const RESERVE_LITTLE: [(Variable, &str); 2] = [(variables::ARENA_RESERVE, "16384"), (variables::ARENA_MAX, "1")];

/// After how many milliseconds freed memory goes back to the system, instead of a second: what loading a model or a
/// workbook took is not needed again soon, whereas training needs the same at each step.
const GIVE_BACK_SOON: (Variable, &str) = (variables::PURGE_DELAY, "10");

/// Sets the allocators up for a server, or for a command that ends; where address space is limited (`ulimit -v`,
/// `prlimit --as`) so that they get by with little of it. What the environment says already stays.
pub fn set_up(is_server: bool) {
    let mut settings = Vec::new();
    if getrlimit(Resource::As).current.is_some() {
        settings.extend(RESERVE_LITTLE);
    }
    if is_server {
        settings.push(GIVE_BACK_SOON);
    }
    settings.retain(|(variable, _)| !variable.is_set());
    let settings: Vec<_> = settings.into_iter().map(|(variable, value)| (variable.name, value)).collect();
    if let Ok(program) = std::env::current_exe()
        && !settings.is_empty()
    {
        // Comes back only where that fails; then it goes on as it is.
        let _ = Command::new(program).args(std::env::args_os().skip(1)).envs(settings).exec();
    }
}

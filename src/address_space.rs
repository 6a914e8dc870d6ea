//! Limits that count address space instead of memory: `ulimit -v`, `prlimit --as`.

use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::{Resource, getrlimit};

/// How much the allocators reserve at a time, beyond what they use: mimalloc 16 MiB (in KiB) instead of 1 GiB, the
/// system's one arena of 64 MiB instead of one a thread.
const RESERVATIONS: [(&str, &str); 2] = [("MIMALLOC_ARENA_RESERVE", "16384"), ("MALLOC_ARENA_MAX", "1")];

/// Under such a limit, has the allocators reserve little. They read it from the environment before `main` begins, so the
/// program starts itself once more.
pub fn reserve_little_where_limited() {
    let is_limited = getrlimit(Resource::As).current.is_some();
    let is_told = std::env::var_os(RESERVATIONS[0].0).is_some();
    if let Ok(program) = std::env::current_exe()
        && is_limited
        && !is_told
    {
        // Comes back only where that fails; then it goes on as it is.
        let _ = Command::new(program).args(std::env::args_os().skip(1)).envs(RESERVATIONS).exec();
    }
}

//! Writing files: [`AtomicFile`] for every file that must never be seen half-written.

mod atomic;
mod stream;

use std::io::{Error, ErrorKind};

pub use atomic::{AtomicFile, write_atomic};
pub use stream::{ignore_broken_pipe, is_stream};

/// What to do about a file that cannot be written, to be appended to a message; empty if the cause says it.
#[must_use]
pub fn advice_on(cause: &Error) -> &'static str {
    match cause.kind() {
        ErrorKind::StorageFull => "; free some space there, or choose a folder on another disk",
        ErrorKind::QuotaExceeded => "; free some of your quota there, or choose a folder on another disk",
        ErrorKind::FileTooLarge => "; allow larger files (`ulimit -f`), or choose a folder on another disk",
        _ => "",
    }
}

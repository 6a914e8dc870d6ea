//! Writing files: [`AtomicFile`] for every file that must never be seen half-written.

mod atomic;
mod stream;

pub use atomic::{AtomicFile, write_atomic};
pub use stream::{ignore_broken_pipe, is_stream};

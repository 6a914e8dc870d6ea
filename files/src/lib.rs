//! Writing files: every file that must not be seen half written is an [`AtomicFile`].

mod atomic;
mod stream;

pub use atomic::{AtomicFile, write_atomic};
pub use stream::{ignore_broken_pipe, is_stream};

//! Paths that are not regular files.

use std::io::{self, ErrorKind};
use std::path::Path;

/// Whether a path is a pipe, a device, or an open file such as `/dev/stdout`, even one redirected into a regular file.
#[must_use]
pub fn is_stream(path: &Path) -> bool {
    let is_open_file = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"].iter().any(|open| path.starts_with(open));
    is_open_file || path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Treats a broken pipe as success: a reader such as `head` closes it early.
///
/// # Errors
/// Any other I/O error.
pub fn ignore_broken_pipe(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

//! What a command writes: answers on standard output, news on standard error.

use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write, stderr, stdout};
use std::path::Path;

/// Writes a line to standard output. A reader that has seen enough and went away, such as `head`,
/// is no failure; a full disk is.
pub fn line(text: Arguments<'_>) -> io::Result<()> {
    unless_unread(writeln!(stdout().lock(), "{text}"))
}

/// Writes a line to standard error. It is no answer, so that nothing fails where nobody reads it.
pub fn news(text: Arguments<'_>) {
    let _ = writeln!(stderr().lock(), "{text}");
}

/// As `println!`, which would panic where standard output has been closed: gives back a result.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
/// As `eprintln!`, which would panic where standard error has been closed.
macro_rules! tell {
    ($($text:tt)*) => { $crate::output::news(format_args!($($text)*)) };
}
pub(crate) use {say, tell};

/// Writes a line on a file that was written: to standard error where the file may itself be standard output.
pub fn line_on_file(path: &Path, text: Arguments<'_>) -> io::Result<()> {
    if is_stream(path) {
        news(text);
        return Ok(());
    }
    line(text)
}

/// A reader that went away is no failure.
pub fn unless_unread(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Whether a path is a pipe, a device or the name of an open file, even of one that is redirected into a regular file.
pub fn is_stream(path: &Path) -> bool {
    let is_open_file = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"].iter().any(|open| path.starts_with(open));
    is_open_file || path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir())
}

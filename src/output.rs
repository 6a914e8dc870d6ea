//! Output of commands: results to standard output, progress and errors to standard error.

use std::fmt::Arguments;
use std::io::{self, Write, stderr, stdout};
use std::path::Path;

use anyhow::Context as _;
use files::{ignore_broken_pipe, is_stream, write_atomic};

/// Writes a line to standard output. A closed pipe, such as that of `head`, is not an error, but a full disk is.
pub fn write_line(text: Arguments<'_>) -> io::Result<()> {
    ignore_broken_pipe(writeln!(stdout().lock(), "{text}"))
}

/// Writes a line to standard error, ignoring failures.
pub fn write_error_line(text: Arguments<'_>) {
    let _ = writeln!(stderr().lock(), "{text}");
}

/// Like `println!`, but returns a result instead of panicking if standard output is closed.
macro_rules! out {
    ($($text:tt)*) => { $crate::output::write_line(format_args!($($text)*)) };
}
/// Like `eprintln!`, but does not panic if standard error is closed.
macro_rules! err {
    ($($text:tt)*) => { $crate::output::write_error_line(format_args!($($text)*)) };
}
pub(crate) use {err, out};

/// Writes a line about a written file: to standard error if the file may be standard output.
pub fn line_on_file(path: &Path, text: Arguments<'_>) -> io::Result<()> {
    if is_stream(path) {
        write_error_line(text);
        return Ok(());
    }
    write_line(text)
}

/// Writes a file atomically.
pub fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write_atomic(path, content).with_context(|| format!("{} cannot be written", path.display()))
}

//! What a command writes: answers on standard output, news on standard error.

use std::fmt::Arguments;
use std::io::{self, Write, stderr, stdout};
use std::path::Path;

use anyhow::Context as _;
use files::{ignore_broken_pipe, is_stream, write_atomic};

/// Writes a line to standard output. A reader that has seen enough and went away, such as `head`,
/// is no failure; a full disk is.
pub fn line(text: Arguments<'_>) -> io::Result<()> {
    ignore_broken_pipe(writeln!(stdout().lock(), "{text}"))
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

/// Writes a file that appears complete or not at all.
pub fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    write_atomic(path, content).with_context(|| format!("{} cannot be written", path.display()))
}

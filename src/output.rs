//! What a command answers, on standard output.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write, stdout};

/// Writes a line to standard output. A reader that has seen enough and went away, such as `head`,
/// is no failure; a full disk is.
pub fn line(text: Arguments<'_>) -> std::io::Result<()> {
    match writeln!(stdout().lock(), "{text}") {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// As `println!`, which would panic where standard output has been closed: gives back a result.
macro_rules! say {
    ($($text:tt)*) => { $crate::output::line(format_args!($($text)*)) };
}
pub(crate) use say;

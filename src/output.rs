//! What a command writes: answers on standard output, news on standard error, files.

use std::fmt::Arguments;
use std::fs::File;
use std::io::{self, ErrorKind, Seek, Write, stderr, stdout};
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::NamedTempFile;

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

/// A file that a command was asked to write: it appears whole or not at all. A pipe, a device or a standard stream gets
/// it once it is whole.
pub struct OutputFile<'p> {
    path: &'p Path,
    written: NamedTempFile,
    is_stream: bool,
}

impl<'p> OutputFile<'p> {
    pub fn create(path: &'p Path) -> Result<Self> {
        let is_stream = is_stream(path);
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let written =
            if is_stream { NamedTempFile::new() } else { NamedTempFile::new_in(folder.unwrap_or(".".as_ref())) };
        Ok(Self { path, written: written.with_context(|| failure(path))?, is_stream })
    }

    pub fn file(&mut self) -> &mut File {
        self.written.as_file_mut()
    }

    /// Lets the file appear.
    pub fn finish(mut self) -> Result<()> {
        if !self.is_stream {
            return self.written.persist(self.path).map(drop).with_context(|| failure(self.path));
        }
        self.written.rewind()?;
        // An open file goes on where it stands.
        let mut stream = File::options().append(true).open(self.path).with_context(|| failure(self.path))?;
        let copied = io::copy(self.written.as_file_mut(), &mut stream).map(drop);
        unless_unread(copied).with_context(|| failure(self.path))
    }
}

/// Writes a line on a file that was written: to standard error where the file may itself be standard output.
pub fn line_on_file(path: &Path, text: Arguments<'_>) -> io::Result<()> {
    if is_stream(path) {
        news(text);
        return Ok(());
    }
    line(text)
}

fn unless_unread(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// The names of open files are streams, even of those that are redirected into a regular file.
fn is_stream(path: &Path) -> bool {
    let is_open_file = ["/dev/stdout", "/dev/stderr", "/dev/fd", "/proc"].iter().any(|open| path.starts_with(open));
    is_open_file || path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir())
}

fn failure(path: &Path) -> String {
    format!("{} cannot be written", path.display())
}

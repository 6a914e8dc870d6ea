//! The source of a table: a file, or bytes in memory with a file name.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Fault;

/// The file of a table, which may be read more than once.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    name: String,
    content: Content<'a>,
    cancelled: Option<Arc<AtomicBool>>,
}

#[derive(Clone, Debug)]
enum Content<'a> {
    File(PathBuf),
    Bytes(&'a [u8]),
}

impl<'a> Source<'a> {
    /// A file on disk.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: path.display().to_string(), content: Content::File(path), cancelled: None }
    }

    /// Bytes in memory with a file name.
    #[must_use]
    pub fn bytes(name: impl Into<String>, bytes: &'a [u8]) -> Self {
        Self { name: name.into(), content: Content::Bytes(bytes), cancelled: None }
    }

    /// The same file with another name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The same file, but reading it fails once the flag is set.
    #[must_use]
    pub fn cancelled_by(self, cancelled: Arc<AtomicBool>) -> Self {
        Self { cancelled: Some(cancelled), ..self }
    }

    /// The file name for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn open(&self) -> Result<Stream<'a>, Fault> {
        let content = match &self.content {
            Content::File(path) => {
                let file = File::open(path).map_err(Fault::Read)?;
                Open::File(BufReader::with_capacity(1 << 16, file))
            }
            Content::Bytes(bytes) => Open::Bytes(Cursor::new(bytes)),
        };
        Ok(Stream { content, cancelled: self.cancelled.clone() })
    }
}

/// The bytes of a source.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    content: Open<'a>,
    cancelled: Option<Arc<AtomicBool>>,
}

#[derive(Debug)]
enum Open<'a> {
    File(BufReader<File>),
    Bytes(Cursor<&'a [u8]>),
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancelled.as_ref().is_some_and(|cancelled| cancelled.load(Ordering::Relaxed)) {
            return Err(io::Error::other(Fault::Cancelled));
        }
        match &mut self.content {
            Open::File(file) => file.read(buffer),
            Open::Bytes(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Stream<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match &mut self.content {
            Open::File(file) => file.seek(position),
            Open::Bytes(bytes) => bytes.seek(position),
        }
    }
}

/// Reads the first bytes of a stream, at most `size`.
pub(crate) fn read_head(stream: &mut impl Read, size: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    stream.take(size as u64).read_to_end(&mut head)?;
    Ok(head)
}

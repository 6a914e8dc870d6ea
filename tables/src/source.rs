//! Where a table is read from: a file, or bytes in memory under a file's name.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Fault;

/// A table's file, which may be read more than once.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    name: String,
    content: Content<'a>,
    abandoned: Option<Arc<AtomicBool>>,
}

#[derive(Clone, Debug)]
enum Content<'a> {
    File(PathBuf),
    Bytes(&'a [u8]),
}

impl<'a> Source<'a> {
    /// A file on the disk.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self { name: path.display().to_string(), content: Content::File(path), abandoned: None }
    }

    /// Bytes in memory, and the name of the file they came as.
    #[must_use]
    pub fn bytes(name: impl Into<String>, bytes: &'a [u8]) -> Self {
        Self { name: name.into(), content: Content::Bytes(bytes), abandoned: None }
    }

    /// The same file under another name.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// The same file, which fails to read once the flag is set, so that work on it ends soon.
    #[must_use]
    pub fn until(self, abandoned: Arc<AtomicBool>) -> Self {
        Self { abandoned: Some(abandoned), ..self }
    }

    /// The file's name in messages.
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
        Ok(Stream { content, abandoned: self.abandoned.clone() })
    }
}

/// The bytes of a source.
#[derive(Debug)]
pub(crate) struct Stream<'a> {
    content: Open<'a>,
    abandoned: Option<Arc<AtomicBool>>,
}

#[derive(Debug)]
enum Open<'a> {
    File(BufReader<File>),
    Bytes(Cursor<&'a [u8]>),
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.abandoned.as_ref().is_some_and(|abandoned| abandoned.load(Ordering::Relaxed)) {
            return Err(io::Error::other(Fault::Abandoned));
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

/// Reads until the buffer is full or the stream ends, and returns how many bytes were read.
pub(crate) fn read_head(stream: &mut impl Read, size: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    stream.take(size as u64).read_to_end(&mut head)?;
    Ok(head)
}

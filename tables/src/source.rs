//! Where a table is read from: a file, or bytes in memory under a file's name.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::PathBuf;

use crate::error::Fault;

/// A table's file, which may be read more than once.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    name: String,
    content: Content<'a>,
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
        Self { name: path.display().to_string(), content: Content::File(path) }
    }

    /// Bytes in memory, and the name of the file they came as.
    #[must_use]
    pub fn bytes(name: impl Into<String>, bytes: &'a [u8]) -> Self {
        Self { name: name.into(), content: Content::Bytes(bytes) }
    }

    /// The name by which messages call the file.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn open(&self) -> Result<Stream<'a>, Fault> {
        match &self.content {
            Content::File(path) => {
                let file = File::open(path).map_err(Fault::Read)?;
                Ok(Stream::File(BufReader::with_capacity(1 << 16, file)))
            }
            Content::Bytes(bytes) => Ok(Stream::Bytes(Cursor::new(bytes))),
        }
    }
}

/// The bytes of a source.
#[derive(Debug)]
pub(crate) enum Stream<'a> {
    File(BufReader<File>),
    Bytes(Cursor<&'a [u8]>),
}

impl Read for Stream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Bytes(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Stream<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(position),
            Self::Bytes(bytes) => bytes.seek(position),
        }
    }
}

/// Reads until the buffer is full or the stream ends, and tells how much came.
pub(crate) fn read_head(stream: &mut impl Read, size: usize) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    stream.take(size as u64).read_to_end(&mut head)?;
    Ok(head)
}

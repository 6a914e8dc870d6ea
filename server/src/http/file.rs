//! Uploaded and generated files: small ones in memory, others on disk, within the budgets.

use std::io::{self, Cursor, ErrorKind, Seek, SeekFrom, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use tables::Source;
use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt;

use crate::http::budget::{Budget, BudgetExceeded, Caller, FREE_BYTES, Share};
use crate::http::buffers::Buffers;
use crate::http::problem::Problem;

/// The maximum size of an upload in memory, in bytes.
const MAX_IN_MEMORY: u64 = 64 << 10;
/// The memory of an upload in progress: the file, and the buffers of the connection and the form.
const UPLOAD_MEMORY: u64 = 192 << 10;
/// The number of bytes of a file to send at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// The memory and disk that a file may use. They are taken as the file grows, so a stalled upload holds only what it has
/// sent.
pub(crate) struct Quota {
    buffers: Arc<Buffers>,
    caller: Caller,
    /// The maximum size in memory, in bytes.
    max_in_memory: u64,
    /// The memory to take once the file exceeds [`FREE_BYTES`].
    memory: u64,
    /// Frees some of the caller's disk budget; false if there is nothing left to free.
    free_disk: Option<Box<dyn Fn() -> bool + Send + Sync>>,
}

impl Quota {
    /// For an upload.
    pub(crate) fn for_upload(buffers: &Arc<Buffers>, caller: Caller) -> Self {
        Self { max_in_memory: MAX_IN_MEMORY, memory: UPLOAD_MEMORY, ..Self::for_result(buffers, caller) }
    }

    /// For a response.
    pub(crate) fn for_result(buffers: &Arc<Buffers>, caller: Caller) -> Self {
        Self { buffers: Arc::clone(buffers), caller, max_in_memory: FREE_BYTES, memory: 0, free_disk: None }
    }

    /// The same, but calls `free_disk` when the disk budget is used up.
    pub(crate) fn freeing_disk(self, free_disk: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { free_disk: Some(Box::new(free_disk)), ..self }
    }

    fn grow_on_disk(&self, share: &mut Share, more: u64) -> io::Result<()> {
        while let Err(exhausted) = share.grow(more) {
            if !self.free_disk.as_ref().is_some_and(|free_disk| free_disk()) {
                return Err(quota_exceeded(exhausted));
            }
        }
        Ok(())
    }
}

/// A file that is being written.
pub(crate) struct FileWriter {
    quota: Quota,
    content: Content,
    memory: Share,
    disk: Share,
    /// The offset of the next byte to write.
    position: u64,
    size: u64,
}

#[derive(Debug)]
enum Content {
    Memory(Vec<u8>),
    Disk(NamedTempFile),
}

impl FileWriter {
    pub(crate) fn new(quota: Quota) -> Self {
        let share = |budget: &Arc<Budget>| budget.share(quota.caller);
        let (memory, disk) = (share(&quota.buffers.memory), share(&quota.buffers.disk));
        Self { quota, content: Content::Memory(Vec::new()), memory, disk, position: 0, size: 0 }
    }

    /// Appends bytes without blocking the thread.
    pub(crate) async fn append(mut self, bytes: Bytes) -> io::Result<Self> {
        let size = self.position + bytes.len() as u64;
        if matches!(self.content, Content::Memory(_)) && size <= self.quota.max_in_memory {
            self.write_all(&bytes)?;
            return Ok(self);
        }
        let written = tokio::task::spawn_blocking(move || self.write_all(&bytes).map(|()| self));
        written.await.map_err(io::Error::other)?
    }

    /// The finished file.
    pub(crate) fn finish(mut self) -> StoredFile {
        if let Content::Disk(_) = self.content {
            self.memory.clear();
        }
        StoredFile { content: self.content, _memory: self.memory, _disk: self.disk }
    }

    /// Takes the budget for a file of this size, and moves it to disk once it is too large for memory.
    fn grow(&mut self, size: u64) -> io::Result<()> {
        if size > FREE_BYTES && self.memory.held() == 0 {
            self.memory.grow(self.quota.memory).map_err(quota_exceeded)?;
        }
        match &self.content {
            Content::Disk(_) => self.quota.grow_on_disk(&mut self.disk, size - self.size)?,
            Content::Memory(bytes) if size > self.quota.max_in_memory => {
                self.quota.grow_on_disk(&mut self.disk, size)?;
                let file = self.quota.buffers.scratch()?.file()?;
                file.as_file().write_all(bytes)?;
                file.as_file().seek(SeekFrom::Start(self.position))?;
                self.content = Content::Disk(file);
            }
            Content::Memory(_) => {}
        }
        Ok(())
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.position + bytes.len() as u64;
        if end > self.size {
            self.grow(end)?;
            self.size = end;
        }
        match &mut self.content {
            Content::Memory(content) => {
                let mut cursor = Cursor::new(content);
                cursor.set_position(self.position);
                cursor.write_all(bytes)?;
            }
            Content::Disk(file) => file.as_file().write_all(bytes)?,
        }
        self.position = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for FileWriter {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
        };
        // A gap would not be counted against the budget.
        let position = position.filter(|position| *position <= self.size).ok_or(ErrorKind::InvalidInput)?;
        if let Content::Disk(file) = &self.content {
            file.as_file().seek(SeekFrom::Start(position))?;
        }
        self.position = position;
        Ok(position)
    }
}

fn quota_exceeded(exhausted: BudgetExceeded) -> io::Error {
    io::Error::new(ErrorKind::QuotaExceeded, exhausted)
}

/// The problem if a file could not be written.
pub(crate) fn write_error(error: &io::Error) -> Problem {
    if error.kind() == ErrorKind::QuotaExceeded { Problem::NoRoom } else { Problem::internal(error) }
}

/// A finished file. On disk it is removed on drop.
#[derive(Debug)]
pub(crate) struct StoredFile {
    content: Content,
    _memory: Share,
    _disk: Share,
}

impl StoredFile {
    /// The file as a table of this name.
    pub(crate) fn source(&self, name: &str) -> Source<'_> {
        match &self.content {
            Content::Memory(bytes) => Source::bytes(name, bytes),
            Content::Disk(file) => Source::file(file.path()).named(name),
        }
    }

    /// The size of the file, and the file as a response body, which holds it until it is fully sent.
    pub(crate) async fn into_body(self: Arc<Self>) -> io::Result<(u64, Body)> {
        let file = match &self.content {
            Content::Memory(bytes) => return Ok((bytes.len() as u64, Bytes::from_owner(InMemory(self)).into())),
            Content::Disk(file) => tokio::fs::File::open(file.path()).await?,
        };
        let size = file.metadata().await?.len();
        let chunks = futures_util::stream::try_unfold((file, self), async |(mut file, held)| {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            file.read_buf(&mut chunk).await?;
            Ok::<_, io::Error>((!chunk.is_empty()).then_some((chunk, (file, held))))
        });
        Ok((size, Body::from_stream(chunks)))
    }
}

/// The bytes of a file in memory.
struct InMemory(Arc<StoredFile>);

impl AsRef<[u8]> for InMemory {
    fn as_ref(&self) -> &[u8] {
        match &self.0.content {
            Content::Memory(bytes) => bytes,
            Content::Disk(_) => &[],
        }
    }
}

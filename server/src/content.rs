//! Files that are sent to the server and made by it: small ones in memory, others on the disk, within budgets for both.

use std::io::{self, Cursor, ErrorKind, Seek, SeekFrom, Write};
use std::sync::Arc;

use axum::body::{Body, Bytes};
use tables::Source;
use tempfile::NamedTempFile;
use tokio::io::AsyncReadExt;

use crate::budget::{Caller, Exhausted, Share};
use crate::problem::Problem;
use crate::state::State;

/// The most bytes of an upload that stay in memory.
const MAX_IN_MEMORY: u64 = 64 << 10;
/// What an upload takes of memory while it comes, wherever it is kept: itself, and the buffers of its connection and of
/// its form.
const UPLOADING: u64 = 192 << 10;
/// Bytes of a body or a file that no budget counts: a connection itself takes more.
pub(crate) const UNCOUNTED: u64 = 16 << 10;
/// Bytes of a file that are read and sent at a time.
const PIECE: usize = 64 << 10;

/// Room for a file. It is taken as the file grows, so that a caller who is silent holds no more than he has sent.
#[derive(Debug)]
pub(crate) struct Room {
    state: State,
    caller: Caller,
    /// The most bytes that stay in memory.
    in_memory: u64,
    /// What it takes of memory beyond [`UNCOUNTED`] bytes.
    memory: u64,
    /// Whether what the caller's finished jobs keep gives way to it.
    replaces_jobs: bool,
}

impl Room {
    /// For a file that is sent.
    pub(crate) fn of_upload(state: &State, caller: Caller) -> Self {
        Self { in_memory: MAX_IN_MEMORY, memory: UPLOADING, ..Self::of_result(state, caller) }
    }

    /// For an answer.
    pub(crate) fn of_result(state: &State, caller: Caller) -> Self {
        Self { state: state.clone(), caller, in_memory: UNCOUNTED, memory: 0, replaces_jobs: false }
    }

    /// For the result of a job. Results of the caller's earlier jobs give way to it, the oldest first.
    pub(crate) fn of_job(state: &State, caller: Caller) -> Self {
        Self { replaces_jobs: true, ..Self::of_result(state, caller) }
    }

    fn take_on_disk(&self, share: &mut Share, more: u64) -> io::Result<()> {
        while let Err(exhausted) = share.grow(more) {
            if !self.replaces_jobs || !self.state.jobs().remove_oldest_finished(self.caller) {
                return Err(full(exhausted));
            }
        }
        Ok(())
    }
}

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Writer {
    room: Room,
    kept: Kept,
    /// What it takes of the budgets of memory and of the disk.
    memory: Share,
    disk: Share,
    /// Where the next byte goes, and how many there are.
    position: u64,
    size: u64,
}

#[derive(Debug)]
enum Kept {
    Memory(Vec<u8>),
    Disk(NamedTempFile),
}

impl Writer {
    pub(crate) fn new(room: Room) -> Self {
        let (memory, disk) = (room.state.memory().share(room.caller), room.state.disk().share(room.caller));
        Self { room, kept: Kept::Memory(Vec::new()), memory, disk, position: 0, size: 0 }
    }

    /// Writes all of these bytes, without blocking the thread.
    pub(crate) async fn append(mut self, bytes: Bytes) -> io::Result<Self> {
        let size = self.position + bytes.len() as u64;
        if matches!(self.kept, Kept::Memory(_)) && size <= self.room.in_memory {
            self.write_all(&bytes)?;
            return Ok(self);
        }
        let written = tokio::task::spawn_blocking(move || self.write_all(&bytes).map(|()| self));
        written.await.map_err(io::Error::other)?
    }

    /// The file, as it was written.
    pub(crate) fn finish(mut self) -> Content {
        if let Kept::Disk(_) = self.kept {
            self.memory.clear();
        }
        Content { kept: self.kept, _memory: self.memory, _disk: self.disk }
    }

    /// Takes room for a file of this size, and moves it to the disk where it does not stay in memory.
    fn grow(&mut self, size: u64) -> io::Result<()> {
        if size > UNCOUNTED && self.memory.held() == 0 {
            self.memory.grow(self.room.memory).map_err(full)?;
        }
        match &self.kept {
            Kept::Disk(_) => self.room.take_on_disk(&mut self.disk, size - self.size)?,
            Kept::Memory(bytes) if size > self.room.in_memory => {
                self.room.take_on_disk(&mut self.disk, size)?;
                let file = self.room.state.scratch()?.file()?;
                file.as_file().write_all(bytes)?;
                file.as_file().seek(SeekFrom::Start(self.position))?;
                self.kept = Kept::Disk(file);
            }
            Kept::Memory(_) => {}
        }
        Ok(())
    }
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let end = self.position + bytes.len() as u64;
        if end > self.size {
            self.grow(end)?;
            self.size = end;
        }
        match &mut self.kept {
            Kept::Memory(kept) => {
                let mut cursor = Cursor::new(kept);
                cursor.set_position(self.position);
                cursor.write_all(bytes)?;
            }
            Kept::Disk(file) => file.as_file().write_all(bytes)?,
        }
        self.position = end;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Writer {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
        };
        // A gap would be bytes that no budget has counted.
        let position = position.filter(|position| *position <= self.size).ok_or(ErrorKind::InvalidInput)?;
        if let Kept::Disk(file) = &self.kept {
            file.as_file().seek(SeekFrom::Start(position))?;
        }
        self.position = position;
        Ok(position)
    }
}

fn full(exhausted: Exhausted) -> io::Error {
    io::Error::new(ErrorKind::QuotaExceeded, exhausted)
}

/// What to answer when a file could not be written.
pub(crate) fn unwritten(error: &io::Error) -> Problem {
    if error.kind() == ErrorKind::QuotaExceeded { Problem::NoRoom } else { Problem::internal(error) }
}

/// A file that is complete. One on the disk is gone with this.
#[derive(Debug)]
pub(crate) struct Content {
    kept: Kept,
    _memory: Share,
    _disk: Share,
}

impl Content {
    /// The file as a table of this name.
    pub(crate) fn source(&self, name: &str) -> Source<'_> {
        match &self.kept {
            Kept::Memory(bytes) => Source::bytes(name, bytes),
            Kept::Disk(file) => Source::file(file.path()).named(name),
        }
    }

    /// The file as the body of an answer, and its size. It is held until all of it was sent.
    pub(crate) async fn into_body(self: Arc<Self>) -> io::Result<(u64, Body)> {
        let file = match &self.kept {
            Kept::Memory(bytes) => return Ok((bytes.len() as u64, Bytes::from_owner(InMemory(self)).into())),
            Kept::Disk(file) => tokio::fs::File::open(file.path()).await?,
        };
        let size = file.metadata().await?.len();
        let pieces = futures_util::stream::try_unfold((file, self), async |(mut file, held)| {
            let mut piece = Vec::with_capacity(PIECE);
            file.read_buf(&mut piece).await?;
            Ok::<_, io::Error>((!piece.is_empty()).then_some((piece, (file, held))))
        });
        Ok((size, Body::from_stream(pieces)))
    }
}

/// The bytes of a file in memory.
struct InMemory(Arc<Content>);

impl AsRef<[u8]> for InMemory {
    fn as_ref(&self) -> &[u8] {
        match &self.0.kept {
            Kept::Memory(bytes) => bytes,
            Kept::Disk(_) => &[],
        }
    }
}

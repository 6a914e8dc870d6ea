//! A connection's stream, which counts the bytes of heads on their way, and outlives HTTP for a last word.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::registry::Connection;
use crate::budget::Share;

/// Bytes of a head that no budget counts: a connection reads as many at a time.
const UNCOUNTED_HEAD: u64 = 8 << 10;
/// What a byte of a head takes in memory, for the buffer grows by copying.
const COPIES: u64 = 2;
/// The most bytes that are read at a time. The buffer of each connection, and those of whoever gets the bytes, grow with
/// what they get at once, and stay as large while the connection is silent.
const MAX_READ: usize = 8 << 10;
/// How long, and for how many bytes, a connection is read on whose request was refused by its head.
const LINGER: Duration = Duration::from_secs(2);
const MAX_LINGERED: u64 = 4 << 20;

/// The stream of a connection.
pub(super) struct Wire {
    /// There until this is dropped.
    stream: Option<TcpStream>,
    connection: Arc<Connection>,
    /// What the head that is being read takes of the budget of memory.
    room: Share,
    /// Bytes of that head so far.
    head: u64,
    /// How many requests there were before it.
    requests: u64,
    had_no_room: bool,
}

/// A stream that HTTP is done with.
#[derive(Debug)]
pub(super) struct Remains {
    stream: TcpStream,
    has_part_of_head: bool,
    had_no_room: bool,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, connection: Arc<Connection>, room: Share) -> Self {
        Self { stream: Some(stream), connection, room, head: 0, requests: 0, had_no_room: false }
    }

    /// Counts bytes that were read. Those of bodies are counted where they are kept.
    fn count(&mut self, bytes: usize) -> io::Result<()> {
        if self.connection.is_serving() {
            return Ok(());
        }
        if self.connection.requests() != self.requests {
            self.requests = self.connection.requests();
            self.head = 0;
            self.room.clear();
        }
        self.head += bytes as u64;
        if self.head > UNCOUNTED_HEAD && self.room.grow(bytes as u64 * COPIES).is_err() {
            self.had_no_room = true;
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(())
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if buffer.remaining() > MAX_READ {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(MAX_READ));
            ready!(self.stream()?.poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buffer.advance(read);
        } else {
            ready!(self.stream()?.poll_read(cx, buffer))?;
        }
        Poll::Ready(self.count(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take() else { return };
        let has_part_of_head = self.head > 0 && !self.connection.is_serving();
        let remains = Remains { stream, has_part_of_head, had_no_room: self.had_no_room };
        // Nothing is done with it that could panic halfway.
        *self.connection.remains.lock().unwrap_or_else(PoisonError::into_inner) = Some(remains);
    }
}

/// Answers that HTTP itself does not give.
const TIMED_OUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const NO_ROOM: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

impl Remains {
    /// Ends a connection that came to nothing by its peer's fault, so that the peer learns why: were it closed with bytes
    /// unread, it would be reset, and the answer lost.
    pub(super) async fn end(self, error: &hyper::Error) {
        let last_word = match () {
            () if self.had_no_room => NO_ROOM,
            () if error.is_timeout() && self.has_part_of_head => TIMED_OUT,
            // Answered already.
            () if error.is_parse() => b"",
            () => return,
        };
        let mut stream = self.stream;
        let ended = async {
            stream.write_all(last_word).await?;
            stream.shutdown().await?;
            tokio::io::copy(&mut (&mut stream).take(MAX_LINGERED), &mut tokio::io::sink()).await
        };
        // Whoever sends on after that is reset, and others are gone.
        let _ = timeout(LINGER, ended).await;
    }
}

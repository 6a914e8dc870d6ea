//! The stream of a connection, which counts the bytes of request heads and remains available for a last response after hyper
//! has closed the connection.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::finished::FinishedStream;
use super::registry::Connection;
use crate::http::budget::Share;

/// The size up to which a head does not count against the budget, in bytes.
const FREE_HEAD_BYTES: u64 = 8 << 10;
/// The number of bytes of memory per byte of a head, since the buffer is copied when it grows.
const COPIES: u64 = 2;
/// The maximum number of bytes to read at a time. hyper's buffers grow with the size of reads, and stay that large while the
/// connection is idle.
const MAX_READ_BYTES: usize = 8 << 10;

/// The stream of a connection.
pub(super) struct Stream {
    /// `None` only during drop.
    inner: Option<TcpStream>,
    connection: Arc<Connection>,
    /// The memory of the head that is being read.
    memory: Share,
    /// The number of bytes of that head so far.
    head_bytes: u64,
    /// The number of requests before that head.
    requests: u64,
    exceeded_budget: bool,
}

impl Stream {
    pub(super) fn new(stream: TcpStream, connection: Arc<Connection>, memory: Share) -> Self {
        Self { inner: Some(stream), connection, memory, head_bytes: 0, requests: 0, exceeded_budget: false }
    }

    /// Counts bytes that were read. Bodies are counted separately.
    fn count(&mut self, bytes: usize) -> io::Result<()> {
        if self.connection.is_serving() {
            return Ok(());
        }
        if self.connection.requests() != self.requests {
            self.requests = self.connection.requests();
            self.head_bytes = 0;
            self.memory.clear();
        }
        self.head_bytes += bytes as u64;
        if self.head_bytes > FREE_HEAD_BYTES && self.memory.grow(bytes as u64 * COPIES).is_err() {
            self.exceeded_budget = true;
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(())
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.inner.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if buffer.remaining() > MAX_READ_BYTES {
            let mut part = ReadBuf::new(buffer.initialize_unfilled_to(MAX_READ_BYTES));
            ready!(self.stream()?.poll_read(cx, &mut part))?;
            let read = part.filled().len();
            buffer.advance(read);
        } else {
            ready!(self.stream()?.poll_read(cx, buffer))?;
        }
        Poll::Ready(self.count(buffer.filled().len() - before))
    }
}

impl AsyncWrite for Stream {
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

impl Drop for Stream {
    fn drop(&mut self) {
        let Some(stream) = self.inner.take() else { return };
        let has_partial_head = self.head_bytes > 0 && !self.connection.is_serving();
        let finished = FinishedStream { stream, has_partial_head, exceeded_budget: self.exceeded_budget };
        // Nothing under this lock can panic halfway.
        *self.connection.finished.lock().unwrap_or_else(PoisonError::into_inner) = Some(finished);
    }
}

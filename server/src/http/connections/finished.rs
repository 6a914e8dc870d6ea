//! The last response on a connection that hyper has closed.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long to continue reading after a request head was refused.
const LINGER: Duration = Duration::from_secs(2);
/// The maximum number of bytes to read in that time.
const MAX_LINGER_BYTES: u64 = 4 << 20;

/// Responses that hyper does not send.
const REQUEST_TIMEOUT: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
const SERVICE_UNAVAILABLE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 5\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// The stream of a connection that hyper has closed.
#[derive(Debug)]
pub(super) struct FinishedStream {
    pub(super) stream: TcpStream,
    /// Whether an incomplete request head was read.
    pub(super) has_partial_head: bool,
    /// Whether the head exceeded the memory budget.
    pub(super) exceeded_budget: bool,
}

impl FinishedStream {
    /// Sends the reason to the client and continues reading for a moment: closing a socket with unread bytes resets the
    /// connection, and the response would be lost.
    pub(super) async fn respond(self, error: &hyper::Error) {
        let response = match () {
            () if self.exceeded_budget => SERVICE_UNAVAILABLE,
            () if error.is_timeout() && self.has_partial_head => REQUEST_TIMEOUT,
            // hyper has responded already.
            () if error.is_parse() => b"",
            () => return,
        };
        let mut stream = self.stream;
        let responded = async {
            stream.write_all(response).await?;
            stream.shutdown().await?;
            tokio::io::copy(&mut (&mut stream).take(MAX_LINGER_BYTES), &mut tokio::io::sink()).await
        };
        // The client may have disconnected; one that keeps sending is reset.
        let _ = timeout(LINGER, responded).await;
    }
}

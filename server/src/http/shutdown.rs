//! How far the server is with stopping.

use std::sync::atomic::{AtomicBool, Ordering};

/// The two steps of a graceful shutdown.
#[derive(Debug, Default)]
pub(crate) struct Shutdown {
    draining: AtomicBool,
    closing: AtomicBool,
}

impl Shutdown {
    /// The server is about to stop: it reports itself as not ready, but goes on serving.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The server accepts no more connections: each response is the last of its connection.
    pub(crate) fn start_closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

//! The progress of a graceful shutdown.

use std::sync::atomic::{AtomicBool, Ordering};

/// The two phases of a graceful shutdown.
#[derive(Debug, Default)]
pub(crate) struct Shutdown {
    draining: AtomicBool,
    closing: AtomicBool,
}

impl Shutdown {
    /// Starts draining: the server reports that it is not ready, but still serves requests.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Starts closing: the server accepts no more connections, and closes each one after its next response.
    pub(crate) fn start_closing(&self) {
        self.closing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}

//! The process: the async runtime and signal handling.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The time limit for abandoned work to end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_millis(300);

/// The resources of the process.
pub struct Process {
    pub tokio: Runtime,
    pub stop: Stop,
}

/// Whether a stop was requested by Ctrl-C or SIGTERM; clones share it.
#[derive(Clone, Debug)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    requested: watch::Receiver<bool>,
}

impl Process {
    /// Starts the runtime and the signal handling.
    ///
    /// # Errors
    /// The system cannot start the threads of the runtime.
    pub fn start() -> std::io::Result<Self> {
        // The other processors are for training or inference.
        let threads = std::thread::available_parallelism().map_or(1, |processors| (processors.get() / 2).max(1));
        let mut tokio = Builder::new_multi_thread();
        // Wake-ups from inference threads use the global queue, so it must be polled often under load.
        let tokio = tokio.worker_threads(threads).global_queue_interval(2).enable_all().build()?;
        let stop = {
            let _guard = tokio.enter();
            Stop::listen(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        Ok(Self { tokio, stop })
    }

    /// Shuts down the runtime without waiting for abandoned work.
    pub fn shut_down(self) {
        self.tokio.shutdown_timeout(SHUTDOWN_TIMEOUT);
    }
}

impl Stop {
    fn listen(mut interrupt: Signal, mut terminate: Signal) -> Self {
        let (sender, requested) = watch::channel(false);
        let flag = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&flag);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            set.store(true, Ordering::Relaxed);
            // There may be no receiver.
            let _ = sender.send(true);
            // Further signals are ignored, since the process is already stopping.
            std::future::pending::<()>().await;
        });
        Self { flag, requested }
    }

    /// The flag, which threads poll.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.flag
    }

    pub fn is_requested(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Waits until a stop is requested.
    pub async fn requested(&self) {
        // The sender is in a task that never ends.
        let _ = self.requested.clone().wait_for(|requested| *requested).await;
    }
}

//! What lasts as long as the process: the async runtime, and the ear for those who ask it to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// How long work that was left behind may take to notice.
const LEFT_BEHIND: Duration = Duration::from_millis(300);

/// The process, before and after its command.
pub struct Process {
    pub tokio: Runtime,
    pub stop: Stop,
}

/// Whether the user has asked the process to stop, with Ctrl-C or SIGTERM; clones share it.
#[derive(Clone, Debug)]
pub struct Stop {
    flag: Arc<AtomicBool>,
    requested: watch::Receiver<bool>,
}

impl Process {
    /// From here on nobody who asks to stop is overheard.
    ///
    /// # Errors
    /// The system has no room for the threads of the runtime.
    pub fn start() -> std::io::Result<Self> {
        // The other processors learn, or value cars.
        let threads = std::thread::available_parallelism().map_or(1, |processors| (processors.get() / 2).max(1));
        let mut tokio = Builder::new_multi_thread();
        // Answers come from other threads: when there is much to do, they take turns with what is new.
        let tokio = tokio.worker_threads(threads).global_queue_interval(2).enable_all().build()?;
        let stop = {
            let _within = tokio.enter();
            Stop::listen(signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        Ok(Self { tokio, stop })
    }

    /// Ends the runtime, without waiting for work that nobody waits for any more.
    pub fn end(self) {
        self.tokio.shutdown_timeout(LEFT_BEHIND);
    }
}

impl Stop {
    fn listen(mut interrupt: Signal, mut terminate: Signal) -> Self {
        let (tell, requested) = watch::channel(false);
        let flag = Arc::new(AtomicBool::new(false));
        let set = Arc::clone(&flag);
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            set.store(true, Ordering::Relaxed);
            // There may be nobody to tell.
            let _ = tell.send(true);
            // Further signals are taken in: what is under way ends already.
            std::future::pending::<()>().await;
        });
        Self { flag, requested }
    }

    /// For threads, which look at it now and then.
    pub fn flag(&self) -> &Arc<AtomicBool> {
        &self.flag
    }

    pub fn is_requested(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Waits until it is.
    pub async fn requested(&self) {
        // The other end lives in a task that never ends.
        let _ = self.requested.clone().wait_for(|requested| *requested).await;
    }
}

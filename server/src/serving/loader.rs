//! The thread that loads and drops models. A model takes tens of megabytes: memory freed by one thread is reused by its
//! next model, while each of several threads would retain some.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use tokio::sync::oneshot;
use tokio::time::timeout;

type Work = Box<dyn FnOnce() + Send>;

/// The thread.
#[derive(Debug)]
pub(crate) struct Loader {
    work: ArcSwap<Sender<Work>>,
}

/// Why there is no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoResult {
    #[error("it panicked")]
    Panicked,
    #[error("it took too long")]
    TookTooLong,
}

impl Loader {
    /// # Errors
    /// The system cannot start a thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        Ok(Self { work: ArcSwap::from_pointee(start_thread()?) })
    }

    /// Runs work after all that was submitted before, with a time limit. Work that takes longer keeps its thread, and a new
    /// thread runs what is submitted next.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoResult> {
        let (sender, receiver) = oneshot::channel();
        self.submit(move || {
            // The caller may be gone.
            let _ = sender.send(work());
        });
        let Ok(result) = timeout(limit, receiver).await else {
            // If no thread can be started, later work waits for this.
            if let Ok(work) = start_thread() {
                self.work.store(work.into());
            }
            return Err(NoResult::TookTooLong);
        };
        result.map_err(|_| NoResult::Panicked)
    }

    /// Runs work at some time.
    pub(crate) fn submit(&self, work: impl FnOnce() + Send + 'static) {
        // The thread runs as long as the sender exists.
        let _ = self.work.load().send(Box::new(work));
    }
}

fn start_thread() -> std::io::Result<Sender<Work>> {
    let (work, queue) = crossbeam_channel::unbounded::<Work>();
    thread::Builder::new().name("models".to_owned()).spawn(move || {
        for work in queue {
            // The panic itself is in the log; the caller learns that there is no result.
            let _ = catch_unwind(AssertUnwindSafe(work));
        }
    })?;
    Ok(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[tokio::test]
    async fn work_that_panics_has_no_result_and_the_next_does() {
        let loader = Loader::start().unwrap();
        assert_eq!(loader.run(LONG, || -> u8 { panic!("on purpose") }).await, Err(NoResult::Panicked));
        assert_eq!(loader.run(LONG, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn endless_work_does_not_block_the_next() {
        let loader = Loader::start().unwrap();
        let (keep_running, end) = crossbeam_channel::bounded::<()>(0);
        let endless = loader.run(Duration::from_millis(20), move || end.recv().is_ok()).await;
        assert_eq!(endless, Err(NoResult::TookTooLong));
        assert_eq!(loader.run(LONG, || 7).await, Ok(7));
        drop(keep_running);
    }
}

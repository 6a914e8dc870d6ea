//! The thread that loads and drops models. A model takes tens of megabytes. A single thread reuses the memory of the previous
//! model, while each of several threads would retain some.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Duration;

use arc_swap::ArcSwap;
use crossbeam_channel::Sender;
use tokio::sync::oneshot;
use tokio::time::timeout;

type Work = Box<dyn FnOnce() + Send>;

/// The loader thread.
#[derive(Debug)]
pub(crate) struct Loader {
    work: ArcSwap<Sender<Work>>,
}

/// Why a task has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TaskError {
    #[error("it panicked")]
    Panicked,
    #[error("it took too long")]
    TimedOut,
}

impl Loader {
    /// # Errors
    /// The system cannot start a thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        Ok(Self { work: ArcSwap::from_pointee(start_thread()?) })
    }

    /// Runs work after all previously submitted work, with a time limit. Work that takes longer keeps its thread, and a new
    /// thread runs later work.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TaskError> {
        let (sender, receiver) = oneshot::channel();
        self.submit(move || {
            // The caller may have been dropped.
            let _ = sender.send(work());
        });
        let Ok(result) = timeout(limit, receiver).await else {
            // If no thread can be started, later work waits.
            if let Ok(work) = start_thread() {
                self.work.store(work.into());
            }
            return Err(TaskError::TimedOut);
        };
        result.map_err(|_| TaskError::Panicked)
    }

    /// Runs work in the background.
    pub(crate) fn submit(&self, work: impl FnOnce() + Send + 'static) {
        // The thread runs as long as the sender exists.
        let _ = self.work.load().send(Box::new(work));
    }
}

fn start_thread() -> std::io::Result<Sender<Work>> {
    let (work, queue) = crossbeam_channel::unbounded::<Work>();
    thread::Builder::new().name("models".to_owned()).spawn(move || {
        for work in queue {
            // The panic itself is logged; the caller gets an error.
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
        assert_eq!(loader.run(LONG, || -> u8 { panic!("on purpose") }).await, Err(TaskError::Panicked));
        assert_eq!(loader.run(LONG, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn endless_work_does_not_block_the_next() {
        let loader = Loader::start().unwrap();
        let (keep_running, end) = crossbeam_channel::bounded::<()>(0);
        let endless = loader.run(Duration::from_millis(20), move || end.recv().is_ok()).await;
        assert_eq!(endless, Err(TaskError::TimedOut));
        assert_eq!(loader.run(LONG, || 7).await, Ok(7));
        drop(keep_running);
    }
}

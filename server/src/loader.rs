//! The one thread that makes models ready and throws them away. Each takes tens of megabytes: what one thread has freed,
//! the same thread's next model takes again, where several threads would each keep some.

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

/// Why work has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoResult {
    #[error("it panicked")]
    Panicked,
    #[error("it took too long")]
    TookTooLong,
}

impl Loader {
    /// # Errors
    /// The system has no room for another thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        Ok(Self { work: ArcSwap::from_pointee(start_thread()?) })
    }

    /// Does work once it is its turn, which must come to its end within the limit. Work that takes longer is left with
    /// its thread, and another thread does what comes next.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, NoResult> {
        let (tell, told) = oneshot::channel();
        self.submit(move || {
            // Nobody may be waiting any more.
            let _ = tell.send(work());
        });
        let Ok(result) = timeout(limit, told).await else {
            // Without room for another thread the next work waits for this.
            if let Ok(work) = start_thread() {
                self.work.store(work.into());
            }
            return Err(NoResult::TookTooLong);
        };
        result.map_err(|_| NoResult::Panicked)
    }

    /// Does work some time, for which nobody waits.
    pub(crate) fn submit(&self, work: impl FnOnce() + Send + 'static) {
        // The thread lives as long as this.
        let _ = self.work.load().send(Box::new(work));
    }
}

fn start_thread() -> std::io::Result<Sender<Work>> {
    let (work, queue) = crossbeam_channel::unbounded::<Work>();
    thread::Builder::new().name("models".to_owned()).spawn(move || {
        for work in queue {
            // The panic has told the log what happened; whoever waits for the result learns that there is none.
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
    async fn work_that_panics_has_no_result_and_the_next_one_has() {
        let loader = Loader::start().unwrap();
        assert_eq!(loader.run(LONG, || -> u8 { panic!("on purpose") }).await, Err(NoResult::Panicked));
        assert_eq!(loader.run(LONG, || 7).await, Ok(7));
    }

    #[tokio::test]
    async fn work_without_an_end_does_not_hold_up_the_next() {
        let loader = Loader::start().unwrap();
        let (let_end, end) = crossbeam_channel::bounded::<()>(0);
        let endless = loader.run(Duration::from_millis(20), move || end.recv().is_ok()).await;
        assert_eq!(endless, Err(NoResult::TookTooLong));
        assert_eq!(loader.run(LONG, || 7).await, Ok(7));
        drop(let_end);
    }
}

//! The one thread that makes models ready and throws them away. Each takes tens of megabytes: what one thread has freed,
//! the same thread's next model takes again, where several threads would each keep some.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use crossbeam_channel::Sender;
use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// The thread.
#[derive(Debug)]
pub(crate) struct Loader {
    work: Sender<Work>,
}

impl Loader {
    /// # Errors
    /// The system has no room for another thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (work, queue) = crossbeam_channel::unbounded::<Work>();
        thread::Builder::new().name("models".to_owned()).spawn(move || {
            for work in queue {
                // The panic has told the log what happened; whoever waits for the result learns that there is none.
                let _ = catch_unwind(AssertUnwindSafe(work));
            }
        })?;
        Ok(Self { work })
    }

    /// Does work once it is its turn; `None` when it panicked.
    pub(crate) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let (tell, told) = oneshot::channel();
        self.submit(move || {
            // Nobody may be waiting any more.
            let _ = tell.send(work());
        });
        told.await.ok()
    }

    /// Does work some time, for which nobody waits.
    pub(crate) fn submit(&self, work: impl FnOnce() + Send + 'static) {
        // The thread lives as long as this.
        let _ = self.work.send(Box::new(work));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_has_no_result_and_the_next_one_has() {
        let loader = Loader::start().unwrap();
        assert_eq!(loader.run(|| -> u8 { panic!("on purpose") }).await, None);
        assert_eq!(loader.run(|| 7).await, Some(7));
    }
}

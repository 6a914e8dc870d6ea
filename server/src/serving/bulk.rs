//! The queues for batches and workbooks, which run beside the threads for single cars. There is a queue per size class, so
//! that small work never waits for large work. Within a queue callers take turns. The larger the work, the lower the
//! priority of its thread.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::setpriority_process;
use tokio::sync::oneshot;

use crate::http::budget::{Budget, Caller, Share};
use crate::http::problem::Problem;

/// Threads per batch or workbook.
pub(crate) const BULK_THREADS: usize = 2;
/// The maximum number of requests that wait or run. Their memory and disk have separate budgets.
const MAX_REQUESTS: u64 = 512;
/// The size classes.
const CLASSES: [Class; 4] = [
    Class { max_bytes: 512 << 10, min_running: 4, nice: 3 },
    Class { max_bytes: 8 << 20, min_running: 2, nice: 6 },
    Class { max_bytes: 32 << 20, min_running: 1, nice: 9 },
    Class { max_bytes: u64::MAX, min_running: 1, nice: 12 },
];
/// The number of inflated workbook bytes that take as much work as a byte of JSON.
pub(crate) const BYTES_PER_JSON_BYTE: u64 = 8;

/// Work of about the same size.
struct Class {
    /// The maximum size in inflated workbook bytes: 1 MB takes about 0.1 s.
    max_bytes: u64,
    /// The minimum number of works in parallel.
    min_running: usize,
    /// The niceness of their threads.
    nice: i32,
}

/// The queues.
#[derive(Debug)]
pub(crate) struct BulkQueue {
    queues: [Arc<Queue>; CLASSES.len()],
    slots: Arc<Budget>,
}

/// A slot in one of the queues.
#[derive(Debug)]
pub(crate) struct Slot {
    queues: [Arc<Queue>; CLASSES.len()],
    caller: Caller,
    /// `None` for a job, since the number of jobs has a separate limit.
    share: Option<Share>,
}

impl BulkQueue {
    /// Queues that run at least `running` works per class in parallel.
    pub(crate) fn new(running: usize) -> Self {
        let queues = CLASSES.map(|class| Arc::new(Queue::new(running.max(class.min_running))));
        Self { queues, slots: Budget::new(MAX_REQUESTS) }
    }

    /// Takes a slot; refused immediately if the queue is full.
    pub(crate) fn enter(&self, caller: Caller) -> Result<Slot, Problem> {
        let mut share = self.slots.share(caller);
        share.grow(1).map_err(|_| Problem::Overloaded)?;
        Ok(Slot { share: Some(share), ..self.enter_job(caller) })
    }

    /// Refuses if the caller could not enter now.
    pub(crate) fn check_capacity(&self, caller: Caller) -> Result<(), Problem> {
        if self.slots.allows(caller, 1) { Ok(()) } else { Err(Problem::Overloaded) }
    }

    /// A slot for a job, which may wait indefinitely.
    pub(crate) fn enter_job(&self, caller: Caller) -> Slot {
        Slot { queues: self.queues.clone(), caller, share: None }
    }
}

impl Slot {
    /// Waits for a turn and runs work of this size on a thread of its own.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        bytes: u64,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let class = CLASSES.iter().position(|class| bytes <= class.max_bytes).unwrap_or(CLASSES.len() - 1);
        let turn = self.queues[class].wait(self.caller).await?;
        let nice = CLASSES[class].nice;
        let span = tracing::Span::current();
        let (sender, receiver) = oneshot::channel();
        let started = thread::Builder::new().name("bulk".to_owned()).spawn(move || {
            // Held by the work itself, which may outlive its request for a while.
            let held = (self.share, turn);
            set_niceness(nice);
            let outcome = span.in_scope(work);
            // The slot is free before the caller receives the outcome.
            drop(held);
            // The request may have been dropped.
            let _ = sender.send(outcome);
        });
        started.map_err(|error| Problem::internal(&error))?;
        receiver.await.unwrap_or_else(|_| Err(Problem::internal(&"the thread of a batch or a workbook panicked")))
    }
}

/// Lowers the priority of this thread and of those that it starts.
fn set_niceness(nice: i32) {
    if let Err(error) = setpriority_process(None, nice) {
        tracing::debug!(%error, "The priority of a thread could not be lowered.");
    }
}

/// A queue in which the next turn goes to the caller whose last turn was longest ago.
#[derive(Debug)]
struct Queue {
    state: Mutex<QueueState>,
}

#[derive(Debug)]
struct QueueState {
    free: usize,
    waiting: VecDeque<(Caller, oneshot::Sender<Turn>)>,
    /// The number of each caller's last turn since the queue was last empty.
    last_turns: HashMap<Caller, u64>,
    turns: u64,
}

/// A turn, passed on when it is dropped.
#[derive(Debug)]
struct Turn(Arc<Queue>);

impl Queue {
    fn new(running: usize) -> Self {
        let (waiting, last_turns) = (VecDeque::new(), HashMap::new());
        Self { state: Mutex::new(QueueState { free: running, waiting, last_turns, turns: 0 }) }
    }

    async fn wait(self: &Arc<Self>, caller: Caller) -> Result<Turn, Problem> {
        let ready = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                state.note_turn(caller);
                return Ok(Turn(Arc::clone(self)));
            }
            let (notify, ready) = oneshot::channel();
            state.waiting.push_back((caller, notify));
            ready
        };
        // The sender lives as long as the queue.
        ready.await.map_err(|closed| Problem::internal(&closed))
    }

    /// Nothing under the lock can panic halfway.
    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    fn note_turn(&mut self, caller: Caller) {
        self.turns += 1;
        self.last_turns.insert(caller, self.turns);
    }

    /// Removes the next caller from the queue, or frees the turn.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        self.waiting.retain(|(_, sender)| !sender.is_closed());
        let last_turn = |caller: &Caller| self.last_turns.get(caller).copied().unwrap_or_default();
        let index = (0..self.waiting.len()).min_by_key(|index| last_turn(&self.waiting[*index].0));
        let Some((caller, sender)) = index.and_then(|index| self.waiting.remove(index)) else {
            self.last_turns.clear();
            self.free += 1;
            return None;
        };
        self.note_turn(caller);
        Some(sender)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.0.lock().next();
        if let Some(sender) = next {
            // If the caller is gone, the turn is dropped and passed on again.
            let _ = sender.send(Self(Arc::clone(&self.0)));
        }
    }
}

/// Cancels work when the request that waits for it is dropped.
#[derive(Debug, Default)]
pub(crate) struct CancelOnDrop(pub(crate) Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: Caller = Caller::Key(0);
    const BOB: Caller = Caller::Key(1);
    const LARGE: u64 = u64::MAX;

    #[tokio::test]
    async fn a_caller_gets_at_most_half_of_the_slots() {
        let bulk = BulkQueue::new(1);
        let mut held: Vec<_> = std::iter::from_fn(|| bulk.enter(ANN).ok()).collect();
        assert_eq!(held.len() as u64, MAX_REQUESTS / 2);
        assert_eq!(bulk.check_capacity(ANN), Err(Problem::Overloaded));
        assert_eq!(bulk.enter(BOB).unwrap().run(LARGE, || Ok(1)).await, Ok(1));
        held.pop();
        assert_eq!(bulk.check_capacity(ANN), Ok(()));
    }

    #[tokio::test]
    async fn a_panic_passes_its_turn_on() {
        let bulk = BulkQueue::new(1);
        let outcome: Result<(), _> = bulk.enter_job(ANN).run(LARGE, || panic!("on purpose")).await;
        assert_eq!(outcome, Err(Problem::Internal));
        assert_eq!(bulk.enter_job(ANN).run(LARGE, || Ok(1)).await, Ok(1));
    }

    #[tokio::test]
    async fn small_work_does_not_wait_for_large_work() {
        let bulk = BulkQueue::new(1);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let long = tokio::spawn(bulk.enter_job(ANN).run(LARGE, move || Ok(ended.recv().is_err())));
        tokio::task::yield_now().await;
        assert_eq!(bulk.enter_job(ANN).run(1000, || Ok(1)).await, Ok(1));
        assert_eq!(bulk.enter_job(ANN).run(2 << 20, || Ok(2)).await, Ok(2));
        drop(end);
        assert_eq!(long.await.unwrap(), Ok(true));
    }

    #[tokio::test]
    async fn callers_take_turns_and_cancelled_ones_are_skipped() {
        let queue = Arc::new(Queue::new(1));
        let first = queue.wait(ANN).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for (name, caller) in [("ann 1", ANN), ("ann 2", ANN), ("ann 3", ANN), ("bob 1", BOB), ("bob 2", BOB)] {
            let (queue, order) = (Arc::clone(&queue), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let _turn = queue.wait(caller).await;
                order.lock().unwrap().push(name);
            }));
            tokio::task::yield_now().await;
        }
        let gone = waiting.remove(1);
        gone.abort();
        assert!(gone.await.is_err());
        drop(first);
        for one in waiting {
            one.await.unwrap();
        }
        assert_eq!(*order.lock().unwrap(), ["bob 1", "ann 1", "bob 2", "ann 3"]);
        assert_eq!(queue.lock().free, 1);
    }
}

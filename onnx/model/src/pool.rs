//! A pool of sessions.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender;

use crate::error::Error;
use crate::runtime::{Session, panic_message};

/// The fixed cost of a run, in rows.
const RUN_COST: usize = 6;

/// Sets of sessions, each used by one caller at a time. Waiting callers are served in order of arrival; otherwise a caller
/// that just released a set could acquire it again before the next one wakes up.
#[derive(Debug)]
pub(crate) struct Pool {
    queue: Mutex<Queue<Vec<Session>>>,
}

/// Idle items and callers waiting for one; at most one of the two is nonempty.
#[derive(Debug)]
struct Queue<T> {
    idle: Vec<T>,
    waiting: VecDeque<Sender<T>>,
}

impl Pool {
    /// A pool of `sets`, at least one, each with a session for every file, by ascending batch size. Opens them on threads.
    pub(crate) fn open<F: Sync>(
        sets: usize,
        files: &[F],
        open: impl Fn(&F) -> Result<Session, Error> + Sync,
    ) -> Result<Self, Error> {
        let stopped = |_| Err(Error::graph("a thread that opens a session panicked"));
        let idle = std::thread::scope(|scope| {
            let open = &open;
            let spawn = |file| scope.spawn(move || open(file));
            let threads: Vec<Vec<_>> = (0..sets.max(1)).map(|_| files.iter().map(spawn).collect()).collect();
            let join = |set: Vec<std::thread::ScopedJoinHandle<'_, _>>| {
                set.into_iter().map(|thread| thread.join().unwrap_or_else(stopped)).collect::<Result<Vec<_>, Error>>()
            };
            threads.into_iter().map(join).collect::<Result<Vec<_>, Error>>()
        })?;
        Ok(Self { queue: Mutex::new(Queue { idle, waiting: VecDeque::new() }) })
    }

    /// Runs the graph on a number of rows. Blocks while it computes or all sets are in use.
    pub(crate) fn run_batch(&self, rows: usize, ids: &[i64], numbers: &[f32]) -> Result<Vec<f32>, Error> {
        let mut set = acquire(&self.queue)?;
        // After a panic the set must be released too.
        let quantiles = catch_unwind(AssertUnwindSafe(|| run_in_set(&mut set, rows, ids, numbers)));
        release(&self.queue, set);
        quantiles.unwrap_or_else(|panic| Err(Error::Panicked(panic_message(&*panic))))
    }
}

fn acquire<T>(queue: &Mutex<Queue<T>>) -> Result<T, Error> {
    let receiver = {
        let mut queue = lock(queue);
        if let Some(idle) = queue.idle.pop() {
            return Ok(idle);
        }
        let (sender, receiver) = crossbeam_channel::bounded(1);
        queue.waiting.push_back(sender);
        receiver
    };
    receiver.recv().map_err(|_| Error::graph("the sessions are closed"))
}

fn release<T>(queue: &Mutex<Queue<T>>, mut item: T) {
    let mut queue = lock(queue);
    while let Some(next) = queue.waiting.pop_front() {
        match next.send(item) {
            Ok(()) => return,
            Err(unsent) => item = unsent.into_inner(),
        }
    }
    queue.idle.push(item);
}

/// Nothing under the lock can panic halfway.
fn lock<T>(queue: &Mutex<Queue<T>>) -> MutexGuard<'_, Queue<T>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_in_set(set: &mut [Session], rows: usize, mut ids: &[i64], mut numbers: &[f32]) -> Result<Vec<f32>, Error> {
    let mut quantiles = Vec::new();
    let mut remaining = rows;
    while remaining > 0 {
        let sizes = set.iter().map(Session::rows);
        let best = cheapest(sizes, remaining).ok_or_else(|| Error::graph("there is no session"))?;
        let count = remaining.min(set[best].rows());
        let (these_ids, other_ids) = ids.split_at(ids.len() / remaining * count);
        let (these_numbers, other_numbers) = numbers.split_at(numbers.len() / remaining * count);
        set[best].run_batch(these_ids, these_numbers, &mut quantiles)?;
        (ids, numbers, remaining) = (other_ids, other_numbers, remaining - count);
    }
    if ids.is_empty() && numbers.is_empty() {
        Ok(quantiles)
    } else {
        Err(Error::graph(format!("after {rows} rows, {} ids and {} numbers remain", ids.len(), numbers.len())))
    }
}

/// The index of the cheapest session size for this many rows.
fn cheapest(sizes: impl Iterator<Item = usize>, rows: usize) -> Option<usize> {
    let costs = sizes.enumerate().map(|(index, size)| (rows.div_ceil(size) * (RUN_COST + size), index));
    costs.min().map(|(_, index)| index)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_waiting_caller_precedes_the_one_that_released() {
        let queue = Mutex::new(Queue { idle: vec![()], waiting: VecDeque::new() });
        std::thread::scope(|scope| {
            let first = acquire(&queue);
            let second = scope.spawn(|| acquire(&queue));
            while lock(&queue).waiting.is_empty() {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(first.is_ok());
            release(&queue, ());
            assert!(lock(&queue).idle.is_empty(), "it belongs to the second caller");
            assert!(second.join().unwrap().is_ok());
            release(&queue, ());
            assert_eq!(lock(&queue).idle.len(), 1);
        });
    }

    #[test]
    fn the_cheapest_sessions_are_used() {
        let chosen = |rows| cheapest([4, 12, 24].into_iter(), rows).unwrap();
        let indices: Vec<_> = [1, 4, 5, 12, 13, 24, 25, 1000].into_iter().map(chosen).collect();
        assert_eq!(indices, [0, 0, 1, 1, 2, 2, 1, 2]);
    }
}

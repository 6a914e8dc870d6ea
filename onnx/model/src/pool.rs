//! A pool of sessions.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender;
use prost::Message;

use crate::error::Error;
use crate::graph::{Graph, Widths};
use crate::runtime::{Runtime, Session, panic_message};

/// The fixed cost of a run, in rows.
const RUN_COST: usize = 6;

/// What sessions are opened from.
pub(crate) struct SessionSource {
    pub(crate) runtime: Runtime,
    pub(crate) widths: Widths,
    pub(crate) graph: Mutex<Graph>,
}

impl SessionSource {
    fn open(&self, rows: usize) -> Result<Session, Error> {
        let file = lock(&self.graph).with_rows(rows).encode_to_vec();
        Session::open(&self.runtime, &file, self.widths, rows)
    }
}

/// Sets of sessions, each used by one caller at a time. Waiting callers are served in order of arrival; otherwise a caller
/// that just released a set could acquire it again before the next one wakes up. A session is opened when it is first needed.
pub(crate) struct Pool {
    queue: Mutex<Queue<Vec<LazySession>>>,
    source: Arc<SessionSource>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// A session for a number of rows, once it is open.
#[derive(Debug)]
struct LazySession {
    rows: usize,
    session: Option<Session>,
}

impl LazySession {
    fn get(&mut self, source: &SessionSource) -> Result<&mut Session, Error> {
        let session = match self.session.take() {
            Some(session) => session,
            None => source.open(self.rows)?,
        };
        Ok(self.session.insert(session))
    }
}

/// Idle items and callers waiting for one; at most one of the two is nonempty.
#[derive(Debug)]
struct Queue<T> {
    idle: Vec<T>,
    waiting: VecDeque<Sender<T>>,
}

impl Pool {
    /// A pool of `sets`, at least one, each with a session for each of these numbers of rows, in ascending order.
    pub(crate) fn new(sets: usize, rows: &[usize], source: Arc<SessionSource>) -> Self {
        let set = || rows.iter().map(|rows| LazySession { rows: *rows, session: None }).collect();
        let idle = (0..sets.max(1)).map(|_| set()).collect();
        Self { queue: Mutex::new(Queue { idle, waiting: VecDeque::new() }), source }
    }

    /// Opens all sessions of up to this many rows, each on a thread. Nobody else uses the pool yet.
    pub(crate) fn open_up_to(&mut self, rows: usize) -> Result<(), Error> {
        let stopped = |_| Err(Error::graph("a thread that opens a session panicked"));
        let queue = self.queue.get_mut().unwrap_or_else(PoisonError::into_inner);
        let sessions = queue.idle.iter_mut().flatten().filter(|session| session.rows <= rows);
        let source = &self.source;
        std::thread::scope(|scope| {
            let open = |session: &'_ mut LazySession| session.get(source).map(|_| ());
            let threads: Vec<_> = sessions.map(|session| scope.spawn(move || open(session))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(stopped))
        })
    }

    /// Runs the graph on a number of rows. Blocks while it computes or all sets are in use.
    pub(crate) fn run_batch(&self, rows: usize, ids: &[i64], numbers: &[f32]) -> Result<Vec<f32>, Error> {
        let mut set = acquire(&self.queue)?;
        // After a panic the set must be released too.
        let quantiles = catch_unwind(AssertUnwindSafe(|| run_in_set(&mut set, &self.source, rows, ids, numbers)));
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

/// What the locks guard is complete after each change, and so also after a panic.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_in_set(
    set: &mut [LazySession],
    source: &SessionSource,
    rows: usize,
    mut ids: &[i64],
    mut numbers: &[f32],
) -> Result<Vec<f32>, Error> {
    let mut quantiles = Vec::new();
    let mut remaining = rows;
    while remaining > 0 {
        let sizes = set.iter().map(|session| session.rows);
        let best = cheapest(sizes, remaining).ok_or_else(|| Error::graph("there is no session"))?;
        let count = remaining.min(set[best].rows);
        let (these_ids, other_ids) = ids.split_at(ids.len() / remaining * count);
        let (these_numbers, other_numbers) = numbers.split_at(numbers.len() / remaining * count);
        set[best].get(source)?.run_batch(these_ids, these_numbers, &mut quantiles)?;
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

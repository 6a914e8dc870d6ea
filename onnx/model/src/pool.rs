//! A pool of sessions, each lent to one caller at a time.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_channel::Sender;

use crate::error::Error;
use crate::runtime::{Session, panic_message};

/// The fixed cost of a run, measured in rows.
const RUN: usize = 6;

/// A few sets of sessions, each used by one caller at a time. Waiting callers are served in order of arrival; otherwise
/// a caller that just returned a set would take it again before the next one wakes up.
#[derive(Debug)]
pub(crate) struct Pool {
    queue: Mutex<Queue<Vec<Session>>>,
}

/// Idle things, and those waiting for one. No one waits while one is idle.
#[derive(Debug)]
struct Queue<T> {
    idle: Vec<T>,
    waiting: VecDeque<Sender<T>>,
}

impl Pool {
    /// A pool of `sets`, one at least, each a session for every number of rows that `open` is called with.
    pub(crate) fn open(
        sets: usize,
        rows: &[usize],
        mut open: impl FnMut(usize) -> Result<Session, Error>,
    ) -> Result<Self, Error> {
        let set = |_| rows.iter().map(|rows| open(*rows)).collect::<Result<_, _>>();
        let idle = (0..sets.max(1)).map(set).collect::<Result<_, _>>()?;
        Ok(Self { queue: Mutex::new(Queue { idle, waiting: VecDeque::new() }) })
    }

    /// Runs the graph on so many rows. Blocks while it computes, and while every set is in use.
    pub(crate) fn run_batch(&self, rows: usize, ids: &[i64], numbers: &[f32]) -> Result<Vec<f32>, Error> {
        let mut set = borrow(&self.queue)?;
        // A set lost to a panic would be waited for forever.
        let quantiles = catch_unwind(AssertUnwindSafe(|| run_in_set(&mut set, rows, ids, numbers)));
        give_back(&self.queue, set);
        quantiles.unwrap_or_else(|panic| Err(Error::Panicked(panic_message(&*panic))))
    }
}

fn borrow<T>(queue: &Mutex<Queue<T>>) -> Result<T, Error> {
    let lent = {
        let mut queue = lock(queue);
        if let Some(idle) = queue.idle.pop() {
            return Ok(idle);
        }
        let (lender, lent) = crossbeam_channel::bounded(1);
        queue.waiting.push_back(lender);
        lent
    };
    lent.recv().map_err(|_| Error::graph("its sessions are closed"))
}

fn give_back<T>(queue: &Mutex<Queue<T>>, mut thing: T) {
    let mut queue = lock(queue);
    while let Some(next) = queue.waiting.pop_front() {
        match next.send(thing) {
            Ok(()) => return,
            Err(unsent) => thing = unsent.into_inner(),
        }
    }
    queue.idle.push(thing);
}

/// A poisoned lock is taken all the same: nothing inside it can panic.
fn lock<T>(queue: &Mutex<Queue<T>>) -> MutexGuard<'_, Queue<T>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn run_in_set(set: &mut [Session], rows: usize, mut ids: &[i64], mut numbers: &[f32]) -> Result<Vec<f32>, Error> {
    let mut quantiles = Vec::new();
    let mut left = rows;
    while left > 0 {
        let sizes = set.iter().map(Session::rows);
        let best = cheapest(sizes, left).ok_or_else(|| Error::graph("it has no session"))?;
        let count = left.min(set[best].rows());
        let (these_ids, other_ids) = ids.split_at(ids.len() / left * count);
        let (these_numbers, other_numbers) = numbers.split_at(numbers.len() / left * count);
        set[best].run_batch(these_ids, these_numbers, &mut quantiles)?;
        (ids, numbers, left) = (other_ids, other_numbers, left - count);
    }
    if ids.is_empty() && numbers.is_empty() {
        Ok(quantiles)
    } else {
        Err(Error::graph(format!("{rows} rows leave {} ids and {} numbers over", ids.len(), numbers.len())))
    }
}

/// The position of the session size that is cheapest for this many rows.
fn cheapest(sizes: impl Iterator<Item = usize>, rows: usize) -> Option<usize> {
    let costs = sizes.enumerate().map(|(place, size)| (rows.div_ceil(size) * (RUN + size), place));
    costs.min().map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn whoever_waits_goes_before_whoever_has_just_had_one() {
        let queue = Mutex::new(Queue { idle: vec![()], waiting: VecDeque::new() });
        std::thread::scope(|scope| {
            let first = borrow(&queue);
            let second = scope.spawn(|| borrow(&queue));
            while lock(&queue).waiting.is_empty() {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(first.is_ok());
            give_back(&queue, ());
            assert!(lock(&queue).idle.is_empty(), "it is the second one's already");
            assert!(second.join().unwrap().is_ok());
            give_back(&queue, ());
            assert_eq!(lock(&queue).idle.len(), 1);
        });
    }

    #[test]
    fn rows_are_computed_where_they_cost_least() {
        let chosen = |rows| cheapest([4, 12, 16, 24].into_iter(), rows).unwrap();
        let places: Vec<_> = [1, 4, 5, 12, 13, 16, 17, 24, 25, 1000].into_iter().map(chosen).collect();
        assert_eq!(places, [0, 0, 1, 1, 2, 2, 3, 3, 2, 3]);
    }
}

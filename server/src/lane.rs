//! Where many cars are valued at a time: batches and workbooks, beside the threads for single cars. They wait in lines by
//! how much work they are, so that a few cars never wait for many; in each line callers take turns; and they are worked
//! on in threads of a lower priority the longer they take, so that the system lets everything shorter go first.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::process::setpriority_process;
use tokio::sync::oneshot;

use crate::budget::{Budget, Caller, Share};
use crate::problem::Problem;

/// Threads of one batch or workbook.
pub(crate) const BULK_THREADS: usize = 2;
/// Requests that may wait or be worked on. What they hold in memory and on the disk has budgets of its own.
const PLACES: u64 = 512;

/// The lines: up to how many bytes of a workbook, inflated, a work stands in it, how much of it is worked on at a time at
/// least, and by how much its threads stand back (`nice`). A megabyte is a tenth of a second of work, the largest
/// workbook many seconds.
const LINES: [(u64, usize, i32); 4] = [(512 << 10, 4, 3), (8 << 20, 2, 6), (32 << 20, 1, 9), (u64::MAX, 1, 12)];
/// As much work as a byte of JSON is, in bytes of a workbook.
pub(crate) const JSON_BYTE: u64 = 8;

/// The lines.
#[derive(Debug)]
pub(crate) struct Lane {
    lines: [Arc<Line>; LINES.len()],
    places: Arc<Budget>,
}

/// Work that may wait for its turn.
#[derive(Debug)]
pub(crate) struct Place {
    lines: [Arc<Line>; LINES.len()],
    caller: Caller,
    /// None for a job, which counts among the caller's jobs.
    share: Option<Share>,
}

impl Lane {
    /// Lines of which even that for the most work goes on with `at_once` at a time.
    pub(crate) fn new(at_once: usize) -> Self {
        let lines = LINES.map(|(_, least, _)| Arc::new(Line::new(at_once.max(least))));
        Self { lines, places: Budget::new(PLACES) }
    }

    /// A place, or a refusal at once when too much waits already.
    pub(crate) fn enter(&self, caller: Caller) -> Result<Place, Problem> {
        let mut share = self.places.share(caller);
        share.grow(1).map_err(|_| Problem::Overloaded)?;
        Ok(Place { share: Some(share), ..self.wait(caller) })
    }

    /// Refuses a caller who would find no place now.
    pub(crate) fn check_room(&self, caller: Caller) -> Result<(), Problem> {
        if self.places.has_room(caller, 1) { Ok(()) } else { Err(Problem::Overloaded) }
    }

    /// A place for a job, which may be waited for as long as it takes.
    pub(crate) fn wait(&self, caller: Caller) -> Place {
        Place { lines: self.lines.clone(), caller, share: None }
    }
}

impl Place {
    /// Does work, as much as so many bytes of a workbook are, on a thread of its own once it is its turn.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        bytes: u64,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let line = LINES.iter().position(|(most, ..)| bytes <= *most).unwrap_or(LINES.len() - 1);
        let turn = self.lines[line].turn(self.caller).await?;
        let nice = LINES[line].2;
        let span = tracing::Span::current();
        let (tell, told) = oneshot::channel();
        let started = thread::Builder::new().name("bulk".to_owned()).spawn(move || {
            // Held by the work itself: it goes on for a while when its request is gone.
            let room = (self.share, turn);
            stand_back(nice);
            let outcome = span.in_scope(work);
            // Whoever is told finds the room free.
            drop(room);
            // Nobody may be waiting any more.
            let _ = tell.send(outcome);
        });
        started.map_err(|error| Problem::internal(&error))?;
        told.await.unwrap_or_else(|_| Err(Problem::internal(&"the thread of a batch or a workbook panicked")))
    }
}

/// Lowers the priority of this thread, and of those that it starts.
fn stand_back(nice: i32) {
    if let Err(error) = setpriority_process(None, nice) {
        tracing::debug!(%error, "A thread could not be given a lower priority.");
    }
}

/// A line: so much is worked on at a time. Of those who wait it is the turn of the caller whose last turn is the longest
/// ago.
#[derive(Debug)]
struct Line {
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    free: usize,
    waiting: VecDeque<(Caller, oneshot::Sender<Turn>)>,
    /// The number of each caller's last turn, of those since anybody waits.
    last_turns: HashMap<Caller, u64>,
    turns: u64,
}

/// A turn, which the next one gets when it is dropped.
#[derive(Debug)]
struct Turn(Arc<Line>);

impl Line {
    fn new(at_once: usize) -> Self {
        let (waiting, last_turns) = (VecDeque::new(), HashMap::new());
        Self { queue: Mutex::new(Queue { free: at_once, waiting, last_turns, turns: 0 }) }
    }

    async fn turn(self: &Arc<Self>, caller: Caller) -> Result<Turn, Problem> {
        let ready = {
            let mut queue = self.lock();
            if queue.free > 0 {
                queue.free -= 1;
                queue.note_turn(caller);
                return Ok(Turn(Arc::clone(self)));
            }
            let (notify, ready) = oneshot::channel();
            queue.waiting.push_back((caller, notify));
            ready
        };
        // The line lives as long as this.
        ready.await.map_err(|closed| Problem::internal(&closed))
    }

    /// A panic leaves the queue whole: nothing is done within that could.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn note_turn(&mut self, caller: Caller) {
        self.turns += 1;
        self.last_turns.insert(caller, self.turns);
    }

    /// Whose turn it is, if anybody waits.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        self.waiting.retain(|(_, call)| !call.is_closed());
        let last_turn = |caller: &Caller| self.last_turns.get(caller).copied().unwrap_or_default();
        let place = (0..self.waiting.len()).min_by_key(|place| last_turn(&self.waiting[*place].0));
        let Some((caller, call)) = place.and_then(|place| self.waiting.remove(place)) else {
            self.last_turns.clear();
            self.free += 1;
            return None;
        };
        self.note_turn(caller);
        Some(call)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = self.0.lock().next();
        if let Some(call) = next {
            // Whoever is gone by now drops it in turn.
            let _ = call.send(Self(Arc::clone(&self.0)));
        }
    }
}

/// Tells work, when its request is dropped, that nobody waits for it any more.
#[derive(Debug, Default)]
pub(crate) struct Abandon(pub(crate) Arc<AtomicBool>);

impl Drop for Abandon {
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
    async fn a_caller_leaves_places_to_others() {
        let lane = Lane::new(1);
        let mut held: Vec<_> = std::iter::from_fn(|| lane.enter(ANN).ok()).collect();
        assert_eq!(held.len() as u64, PLACES / 2);
        assert_eq!(lane.check_room(ANN), Err(Problem::Overloaded));
        assert_eq!(lane.enter(BOB).unwrap().run(LARGE, || Ok(1)).await, Ok(1));
        held.pop();
        assert_eq!(lane.check_room(ANN), Ok(()));
    }

    #[tokio::test]
    async fn a_panic_gives_its_turn_back() {
        let lane = Lane::new(1);
        let outcome: Result<(), _> = lane.wait(ANN).run(LARGE, || panic!("on purpose")).await;
        assert_eq!(outcome, Err(Problem::Internal));
        assert_eq!(lane.wait(ANN).run(LARGE, || Ok(1)).await, Ok(1));
    }

    #[tokio::test]
    async fn little_work_does_not_wait_for_much() {
        let lane = Lane::new(1);
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let long = tokio::spawn(lane.wait(ANN).run(LARGE, move || Ok(ended.recv().is_err())));
        tokio::task::yield_now().await;
        assert_eq!(lane.wait(ANN).run(1000, || Ok(1)).await, Ok(1));
        assert_eq!(lane.wait(ANN).run(2 << 20, || Ok(2)).await, Ok(2));
        drop(end);
        assert_eq!(long.await.unwrap(), Ok(true));
    }

    #[tokio::test]
    async fn callers_take_turns_and_those_who_are_gone_lose_theirs() {
        let line = Arc::new(Line::new(1));
        let first = line.turn(ANN).await.unwrap();
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for (name, caller) in [("ann 1", ANN), ("ann 2", ANN), ("ann 3", ANN), ("bob 1", BOB), ("bob 2", BOB)] {
            let (line, order) = (Arc::clone(&line), Arc::clone(&order));
            waiting.push(tokio::spawn(async move {
                let _turn = line.turn(caller).await;
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
        assert_eq!(line.lock().free, 1);
    }
}

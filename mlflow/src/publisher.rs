//! Publishes runs beside other work, which it neither slows nor stops.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::registry::Champions;
use crate::run::{Published, RunCopy, Subject};
use crate::tracking::Tracking;

/// The time between passes.
const INTERVAL: Duration = Duration::from_secs(2);
/// The maximum time between attempts while MLflow is unavailable.
const MAX_DELAY: Duration = Duration::from_secs(10);
/// The time between attempts at the end.
const FINAL_DELAY: Duration = Duration::from_secs(1);
/// How often the end is checked for.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Publishes runs on a thread of its own.
#[derive(Debug)]
pub struct Publisher {
    commands: Sender<Command>,
    thread: JoinHandle<()>,
    abandoned: Arc<AtomicBool>,
    unfinished: Arc<Mutex<Unfinished>>,
}

/// What has not been sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unfinished {
    /// The runs of which something is missing on MLflow.
    pub runs: Vec<i64>,
    /// The last failure.
    pub cause: Option<String>,
}

enum Command {
    /// Publish a run until it is over.
    Follow(i64),
    /// Keep the aliases of champions up to date.
    FollowChampions,
}

impl Publisher {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub fn start(tracking: Tracking) -> std::io::Result<Self> {
        let (commands, received) = channel();
        let abandoned = Arc::clone(tracking.abandoned());
        let unfinished = Arc::new(Mutex::new(Unfinished::default()));
        let worker = Worker {
            tracking,
            runs: BTreeMap::new(),
            follows_champions: false,
            champions: Champions::new(),
            is_failing: false,
            has_succeeded: false,
            unfinished: Arc::clone(&unfinished),
        };
        let thread =
            std::thread::Builder::new().name("mlflow".to_owned()).spawn(move || worker.work_until_closed(&received))?;
        Ok(Self { commands, thread, abandoned, unfinished })
    }

    /// Publishes a run until it is over.
    pub fn follow(&self, run: i64) {
        // A thread that has ended has been reported by its panic.
        let _ = self.commands.send(Command::Follow(run));
    }

    /// Keeps the aliases of champions up to date.
    pub fn follow_champions(&self) {
        let _ = self.commands.send(Command::FollowChampions);
    }

    /// Sends the rest, unless `is_too_long` says of the time so far that this takes too long.
    ///
    /// # Errors
    /// What has not been sent.
    pub fn finish(self, is_too_long: impl Fn(Duration) -> bool) -> std::result::Result<(), Unfinished> {
        let Self { commands, thread, abandoned, unfinished } = self;
        drop(commands);
        let started = Instant::now();
        while !thread.is_finished() && !is_too_long(started.elapsed()) {
            std::thread::sleep(POLL_INTERVAL);
        }
        abandoned.store(true, Ordering::Relaxed);
        let left = unfinished.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if thread.is_finished() && left == Unfinished::default() { Ok(()) } else { Err(left) }
    }
}

/// The work of the thread.
struct Worker {
    tracking: Tracking,
    runs: BTreeMap<i64, RunCopy>,
    follows_champions: bool,
    champions: Champions,
    /// Whether the last attempt failed.
    is_failing: bool,
    /// Whether an attempt has succeeded.
    has_succeeded: bool,
    unfinished: Arc<Mutex<Unfinished>>,
}

impl Worker {
    fn work_until_closed(mut self, commands: &Receiver<Command>) {
        let mut delay = INTERVAL;
        loop {
            match commands.recv_timeout(delay) {
                Ok(Command::Follow(run)) => {
                    self.runs.insert(run, RunCopy::new(Subject::Run(run)));
                    self.note_unfinished(None);
                    continue;
                }
                Ok(Command::FollowChampions) => {
                    self.follows_champions = true;
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            delay = if self.attempt(false).is_ok() { INTERVAL } else { MAX_DELAY.min(delay * 2) };
        }
        // One more attempt is enough if the last ones failed.
        let is_likely = self.has_succeeded && !self.is_failing;
        while self.attempt(true).is_err_and(|error| error.is_temporary()) && is_likely {
            std::thread::sleep(FINAL_DELAY);
        }
    }

    /// Sends what is missing. The first failure of several is reported.
    fn attempt(&mut self, is_last: bool) -> Result<()> {
        let result = self.publish(is_last);
        self.note_unfinished(result.as_ref().err());
        match (&result, self.is_failing) {
            (Err(error), false) if !matches!(error, Error::Abandoned) => {
                tracing::warn!("{error}. What is missing on MLflow is sent later; nothing else waits for it.");
            }
            (Ok(()), true) => tracing::info!("MLflow is available again."),
            _ => {}
        }
        self.is_failing = result.is_err();
        self.has_succeeded |= result.is_ok();
        result
    }

    /// Sends what is missing of all runs, and forgets those that are over. One that fails does not stop the others.
    fn publish(&mut self, is_last: bool) -> Result<()> {
        let mut failure = None;
        let tracking = &self.tracking;
        self.runs.retain(|run, copy| match copy.send(tracking) {
            Ok(Published::Complete(_)) => false,
            Ok(Published::SoFar(_)) => !is_last,
            Ok(Published::Deleted) => {
                tracing::warn!("Run {run} was deleted on MLflow, and is not published again.");
                false
            }
            Err(error) => {
                failure = Some(error);
                true
            }
        });
        if let Some(error) = failure {
            return Err(error);
        }
        if is_last || self.follows_champions {
            self.tracking.update_champions(&mut self.champions)?;
        }
        Ok(())
    }

    fn note_unfinished(&self, failure: Option<&Error>) {
        let mut unfinished = self.unfinished.lock().unwrap_or_else(PoisonError::into_inner);
        unfinished.runs = self.runs.keys().copied().collect();
        unfinished.cause = failure.map(Error::to_string);
    }
}

//! Threads that value single cars. Each takes what is waiting as one batch: a server with much to do works at the cost
//! of batches, and on one with little nobody waits for company.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use domain::{Listing, Valuation};
use onnx_model::model::FEW;
use tokio::sync::oneshot;

use crate::engine::{Models, Served};
use crate::metrics::Metrics;
use crate::problem::Problem;

/// Batches take milliseconds: a thread that is at one for this long will not come back.
const STUCK: Duration = Duration::from_millis(1500);

/// What a request asks.
#[derive(Debug)]
pub(crate) struct Question {
    /// The car that is asked about, and others to compare it with that the same version is to value.
    pub(crate) listings: Vec<Listing>,
    /// The share of prices that the ranges are to hold.
    pub(crate) level: f64,
    /// The day of listings without one.
    pub(crate) today: NaiveDate,
}

/// What it is told.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The version that valued all of the cars.
    pub(crate) served: Arc<Served>,
    /// In the order of the cars. Only that of the first one has warnings.
    pub(crate) valuations: Vec<Valuation>,
}

/// A question on its way, dropped by its thread when nobody waits for the answer any more.
#[derive(Debug)]
struct Job {
    question: Arc<Question>,
    answer: oneshot::Sender<Result<Answer, Problem>>,
}

/// The threads and their queue.
#[derive(Debug)]
pub(crate) struct Inference {
    jobs: Sender<Job>,
    metrics: Arc<Metrics>,
    threads: Vec<(JoinHandle<()>, Arc<Pulse>)>,
    /// Beats when the first question joins the queue, and whenever a thread takes some.
    queue_pulse: Arc<Pulse>,
}

/// Since when a thread is at something, or the queue has not moved, for those who watch.
#[derive(Debug)]
struct Pulse {
    began: Instant,
    /// Milliseconds from the beginning until then, and one more; 0 while there is nothing.
    busy_since: AtomicU64,
}

impl Inference {
    /// Starts so many threads, which must be one at least, before which so many questions may wait.
    ///
    /// # Errors
    /// The system has no room for another thread.
    pub(crate) fn start(
        threads: usize,
        waiting: usize,
        models: &Arc<Models>,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<Self> {
        let (jobs, queue) = crossbeam_channel::bounded(waiting.max(1));
        let queue_pulse = Arc::new(Pulse::new());
        let start = |number| {
            let pulse = Arc::new(Pulse::new());
            let (queue, models, metrics) = (queue.clone(), Arc::clone(models), Arc::clone(metrics));
            let queue_pulse = Arc::clone(&queue_pulse);
            let worker = Worker { queue, models, metrics, threads, pulse: Arc::clone(&pulse), queue_pulse };
            let thread = thread::Builder::new().name(format!("inference-{number}")).spawn(move || worker.run())?;
            Ok((thread, pulse))
        };
        let threads = (0..threads).map(start).collect::<std::io::Result<_>>()?;
        Ok(Self { jobs, metrics: Arc::clone(metrics), threads, queue_pulse })
    }

    /// Asks, and waits for the answer; refused at once when too many wait already.
    pub(crate) async fn ask(&self, question: Question) -> Result<Answer, Problem> {
        let question = Arc::new(question);
        let (answer, answered) = oneshot::channel();
        if self.jobs.is_empty() {
            self.queue_pulse.begin();
        }
        self.jobs.try_send(Job { question: Arc::clone(&question), answer }).map_err(|error| match error {
            TrySendError::Full(_) => Problem::Overloaded,
            TrySendError::Disconnected(_) => Problem::internal(&"all inference threads have ended"),
        })?;
        let answer = answered.await.unwrap_or_else(|_| Err(Problem::internal(&"an inference thread ended")));
        let mut answer = answer?;
        if let (Some(car), Some(valuation)) = (question.listings.first(), answer.valuations.first_mut()) {
            // Not on a thread that computes: other cars wait for it.
            valuation.warnings = answer.served.model.warnings(car);
            self.metrics.valued(answer.served.version, std::slice::from_ref(valuation));
        }
        Ok(answer)
    }

    /// Whether a question would be refused now.
    pub(crate) fn is_full(&self) -> bool {
        self.jobs.is_full()
    }

    /// How many questions wait for a thread.
    pub(crate) fn waiting(&self) -> usize {
        self.jobs.len()
    }

    /// Whether a thread has ended or hangs, or questions wait that none takes.
    pub(crate) fn is_stuck(&self) -> bool {
        let nobody_takes = !self.jobs.is_empty() && self.queue_pulse.is_stuck();
        nobody_takes || self.threads.iter().any(|(thread, pulse)| thread.is_finished() || pulse.is_stuck())
    }
}

impl Pulse {
    fn new() -> Self {
        Self { began: Instant::now(), busy_since: AtomicU64::new(0) }
    }

    fn begin(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.busy_since.store(now + 1, Ordering::Relaxed);
    }

    fn end(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
    }

    fn is_stuck(&self) -> bool {
        let since = self.busy_since.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_millis);
        since.is_some_and(|since| self.began.elapsed().saturating_sub(since) >= STUCK)
    }
}

struct Worker {
    queue: Receiver<Job>,
    models: Arc<Models>,
    metrics: Arc<Metrics>,
    threads: usize,
    pulse: Arc<Pulse>,
    queue_pulse: Arc<Pulse>,
}

impl Worker {
    fn run(self) {
        while let Ok(first) = self.queue.recv() {
            self.pulse.begin();
            let mut jobs = self.batch(first);
            self.queue_pulse.begin();
            // Whoever has given up waiting costs nothing more.
            jobs.retain(|job| !job.answer.is_closed());
            if !jobs.is_empty() {
                self.answer(jobs);
            }
            self.pulse.end();
        }
    }

    fn answer(&self, jobs: Vec<Job>) {
        let answers = catch_unwind(AssertUnwindSafe(|| value(&self.models, &self.metrics, &jobs)));
        let answers = answers.unwrap_or_else(|_| {
            // The panic has told the log what happened.
            jobs.iter().map(|_| Err(Problem::Internal)).collect()
        });
        for (job, answer) in jobs.into_iter().zip(answers) {
            // Nobody may be waiting any more.
            let _ = job.answer.send(answer);
        }
    }

    /// A fair share of what is waiting, so that no thread idles while another has all the work.
    fn batch(&self, first: Job) -> Vec<Job> {
        let share = self.queue.len().div_ceil(self.threads);
        let mut listings = first.question.listings.len();
        let mut jobs = vec![first];
        while jobs.len() <= share && listings < FEW {
            let Ok(job) = self.queue.try_recv() else { break };
            listings += job.question.listings.len();
            jobs.push(job);
        }
        jobs
    }
}

/// Values the cars of all jobs by one version, in one run of the graph.
fn value(models: &Models, metrics: &Metrics, jobs: &[Job]) -> Vec<Result<Answer, Problem>> {
    let all = |problem: &Problem| jobs.iter().map(|_| Err(problem.clone())).collect();
    let served = match models.served() {
        Ok(served) => served,
        Err(problem) => return all(&problem),
    };
    let questions = jobs.iter().map(|job| &job.question);
    let listings =
        questions.clone().flat_map(|question| question.listings.iter().map(move |listing| (listing, question.today)));
    let predicted = match served.model.predict(listings.collect()) {
        Ok(predicted) => predicted,
        Err(error) => return all(&Problem::internal(&error)),
    };
    metrics.batch(predicted.len());
    // Of each question the car that was asked for, not those that it is compared with.
    let firsts = jobs.iter().scan(0, |next, job| Some(std::mem::replace(next, *next + job.question.listings.len())));
    served.model.observe(&predicted, firsts);
    let mut first = 0;
    let answers = questions.map(|question| {
        let rows = first..first + question.listings.len();
        first = rows.end;
        let valuations = rows.map(|row| served.model.valuation(&predicted, row, question.level));
        let valuations = valuations.collect::<Result<Vec<_>, _>>().map_err(|error| Problem::internal(&error))?;
        Ok(Answer { served: Arc::clone(&served), valuations })
    });
    answers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Question {
        Question { listings: vec![Listing::default()], level: 0.8, today: NaiveDate::default() }
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_takes_questions_again() {
        let (jobs, queue) = crossbeam_channel::bounded(1);
        let inference =
            Inference { jobs, metrics: Metrics::new(), threads: Vec::new(), queue_pulse: Arc::new(Pulse::new()) };
        let waiting = inference.ask(question());
        tokio::pin!(waiting);
        assert!(is_pending(waiting.as_mut()).await);
        assert_eq!(inference.ask(question()).await.unwrap_err(), Problem::Overloaded);
        drop(queue.recv());
        assert_eq!(waiting.await.unwrap_err(), Problem::Internal);
        assert!(is_pending(std::pin::pin!(inference.ask(question()))).await);
    }

    async fn is_pending(future: std::pin::Pin<&mut impl Future>) -> bool {
        tokio::time::timeout(Duration::from_millis(20), future).await.is_err()
    }

    #[tokio::test]
    async fn without_a_model_every_question_is_answered_so() {
        let inference = Inference::start(2, 8, &Arc::new(Models::default()), &Metrics::new()).unwrap();
        assert_eq!(inference.ask(question()).await.unwrap_err(), Problem::NoModel);
        assert!(!inference.is_stuck());
    }

    #[tokio::test]
    async fn questions_that_nobody_waits_for_are_dropped_and_the_next_is_answered() {
        let inference = Inference::start(1, 16, &Arc::new(Models::default()), &Metrics::new()).unwrap();
        for _ in 0..8 {
            let (answer, answered) = oneshot::channel();
            drop(answered);
            inference.jobs.send(Job { question: Arc::new(question()), answer }).unwrap();
        }
        assert_eq!(inference.ask(question()).await.unwrap_err(), Problem::NoModel);
        assert!(!inference.is_stuck());
    }

    #[tokio::test]
    async fn a_queue_that_nobody_takes_from_is_stuck() {
        let Some(began) = Instant::now().checked_sub(2 * STUCK) else { return };
        let (jobs, queue) = crossbeam_channel::bounded(2);
        let queue_pulse = Arc::new(Pulse { began, busy_since: AtomicU64::new(1) });
        let inference =
            Inference { jobs, metrics: Metrics::new(), threads: Vec::new(), queue_pulse: Arc::clone(&queue_pulse) };
        assert!(!inference.is_stuck(), "nothing waits");
        let waiting = inference.ask(question());
        tokio::pin!(waiting);
        assert!(is_pending(waiting.as_mut()).await);
        assert!(!inference.is_stuck(), "it waits since a moment ago");
        queue_pulse.busy_since.store(1, Ordering::Relaxed);
        assert!(inference.is_stuck());
        drop(queue);
    }

    #[test]
    fn a_thread_that_is_long_at_one_batch_is_stuck() {
        let Some(began) = Instant::now().checked_sub(2 * STUCK) else { return };
        let pulse = Pulse { began, busy_since: AtomicU64::new(1) };
        assert!(pulse.is_stuck());
        pulse.begin();
        assert!(!pulse.is_stuck());
        pulse.end();
        assert!(!pulse.is_stuck());
    }
}

//! The threads that value single cars. Each takes its share of the queue as one batch, so a busy server has the efficiency of
//! batches, and on an idle one no request waits for others.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chrono::NaiveDate;
use crossbeam_channel::{Receiver, Sender, TrySendError};
use domain::{Listing, Valuation};
use onnx_model::model::MAX_QUICK_ROWS;
use tokio::sync::oneshot;

use crate::http::problem::Problem;
use crate::observability::metrics::Metrics;
use crate::serving::models::Served;

/// A batch takes milliseconds: a thread that works on one for this long will not return.
const STUCK_AFTER: Duration = Duration::from_millis(1500);

/// The cars of a request.
#[derive(Debug)]
pub(crate) struct ValuationRequest {
    /// The model that values them.
    pub(crate) served: Arc<Served>,
    /// The car to value, followed by variants to compare it with, all valued by the same version.
    pub(crate) listings: Vec<Listing>,
    /// The share of prices that the intervals cover.
    pub(crate) level: f64,
    /// The date of listings without one.
    pub(crate) today: NaiveDate,
}

/// A request in the queue. It is dropped if its sender is gone.
#[derive(Debug)]
struct QueuedRequest {
    request: Arc<ValuationRequest>,
    response: oneshot::Sender<Result<Vec<Valuation>, Problem>>,
}

/// The threads and their queue.
#[derive(Debug)]
pub(crate) struct Inference {
    sender: Sender<QueuedRequest>,
    metrics: Arc<Metrics>,
    threads: Vec<(JoinHandle<()>, Arc<Watchdog>)>,
    /// Restarted when a request enters the empty queue, and when a thread takes requests.
    queue_watchdog: Arc<Watchdog>,
}

/// Detects a thread that works on a batch for too long, or a queue that is not processed.
#[derive(Debug)]
struct Watchdog {
    created: Instant,
    /// Milliseconds since `created`, plus one; 0 when idle.
    busy_since: AtomicU64,
}

impl Inference {
    /// Starts at least one thread, with a queue of `capacity` requests.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub(crate) fn start(threads: usize, capacity: usize, metrics: &Arc<Metrics>) -> std::io::Result<Self> {
        let (sender, queue) = crossbeam_channel::bounded(capacity.max(1));
        let queue_watchdog = Arc::new(Watchdog::new());
        let start = |number| {
            let watchdog = Arc::new(Watchdog::new());
            let (queue, metrics) = (queue.clone(), Arc::clone(metrics));
            let queue_watchdog = Arc::clone(&queue_watchdog);
            let worker = Worker { queue, metrics, threads, watchdog: Arc::clone(&watchdog), queue_watchdog };
            let thread =
                thread::Builder::new().name(format!("inference-{number}")).spawn(move || worker.process_queue())?;
            Ok((thread, watchdog))
        };
        let threads = (0..threads).map(start).collect::<std::io::Result<_>>()?;
        Ok(Self { sender, metrics: Arc::clone(metrics), threads, queue_watchdog })
    }

    /// Values cars, in their order; refused immediately if the queue is full. Only the first valuation has warnings.
    pub(crate) async fn value(&self, request: ValuationRequest) -> Result<Vec<Valuation>, Problem> {
        let request = Arc::new(request);
        let (response, receiver) = oneshot::channel();
        if self.sender.is_empty() {
            self.queue_watchdog.start();
        }
        self.sender.try_send(QueuedRequest { request: Arc::clone(&request), response }).map_err(
            |error| match error {
                TrySendError::Full(_) => Problem::Overloaded,
                TrySendError::Disconnected(_) => Problem::internal(&"all inference threads have ended"),
            },
        )?;
        let response = receiver.await.unwrap_or_else(|_| Err(Problem::internal(&"an inference thread ended")));
        let mut valuations = response?;
        if let (Some(car), Some(valuation)) = (request.listings.first(), valuations.first_mut()) {
            // Not on an inference thread, since other requests are waiting for it.
            valuation.warnings = request.served.model.warnings(car, valuation.as_of);
            let Served { version, .. } = *request.served;
            self.metrics.record_valuations(&request.served.task().name, version, std::slice::from_ref(valuation));
        }
        Ok(valuations)
    }

    /// Whether a request would be refused now.
    pub(crate) fn is_full(&self) -> bool {
        self.sender.is_full()
    }

    /// The number of requests in the queue.
    pub(crate) fn queue_len(&self) -> usize {
        self.sender.len()
    }

    /// Whether a thread has ended or hangs, or no thread takes requests from the queue.
    pub(crate) fn is_stuck(&self) -> bool {
        let queue_is_stuck = !self.sender.is_empty() && self.queue_watchdog.has_expired();
        queue_is_stuck || self.threads.iter().any(|(thread, watchdog)| thread.is_finished() || watchdog.has_expired())
    }
}

impl Watchdog {
    fn new() -> Self {
        Self { created: Instant::now(), busy_since: AtomicU64::new(0) }
    }

    fn start(&self) {
        let now = u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.busy_since.store(now + 1, Ordering::Relaxed);
    }

    fn stop(&self) {
        self.busy_since.store(0, Ordering::Relaxed);
    }

    fn has_expired(&self) -> bool {
        let since = self.busy_since.load(Ordering::Relaxed).checked_sub(1).map(Duration::from_millis);
        since.is_some_and(|since| self.created.elapsed().saturating_sub(since) >= STUCK_AFTER)
    }
}

struct Worker {
    queue: Receiver<QueuedRequest>,
    metrics: Arc<Metrics>,
    threads: usize,
    watchdog: Arc<Watchdog>,
    queue_watchdog: Arc<Watchdog>,
}

impl Worker {
    fn process_queue(self) {
        while let Ok(first) = self.queue.recv() {
            self.watchdog.start();
            let mut batch = self.take_batch(first);
            self.queue_watchdog.start();
            // Cancelled requests are skipped.
            batch.retain(|queued| !queued.response.is_closed());
            if !batch.is_empty() {
                self.respond(batch);
            }
            self.watchdog.stop();
        }
    }

    fn respond(&self, batch: Vec<QueuedRequest>) {
        for batch in by_model(batch) {
            let responses = catch_unwind(AssertUnwindSafe(|| value(&self.metrics, &batch)));
            let responses = responses.unwrap_or_else(|_| {
                // The panic itself is in the log.
                batch.iter().map(|_| Err(Problem::Internal)).collect()
            });
            for (queued, response) in batch.into_iter().zip(responses) {
                // The request may have been dropped.
                let _ = queued.response.send(response);
            }
        }
    }

    /// Takes a fair share of the queue, so that no thread is idle while another has all requests.
    fn take_batch(&self, first: QueuedRequest) -> Vec<QueuedRequest> {
        let share = self.queue.len().div_ceil(self.threads);
        let mut listings = first.request.listings.len();
        let mut batch = vec![first];
        while batch.len() <= share && listings < MAX_QUICK_ROWS {
            let Ok(queued) = self.queue.try_recv() else { break };
            listings += queued.request.listings.len();
            batch.push(queued);
        }
        batch
    }
}

/// Splits requests by the model that values them.
fn by_model(batch: Vec<QueuedRequest>) -> Vec<Vec<QueuedRequest>> {
    let mut batches: Vec<Vec<QueuedRequest>> = Vec::with_capacity(1);
    for queued in batch {
        let is_same = |batch: &&mut Vec<QueuedRequest>| Arc::ptr_eq(&batch[0].request.served, &queued.request.served);
        match batches.iter_mut().find(is_same) {
            Some(batch) => batch.push(queued),
            None => batches.push(vec![queued]),
        }
    }
    batches
}

/// Values the cars of all requests, which are for the same model, in a single run of the graph.
fn value(metrics: &Metrics, batch: &[QueuedRequest]) -> Vec<Result<Vec<Valuation>, Problem>> {
    let all = |problem: &Problem| batch.iter().map(|_| Err(problem.clone())).collect();
    let Some(served) = batch.first().map(|queued| &queued.request.served) else { return Vec::new() };
    let requests = batch.iter().map(|queued| &queued.request);
    let listings =
        requests.clone().flat_map(|request| request.listings.iter().map(move |listing| (listing, request.today)));
    let predicted = match served.model.predict(listings.collect()) {
        Ok(predicted) => predicted,
        Err(error) => return all(&Problem::internal(&error)),
    };
    metrics.record_batch(predicted.len());
    // Drift counts only the requested cars, not the variants.
    let first_rows =
        batch.iter().scan(0, |next, queued| Some(std::mem::replace(next, *next + queued.request.listings.len())));
    served.observe(&predicted, first_rows);
    let mut first = 0;
    let responses = requests.map(|request| {
        let rows = first..first + request.listings.len();
        first = rows.end;
        let valuations = rows.map(|row| served.model.valuation(&predicted, row, request.level));
        valuations.collect::<Result<Vec<_>, _>>().map_err(|error| Problem::internal(&error))
    });
    responses.collect()
}

#[cfg(test)]
mod tests {
    use domain::{Market, Task};

    use super::*;
    use crate::config::Config;
    use crate::tests::fixture;

    fn request_for(served: Arc<Served>) -> ValuationRequest {
        ValuationRequest { served, listings: vec![Listing::default()], level: 0.8, today: NaiveDate::default() }
    }

    fn request() -> ValuationRequest {
        request_for(fixture::served(&fixture::state(Config::default())))
    }

    #[tokio::test]
    async fn a_full_queue_refuses_at_once_and_accepts_requests_again() {
        let (sender, queue) = crossbeam_channel::bounded(1);
        let inference = Inference {
            sender,
            metrics: Metrics::new(),
            threads: Vec::new(),
            queue_watchdog: Arc::new(Watchdog::new()),
        };
        let waiting = inference.value(request());
        tokio::pin!(waiting);
        assert!(is_pending(waiting.as_mut()).await);
        assert_eq!(inference.value(request()).await.unwrap_err(), Problem::Overloaded);
        drop(queue.recv());
        assert_eq!(waiting.await.unwrap_err(), Problem::Internal);
        assert!(is_pending(std::pin::pin!(inference.value(request()))).await);
    }

    async fn is_pending(future: std::pin::Pin<&mut impl Future>) -> bool {
        tokio::time::timeout(Duration::from_millis(20), future).await.is_err()
    }

    #[tokio::test]
    async fn a_batch_of_several_models_is_valued_by_each() {
        let state = fixture::state(Config::default());
        let other = fixture::serve(&state, &Task::of_market(Market::russia(), domain::Column::SalePrice));
        let price = fixture::served(&state);
        let inference = Inference::start(1, 16, &Metrics::new()).unwrap();
        let mut car = Listing::default();
        car.set(domain::Column::Year, Some(domain::Value::Number(2018.0)));
        let models = [&price, &other, &other, &price, &other];
        let requests = models.map(|served| {
            let request = ValuationRequest { listings: vec![car.clone()], ..request_for(Arc::clone(served)) };
            inference.value(request)
        });
        let prices = futures_util::future::join_all(requests).await;
        let prices: Vec<f64> = prices.into_iter().map(|valuations| valuations.unwrap()[0].price).collect();
        let is_price = prices.iter().map(|price| *price > 100_000.0).collect::<Vec<_>>();
        assert_eq!(is_price, [true, false, false, true, false], "{prices:?}");
    }

    #[tokio::test]
    async fn abandoned_requests_are_dropped_and_the_next_is_answered() {
        let inference = Inference::start(1, 16, &Metrics::new()).unwrap();
        for _ in 0..8 {
            let (response, receiver) = oneshot::channel();
            drop(receiver);
            inference.sender.send(QueuedRequest { request: Arc::new(request()), response }).unwrap();
        }
        assert_eq!(inference.value(request()).await.unwrap().len(), 1);
        assert!(!inference.is_stuck());
    }

    #[tokio::test]
    async fn a_queue_that_is_not_processed_is_stuck() {
        let Some(created) = Instant::now().checked_sub(2 * STUCK_AFTER) else { return };
        let (sender, queue) = crossbeam_channel::bounded(2);
        let queue_watchdog = Arc::new(Watchdog { created, busy_since: AtomicU64::new(1) });
        let inference = Inference {
            sender,
            metrics: Metrics::new(),
            threads: Vec::new(),
            queue_watchdog: Arc::clone(&queue_watchdog),
        };
        assert!(!inference.is_stuck(), "the queue is empty");
        let waiting = inference.value(request());
        tokio::pin!(waiting);
        assert!(is_pending(waiting.as_mut()).await);
        assert!(!inference.is_stuck(), "it has just started to wait");
        queue_watchdog.busy_since.store(1, Ordering::Relaxed);
        assert!(inference.is_stuck());
        drop(queue);
    }

    #[test]
    fn a_thread_that_works_too_long_on_a_batch_is_stuck() {
        let Some(created) = Instant::now().checked_sub(2 * STUCK_AFTER) else { return };
        let watchdog = Watchdog { created, busy_since: AtomicU64::new(1) };
        assert!(watchdog.has_expired());
        watchdog.start();
        assert!(!watchdog.has_expired());
        watchdog.stop();
        assert!(!watchdog.has_expired());
    }
}

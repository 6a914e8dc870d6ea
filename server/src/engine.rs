//! The model that serves, and where it computes: single cars in threads of their own, many at once in a lane beside them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use onnx_model::Model;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::Config;
use crate::inference::Inference;
use crate::loader::Loader;
use crate::metrics::Metrics;
use crate::problem::Problem;

/// A model in service.
#[derive(Debug)]
pub(crate) struct Served {
    /// Its version in the registry.
    pub(crate) version: i64,
    /// Of its file: another registry may have another model of the same version.
    pub(crate) sha256: Vec<u8>,
    /// The model itself.
    pub(crate) model: Model,
}

/// Why the champion is not what serves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReloadFailure {
    /// The version that could not be loaded; `None` when the registry could not be asked.
    pub(crate) version: Option<i64>,
    /// What went wrong.
    pub(crate) message: String,
    /// When it went wrong first.
    pub(crate) since: DateTime<Utc>,
}

/// The model in service, swapped while requests go on.
#[derive(Debug, Default)]
pub(crate) struct Models {
    served: ArcSwapOption<Served>,
    failure: ArcSwapOption<ReloadFailure>,
}

impl Models {
    /// The model that serves now. Whoever answers a request asks once and keeps it to the end.
    pub(crate) fn served(&self) -> Result<Arc<Served>, Problem> {
        self.served.load_full().ok_or(Problem::NoModel)
    }
}

/// The served model and the room to compute.
#[derive(Debug)]
pub(crate) struct Engine {
    models: Arc<Models>,
    /// Single cars.
    pub(crate) inference: Inference,
    /// Makes models ready.
    pub(crate) loader: Loader,
    /// Batches and workbooks: a lane of their own, so that they never stand before a single car.
    pub(crate) bulk: Lane,
}

/// Threads of one batch or workbook.
pub(crate) const BULK_THREADS: usize = 2;
/// Bulk work that may wait. Each place may hold an upload in memory.
const BULK_QUEUE: usize = 8;

impl Engine {
    pub(crate) fn new(config: &Config, metrics: &Arc<Metrics>) -> std::io::Result<Self> {
        let models = Arc::new(Models::default());
        let inference = Inference::start(config.sessions, config.queue, &models, metrics)?;
        Ok(Self { models, inference, loader: Loader::start()?, bulk: Lane::new(config.sessions, BULK_QUEUE) })
    }

    /// The model that serves now. Whoever answers a request asks once and keeps it to the end.
    pub(crate) fn served(&self) -> Result<Arc<Served>, Problem> {
        self.models.served()
    }

    pub(crate) fn failure(&self) -> Option<Arc<ReloadFailure>> {
        self.models.failure.load_full()
    }

    /// Puts a model into service. Requests under way end with the one they began with.
    pub(crate) fn serve(&self, served: Served) {
        let earlier = self.models.served.swap(Some(Arc::new(served)));
        self.models.failure.store(None);
        self.loader.submit(move || drop(earlier));
    }

    pub(crate) fn set_failure(&self, failure: Option<ReloadFailure>) {
        self.models.failure.store(failure.map(Arc::new));
    }
}

/// Room for some work at a time and for some more to wait.
#[derive(Debug)]
pub(crate) struct Lane {
    places: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// A place in a lane.
#[derive(Debug)]
pub(crate) struct Place {
    /// None for work that holds nothing while it waits.
    held: Option<OwnedSemaphorePermit>,
    running: Arc<Semaphore>,
}

impl Lane {
    fn new(running: usize, waiting: usize) -> Self {
        let places = running.saturating_add(waiting).min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(places)), running: Arc::new(Semaphore::new(running)) }
    }

    /// A place, or a refusal at once when too many wait already.
    pub(crate) fn enter(&self) -> Result<Place, Problem> {
        let held = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Problem::Overloaded)?;
        Ok(Place { held: Some(held), running: Arc::clone(&self.running) })
    }

    /// Whether nobody would be refused now.
    pub(crate) fn has_room(&self) -> bool {
        self.places.available_permits() > 0
    }

    /// A place for work that holds nothing in memory while it waits, and may be waited for as long as it takes.
    pub(crate) fn wait(&self) -> Place {
        Place { held: None, running: Arc::clone(&self.running) }
    }
}

impl Place {
    /// Does work on a thread that may block, once it is its turn.
    pub(crate) async fn run<T: Send + 'static>(
        self,
        work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let Self { held, running } = self;
        let turn = running.acquire_owned().await.map_err(|closed| Problem::internal(&closed))?;
        let span = tracing::Span::current();
        let task = tokio::task::spawn_blocking(move || {
            // Held by the work itself: it goes on when its request is gone.
            let _room = (held, turn);
            span.in_scope(work)
        });
        task.await.unwrap_or_else(|panic| Err(Problem::internal(&panic)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_lane_refuses_at_once_and_recovers() {
        let lane = Lane::new(1, 1);
        let (first, second) = (lane.enter().unwrap(), lane.enter().unwrap());
        assert_eq!(lane.enter().unwrap_err(), Problem::Overloaded);
        assert_eq!(first.run(|| Ok(1)).await, Ok(1));
        assert!(lane.enter().is_ok());
        drop(second);
    }

    #[tokio::test]
    async fn a_panic_gives_its_place_back() {
        let lane = Lane::new(1, 0);
        let outcome: Result<(), _> = lane.enter().unwrap().run(|| panic!("on purpose")).await;
        assert_eq!(outcome, Err(Problem::Internal));
        assert!(lane.enter().is_ok());
    }
}

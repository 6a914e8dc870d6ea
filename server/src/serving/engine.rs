//! The model in service, and the threads that run it.

use std::sync::Arc;

use crate::config::Config;
use crate::http::problem::Problem;
use crate::observability::metrics::Metrics;
use crate::serving::bulk::BulkQueue;
use crate::serving::inference::Inference;
use crate::serving::loader::Loader;
use crate::serving::models::{Models, ReloadFailure, Served};

/// The model in service and the threads that run it.
#[derive(Debug)]
pub(crate) struct Engine {
    models: Arc<Models>,
    /// Single cars.
    pub(crate) inference: Inference,
    /// Loads and drops models.
    pub(crate) loader: Loader,
    /// Batches and workbooks.
    pub(crate) bulk: BulkQueue,
}

impl Engine {
    /// An engine without a model.
    ///
    /// # Errors
    /// The system cannot start the threads.
    pub(crate) fn new(config: &Config, metrics: &Arc<Metrics>) -> std::io::Result<Self> {
        let models = Arc::new(Models::default());
        let inference = Inference::start(config.sessions, config.queue, &models, metrics)?;
        Ok(Self { models, inference, loader: Loader::start()?, bulk: BulkQueue::new(config.sessions) })
    }

    /// The model in service. A request gets it once and uses it throughout.
    pub(crate) fn served(&self) -> Result<Arc<Served>, Problem> {
        self.models.served()
    }

    /// Why the champion is not in service, if loading it failed.
    pub(crate) fn failure(&self) -> Option<Arc<ReloadFailure>> {
        self.models.failure()
    }

    /// Puts a model into service; the previous one is dropped on the loader thread.
    pub(crate) fn serve(&self, served: Served) {
        let previous = self.models.swap(served);
        self.loader.submit(move || drop(previous));
    }

    pub(crate) fn set_failure(&self, failure: Option<ReloadFailure>) {
        self.models.set_failure(failure);
    }
}

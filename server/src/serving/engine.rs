//! The models in service, and the threads that run them.

use std::sync::Arc;

use crate::config::Config;
use crate::observability::metrics::Metrics;
use crate::serving::bulk::BulkQueue;
use crate::serving::inference::Inference;
use crate::serving::loader::Loader;
use crate::serving::models::{Models, Served, Slot};

/// The models in service and the threads that run them.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) models: Models,
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
        let models = Models::new(config.default_task.clone(), config.models_memory);
        let inference = Inference::start(config.sessions, config.queue, metrics)?;
        Ok(Self { models, inference, loader: Loader::start()?, bulk: BulkQueue::new(config.sessions) })
    }

    /// Puts a model into service; models that are not needed any more are dropped on the loader thread.
    pub(crate) fn serve(&self, slot: &Slot, served: Served) {
        for dropped in self.models.put(slot, served) {
            self.loader.submit(move || drop(dropped));
        }
    }
}

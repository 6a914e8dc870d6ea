//! The model that serves, and where it computes: single cars in threads of their own, many at once beside them.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use onnx_model::Model;

use crate::config::Config;
use crate::inference::Inference;
use crate::lane::Lane;
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
    /// Batches and workbooks.
    pub(crate) bulk: Lane,
}

impl Engine {
    pub(crate) fn new(config: &Config, metrics: &Arc<Metrics>) -> std::io::Result<Self> {
        let models = Arc::new(Models::default());
        let inference = Inference::start(config.sessions, config.queue, &models, metrics)?;
        Ok(Self { models, inference, loader: Loader::start()?, bulk: Lane::new(config.sessions) })
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

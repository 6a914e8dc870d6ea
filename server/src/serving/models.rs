//! The model in service, swapped while requests go on.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use chrono::{DateTime, Utc};
use onnx_model::Model;

use crate::http::problem::Problem;

/// A model in service.
#[derive(Debug)]
pub(crate) struct Served {
    /// Its version in the registry.
    pub(crate) version: i64,
    /// The hash of its file: another registry may have another model of the same version.
    pub(crate) sha256: Vec<u8>,
    /// The model itself.
    pub(crate) model: Model,
}

/// Why the champion is not in service.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReloadFailure {
    /// The version that could not be loaded; `None` if the registry could not be read.
    pub(crate) version: Option<i64>,
    /// What went wrong.
    pub(crate) message: String,
    /// When it first went wrong.
    pub(crate) since: DateTime<Utc>,
}

/// The model in service, and the last failure to replace it.
#[derive(Debug, Default)]
pub(crate) struct Models {
    served: ArcSwapOption<Served>,
    failure: ArcSwapOption<ReloadFailure>,
}

impl Models {
    /// The model in service. A request takes it once and keeps it to its end.
    pub(crate) fn served(&self) -> Result<Arc<Served>, Problem> {
        self.served.load_full().ok_or(Problem::NoModel)
    }

    pub(crate) fn failure(&self) -> Option<Arc<ReloadFailure>> {
        self.failure.load_full()
    }

    /// Puts a model into service and returns the previous one. Requests in progress finish with the model they started
    /// with.
    pub(crate) fn swap(&self, served: Served) -> Option<Arc<Served>> {
        let previous = self.served.swap(Some(Arc::new(served)));
        self.failure.store(None);
        previous
    }

    pub(crate) fn set_failure(&self, failure: Option<ReloadFailure>) {
        self.failure.store(failure.map(Arc::new));
    }
}

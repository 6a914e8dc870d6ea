//! The model in service, swapped while requests are in progress.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwapOption;
use chrono::{DateTime, NaiveDate, Utc};
use domain::{Listing, Valuation};
use onnx_model::Model;
use onnx_model::model::Predicted;
use serde::Serialize;
use utoipa::ToSchema;

use crate::http::problem::Problem;
use crate::observability::drift::{Drift, FieldDrift};

/// A model in service.
#[derive(Debug)]
pub(crate) struct Served {
    /// Its version in the registry.
    pub(crate) version: i64,
    /// The hash of its file: another registry may have a different model with the same version.
    pub(crate) sha256: Vec<u8>,
    /// The model itself.
    pub(crate) model: Model,
    /// The drift of the valued cars, if the file has the distribution of the training data.
    drift: Option<Mutex<Drift>>,
}

impl Served {
    pub(crate) fn new(version: i64, sha256: Vec<u8>, model: Model) -> Self {
        let signature = model.signature();
        let training_rows = signature.run.rows.train;
        let drift = signature.reference.clone().map(|reference| Mutex::new(Drift::new(reference, training_rows)));
        Self { version, sha256, model, drift }
    }

    /// Values many cars and counts them for the drift; see [`Model::value`].
    pub(crate) fn value(
        &self,
        listings: &[Listing],
        today: NaiveDate,
        level: f64,
    ) -> Result<Vec<Valuation>, onnx_model::Error> {
        self.model.value_observed(listings, today, level, |predicted| self.observe(predicted, 0..predicted.len()))
    }

    /// Counts predicted cars, by index, for the drift.
    pub(crate) fn observe(&self, predicted: &Predicted<'_>, rows: impl Iterator<Item = usize>) {
        let Some(drift) = &self.drift else { return };
        // The counts stay consistent after a panic.
        let mut drift = drift.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let (ids, numbers) = self.model.present_inputs(predicted, row);
            drift.add(ids, numbers);
        }
    }

    /// The drift of each field; empty while there are too few cars.
    pub(crate) fn drift(&self) -> Vec<FieldDrift> {
        let Some(drift) = &self.drift else { return Vec::new() };
        drift.lock().unwrap_or_else(PoisonError::into_inner).fields()
    }
}

/// Why the champion could not be loaded.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = ReloadError)]
pub(crate) struct ReloadFailure {
    /// The version; null if the registry was unreachable.
    #[schema(example = 4)]
    pub(crate) version: Option<i64>,
    /// What went wrong.
    #[schema(example = "model version 4 is damaged")]
    pub(crate) message: String,
    /// Time of the first failure.
    pub(crate) since: DateTime<Utc>,
}

/// The model in service, and the last failure to replace it.
#[derive(Debug, Default)]
pub(crate) struct Models {
    served: ArcSwapOption<Served>,
    failure: ArcSwapOption<ReloadFailure>,
}

impl Models {
    /// The model in service. A request gets it once and uses it throughout.
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

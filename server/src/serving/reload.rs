//! Keeps the champion in service: polls, loads, checks and swaps. On failure the previous model stays in service.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, Utc};
use domain::{Cell, Column, Listing};
use onnx_model::model::{DEFAULT_LEVEL, MAX_QUICK_ROWS};
use onnx_model::{Model, Runtime, Sessions};
use storage::Database;
use tokio::time::timeout;

use crate::observability::metrics::Metrics;
use crate::serving::bulk::BULK_THREADS;
use crate::serving::cache::{self, CachedModel};
use crate::serving::engine::Engine;
use crate::serving::models::{ReloadFailure, Served};

/// How long to wait for the database at startup.
const STARTUP_TIMEOUT: Duration = Duration::from_secs(10);
/// How often to check the registry, in case a notification was lost.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
/// The time limit for loading: the largest accepted models take about ten seconds.
const LOAD_TIMEOUT: Duration = Duration::from_mins(2);
/// The maximum latency for a small batch: a slower thread would count as stuck.
const MAX_LATENCY: Duration = Duration::from_secs(1);

/// Why a champion was not put into service.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error("{0}")]
    Registry(#[from] storage::Error),
    #[error("the database does not respond")]
    Unresponsive,
    #[error("the registry has no champion; the model in service is from another registry")]
    NoChampion,
    #[error("{source}")]
    Model { version: i64, source: onnx_model::Error },
    #[error("it values a common car at {price} with the interval {low} to {high}, which is implausible")]
    Implausible { version: i64, price: f64, low: f64, high: f64 },
    #[error("it takes {latency:?} for {cars} cars; the limit is {MAX_LATENCY:?}")]
    TooSlow { version: i64, cars: usize, latency: Duration },
    #[error("loading it failed: {reason}")]
    NotLoaded { version: i64, reason: String },
}

/// Loads the champion, and keeps it in service.
#[derive(Clone, Debug)]
pub(crate) struct Reloader {
    pub(crate) database: Database,
    pub(crate) runtime: Runtime,
    pub(crate) engine: Arc<Engine>,
    pub(crate) metrics: Arc<Metrics>,
    /// The folder of the model cache.
    pub(crate) folder: PathBuf,
    /// The number of sessions for single cars.
    pub(crate) sessions: usize,
    pub(crate) today: fn() -> NaiveDate,
}

impl Reloader {
    /// Migrates the database and puts the champion into service, or else the model that was served last.
    pub(crate) async fn start(&self) {
        match timeout(STARTUP_TIMEOUT, self.migrate()).await {
            Ok(true) => self.refresh(true).await,
            Ok(false) => {}
            Err(_) => self.record(&ReloadError::Unresponsive),
        }
        self.serve_cached().await;
    }

    /// Keeps the champion in service until it is dropped.
    pub(crate) async fn follow(&self) {
        let mut changes = self.database.models().listen();
        let mut is_migrated = false;
        let mut alias_moved = true;
        loop {
            // The database may have been unavailable at startup.
            is_migrated = is_migrated || self.migrate().await;
            if is_migrated {
                self.refresh(alias_moved).await;
            }
            alias_moved = tokio::select! {
                () = changes.changed(), if is_migrated => true,
                () = tokio::time::sleep(POLL_INTERVAL) => false,
            };
        }
    }

    /// Puts the champion into service unless it is already. A version that failed is retried only after an alias has
    /// moved.
    pub(crate) async fn refresh(&self, alias_moved: bool) {
        match self.load_champion(alias_moved).await {
            Ok(Some(served)) => {
                let version = served.version;
                self.engine.serve(served);
                self.metrics.record_reload(true);
                tracing::info!(model.version = version, "Model version {version} is in service.");
            }
            Ok(None) => {}
            Err(failure) => self.record(&failure),
        }
    }

    /// Migrates the database; false while it is unavailable.
    async fn migrate(&self) -> bool {
        match self.database.migrate().await {
            Ok(()) => true,
            Err(newer @ storage::Error::NewerDatabase { .. }) => {
                tracing::warn!("{newer}. The server uses only the tables that it knows.");
                true
            }
            Err(error) => {
                self.record(&ReloadError::Registry(error));
                false
            }
        }
    }

    /// Serves the cached model if the champion could not be loaded, as on a start while the database is unavailable.
    async fn serve_cached(&self) {
        let Some(failure) = self.engine.failure().filter(|_| self.engine.served().is_err()) else { return };
        let folder = self.folder.clone();
        let cached = tokio::task::spawn_blocking(move || cache::read(&folder)).await;
        let CachedModel { version, sha256, bytes } = match cached {
            Ok(Ok(Some(cached))) => cached,
            Ok(Ok(None)) | Err(_) => return,
            Ok(Err(error)) => return tracing::warn!(%error, "The cached model cannot be read."),
        };
        if failure.version.is_some() && !self.database.models().contains(version, &sha256).await.unwrap_or(false) {
            return tracing::warn!("The cached model is not in this registry and is not served.");
        }
        match self.open(version, sha256, Arc::new(bytes)).await {
            Ok(served) => {
                self.engine.serve(served);
                self.engine.set_failure(Some((*failure).clone()));
                tracing::warn!(
                    model.version = version,
                    "Model version {version} is in service from the cache until the champion is known."
                );
            }
            Err(failure) => self.record(&failure),
        }
    }

    async fn load_champion(&self, alias_moved: bool) -> Result<Option<Served>, ReloadError> {
        let models = self.database.models();
        let champion = models.champion_file().await?;
        let current = self.engine.served().ok();
        let Some((version, sha256)) = champion else {
            if current.is_some() {
                return Err(ReloadError::NoChampion);
            }
            self.engine.set_failure(None);
            return Ok(None);
        };
        if current.is_some_and(|served| served.version == version && served.sha256 == sha256) {
            self.engine.set_failure(None);
            return Ok(None);
        }
        let failure = self.engine.failure();
        let failed = failure.as_ref().and_then(|failure| failure.version);
        if failed == Some(version) && !alias_moved {
            return Ok(None);
        }
        let bytes = models.bytes(version).await.map_err(|error| match error {
            storage::Error::DamagedModel(_) | storage::Error::ModelTooLarge { .. } => {
                ReloadError::NotLoaded { version, reason: error.to_string() }
            }
            error => ReloadError::Registry(error),
        })?;
        let Some(bytes) = bytes.map(Arc::new) else { return Ok(None) };
        let served = self.open(version, sha256, Arc::clone(&bytes)).await?;
        let folder = self.folder.clone();
        let cached = tokio::task::spawn_blocking(move || cache::write(&folder, version, &bytes)).await;
        if let Ok(Err(error)) = cached {
            tracing::warn!(%error, "The model cannot be cached; a server started while the database is unavailable will have no model.");
        }
        Ok(Some(served))
    }

    /// Opens a model file and tests it.
    async fn open(&self, version: i64, sha256: Vec<u8>, bytes: Arc<Vec<u8>>) -> Result<Served, ReloadError> {
        let (runtime, sessions, today) = (self.runtime.clone(), self.sessions, (self.today)());
        let loaded = self.engine.loader.run(LOAD_TIMEOUT, move || {
            let sessions = Sessions { bulk: BULK_THREADS * sessions, quick: sessions };
            let model = Model::open(&runtime, &bytes, sessions);
            let model = model.map_err(|source| ReloadError::Model { version, source })?.with_threads(BULK_THREADS);
            model.verify().map_err(|source| ReloadError::Model { version, source })?;
            warm_up(&model, version, today)?;
            Ok(Served::new(version, sha256, model))
        });
        loaded.await.map_err(|failure| ReloadError::NotLoaded { version, reason: failure.to_string() })?
    }

    /// Records a failure for `/v1/models`, and logs it unless it is the same as before.
    fn record(&self, failure: &ReloadError) {
        let version = match failure {
            ReloadError::Registry(_) | ReloadError::Unresponsive | ReloadError::NoChampion => None,
            ReloadError::Model { version, .. }
            | ReloadError::Implausible { version, .. }
            | ReloadError::TooSlow { version, .. }
            | ReloadError::NotLoaded { version, .. } => Some(*version),
        };
        let message = failure.to_string();
        let is_unchanged =
            self.engine.failure().is_some_and(|known| known.version == version && known.message == message);
        if is_unchanged {
            return;
        }
        if let Some(version) = version {
            self.metrics.record_reload(false);
            tracing::error!(
                model.version = version,
                cause = message,
                "Model version {version} could not be put into service; the previous model stays in service."
            );
        } else {
            tracing::warn!(cause = message, "The champion is unknown; the current model stays in service.");
        }
        self.engine.set_failure(Some(ReloadFailure { version, message, since: Utc::now() }));
    }
}

/// Values the example car of the documentation, and refuses a model that is implausible or too slow.
fn warm_up(model: &Model, version: i64, today: NaiveDate) -> Result<(), ReloadError> {
    let cells = Column::descriptive().iter().map(|column| (*column, Cell::Text(column.example())));
    let listing = Listing::from_cells(cells, today).unwrap_or_default();
    let valuations = model.value(std::slice::from_ref(&listing), today, DEFAULT_LEVEL);
    let valuations = valuations.map_err(|source| ReloadError::Model { version, source })?;
    let implausible = valuations.into_iter().find(|valuation| {
        let figures = [valuation.low, valuation.price, valuation.high];
        !figures.iter().all(|figure| figure.is_finite() && *figure > 0.0) || !figures.is_sorted()
    });
    if let Some(valuation) = implausible {
        let (price, low, high) = (valuation.price, valuation.low, valuation.high);
        return Err(ReloadError::Implausible { version, price, low, high });
    }
    let start = Instant::now();
    model.predict(vec![(&listing, today); MAX_QUICK_ROWS]).map_err(|source| ReloadError::Model { version, source })?;
    let latency = start.elapsed();
    if latency > MAX_LATENCY { Err(ReloadError::TooSlow { version, cars: MAX_QUICK_ROWS, latency }) } else { Ok(()) }
}

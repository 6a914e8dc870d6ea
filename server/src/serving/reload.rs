//! Keeps the champion of every task in service: polls, loads, checks and swaps. On failure the previous model stays in service.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, Utc};
use domain::{Cell, Column, Listing, Task};
use onnx_model::model::{DEFAULT_LEVEL, MAX_QUICK_ROWS};
use onnx_model::{Model, Runtime, Sessions};
use storage::{Database, ModelFile};
use tokio::time::timeout;

use crate::http::problem::Problem;
use crate::observability::metrics::Metrics;
use crate::serving::bulk::BULK_THREADS;
use crate::serving::cache::{self, CachedModel};
use crate::serving::engine::Engine;
use crate::serving::models::{ReloadFailure, Served, Slot};

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
    #[error("it is of the task {other}, or of {task} as it was defined before; train another one")]
    OtherTask { version: i64, task: String, other: String },
    #[error("it values a common car at {price} with the interval {low} to {high}, which is implausible")]
    Implausible { version: i64, price: f64, low: f64, high: f64 },
    #[error("it takes {latency:?} for {cars} cars; the limit is {MAX_LATENCY:?}")]
    TooSlow { version: i64, cars: usize, latency: Duration },
    #[error("loading it failed: {reason}")]
    NotLoaded { version: i64, reason: String },
}

/// Loads the champions, and keeps them in service.
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
    /// Migrates the database and puts the champions into service, or else the models that were served last.
    pub(crate) async fn start(&self) {
        match timeout(STARTUP_TIMEOUT, self.migrate()).await {
            Ok(true) => self.refresh(true).await,
            Ok(false) => {}
            Err(_) => self.record_registry(&ReloadError::Unresponsive),
        }
        self.serve_cached().await;
    }

    /// Keeps the champions in service until it is dropped.
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

    /// The model of a task, or of the default task. Brings it back into memory if it was not used for long.
    ///
    /// # Errors
    /// There is no such task, or it has no model.
    pub(crate) async fn served(&self, task: Option<&str>) -> Result<Arc<Served>, Problem> {
        let models = &self.engine.models;
        let slot = models.slot(task)?;
        models.touch(&slot);
        if let Some(served) = slot.served() {
            return Ok(served);
        }
        if slot.champion().is_none() {
            return Err(Problem::NoModel);
        }
        // One of the requests that need it loads it.
        let _loading = slot.loading.lock().await;
        let (Some(champion), None) = (slot.champion(), slot.served()) else {
            return slot.served().ok_or(Problem::NoModel);
        };
        let loaded = self.load_again(&slot, &champion.file).await;
        loaded.map_err(|error| Problem::internal(&error))?;
        slot.served().ok_or(Problem::NoModel)
    }

    /// Puts all champions into service that are not already. A version that failed is retried only after an alias has moved.
    pub(crate) async fn refresh(&self, alias_moved: bool) {
        let registered = async {
            let tasks = self.database.tasks().list().await?;
            Ok((tasks, self.database.models().champions().await?))
        };
        let (tasks, champions) = match registered.await {
            Ok(registered) => registered,
            Err(error) => return self.record_registry(&ReloadError::Registry(error)),
        };
        let models = &self.engine.models;
        models.set_failure(None);
        models.set_tasks(tasks);
        for (name, slot) in &*models.slots() {
            match self.load_champion(slot, champions.get(name), alias_moved).await {
                Ok(Some(served)) => {
                    let version = served.version;
                    self.engine.serve(slot, served);
                    self.metrics.record_reload(name, true);
                    tracing::info!(
                        task = name,
                        model.version = version,
                        "Model version {version} of {name} is in service."
                    );
                }
                Ok(None) => {}
                Err(failure @ ReloadError::Registry(_)) => return self.record_registry(&failure),
                Err(failure) => self.record(slot, &failure),
            }
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
                self.record_registry(&ReloadError::Registry(error));
                false
            }
        }
    }

    /// Serves the cached models of tasks whose champion could not be loaded, as on a start while the database is unavailable.
    async fn serve_cached(&self) {
        let models = &self.engine.models;
        let is_unknown = models.registry_failure().is_some();
        if !is_unknown && models.slots().values().all(|slot| slot.failure().is_none() || slot.served().is_some()) {
            return;
        }
        let folder = self.folder.clone();
        let cached = match tokio::task::spawn_blocking(move || cache::read_all(&folder)).await {
            Ok(Ok(cached)) => cached,
            Ok(Err(error)) => return tracing::warn!(%error, "The cached models cannot be read."),
            Err(_) => return,
        };
        for CachedModel { file, bytes } in cached {
            let version = file.version;
            if !is_unknown && !self.database.models().contains(version, &file.sha256).await.unwrap_or(false) {
                tracing::warn!("A cached model is not in this registry and is not served.");
                continue;
            }
            match self.open(&file, Arc::new(bytes), Check::All).await {
                Ok(served) => {
                    let task = served.task().clone();
                    if is_unknown {
                        let mut tasks: Vec<Task> = models.slots().values().map(|slot| slot.task.clone()).collect();
                        tasks.retain(|known| known.name != task.name);
                        tasks.push(task.clone());
                        models.set_tasks(tasks);
                    }
                    let Ok(slot) = models.slot(Some(&task.name)) else { continue };
                    if slot.champion().is_some() || (!is_unknown && slot.failure().is_none()) {
                        continue;
                    }
                    let failure = slot.failure();
                    self.engine.serve(&slot, served);
                    slot.set_failure(failure.map(Arc::unwrap_or_clone));
                    tracing::warn!(
                        task = task.name,
                        model.version = version,
                        "Model version {version} is in service from the cache until the champion is known."
                    );
                }
                Err(failure) => tracing::warn!(%failure, "A cached model cannot be served."),
            }
        }
    }

    /// Loads the champion of a task unless it is in service.
    async fn load_champion(
        &self,
        slot: &Slot,
        champion: Option<&ModelFile>,
        alias_moved: bool,
    ) -> Result<Option<Served>, ReloadError> {
        let current = slot.champion();
        let Some(file) = champion else {
            if current.is_some() {
                return Err(ReloadError::NoChampion);
            }
            slot.set_failure(None);
            return Ok(None);
        };
        if current.is_some_and(|current| current.file == *file) {
            slot.set_failure(None);
            return Ok(None);
        }
        let failed = slot.failure().and_then(|failure| failure.version);
        if failed == Some(file.version) && !alias_moved {
            return Ok(None);
        }
        let Some(bytes) = self.read(file).await? else { return Ok(None) };
        let served = self.open(file, Arc::clone(&bytes), Check::All).await?;
        if !is_same(served.task(), &slot.task) {
            let (task, other) = (slot.task.name.clone(), served.task().name.clone());
            return Err(ReloadError::OtherTask { version: file.version, task, other });
        }
        let (folder, task, version) = (self.folder.clone(), slot.task.name.clone(), file.version);
        let cached = tokio::task::spawn_blocking(move || cache::write(&folder, &task, version, &bytes)).await;
        if let Ok(Err(error)) = cached {
            tracing::warn!(%error, "The model cannot be cached; a server started while the database is unavailable will have no model.");
        }
        Ok(Some(served))
    }

    /// Reads a file from the registry.
    async fn read(&self, file: &ModelFile) -> Result<Option<Arc<Vec<u8>>>, ReloadError> {
        let version = file.version;
        let bytes = self.database.models().bytes(version).await.map_err(|error| match error {
            storage::Error::DamagedModel(_) | storage::Error::ModelTooLarge { .. } => {
                ReloadError::NotLoaded { version, reason: error.to_string() }
            }
            error => ReloadError::Registry(error),
        })?;
        Ok(bytes.map(Arc::new))
    }

    /// Brings a model back into memory that was checked before, from the cache on disk if it is there.
    async fn load_again(&self, slot: &Slot, file: &ModelFile) -> Result<(), ReloadError> {
        let (folder, task) = (self.folder.clone(), slot.task.name.clone());
        let cached = tokio::task::spawn_blocking(move || cache::read(&folder, &task)).await;
        let bytes = match cached {
            Ok(Ok(Some(cached))) if cached.file == *file => Some(Arc::new(cached.bytes)),
            _ => self.read(file).await?,
        };
        let Some(bytes) = bytes else { return Ok(()) };
        let served = self.open(file, bytes, Check::None).await?;
        self.engine.serve(slot, served);
        Ok(())
    }

    /// Opens a model file and tests it.
    async fn open(&self, file: &ModelFile, bytes: Arc<Vec<u8>>, check: Check) -> Result<Served, ReloadError> {
        let (runtime, sessions, today) = (self.runtime.clone(), self.sessions, (self.today)());
        let ModelFile { version, sha256 } = file.clone();
        let loaded = self.engine.loader.run(LOAD_TIMEOUT, move || {
            let sessions = Sessions { bulk: BULK_THREADS * sessions, quick: sessions };
            let model = match check {
                Check::All => Model::open(&runtime, &bytes, sessions),
                Check::None => Model::reopen(&runtime, &bytes, sessions),
            };
            let model = model.map_err(|source| ReloadError::Model { version, source })?.with_threads(BULK_THREADS);
            if check == Check::All {
                model.verify().map_err(|source| ReloadError::Model { version, source })?;
                warm_up(&model, version, today)?;
            }
            Ok(Served::new(version, sha256, model, bytes.len()))
        });
        loaded.await.map_err(|failure| ReloadError::NotLoaded { version, reason: failure.to_string() })?
    }

    /// Records that the champions are unknown, and logs it unless it is known.
    fn record_registry(&self, failure: &ReloadError) {
        let message = failure.to_string();
        let known = self.engine.models.registry_failure();
        if known.is_none_or(|known| known.message != message) {
            tracing::warn!(cause = message, "The champions are unknown; the current models stay in service.");
            self.engine.models.set_failure(Some(ReloadFailure { version: None, message, since: Utc::now() }));
        }
    }

    /// Records a failure of a task for `/v1/models`, and logs it unless it is the same as before.
    fn record(&self, slot: &Slot, failure: &ReloadError) {
        let (version, message, task) = (failure.version(), failure.to_string(), slot.task.name.as_str());
        if slot.failure().is_some_and(|known| known.version == version && known.message == message) {
            return;
        }
        if let Some(version) = version {
            self.metrics.record_reload(task, false);
            tracing::error!(
                task,
                model.version = version,
                cause = message,
                "Model version {version} of {task} could not be put into service; the previous model stays in service."
            );
        } else {
            tracing::warn!(
                task,
                cause = message,
                "The champion of {task} is unknown; the current model stays in service."
            );
        }
        slot.set_failure(Some(ReloadFailure { version, message, since: Utc::now() }));
    }
}

impl ReloadError {
    fn version(&self) -> Option<i64> {
        match self {
            Self::Registry(_) | Self::Unresponsive | Self::NoChampion => None,
            Self::Model { version, .. }
            | Self::OtherTask { version, .. }
            | Self::Implausible { version, .. }
            | Self::TooSlow { version, .. }
            | Self::NotLoaded { version, .. } => Some(*version),
        }
    }
}

/// Whether a model was trained for a task. The spellings of its market may have changed since.
fn is_same(trained: &Task, task: &Task) -> bool {
    let of = |task: &Task| (task.name.clone(), task.market.name().to_owned(), task.target, task.conditions.clone());
    of(trained) == of(task) && trained.unit() == task.unit()
}

/// What to test before a model is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Check {
    /// Its prices and its speed.
    All,
    /// Nothing: the same file was checked before.
    None,
}

/// Values the example car of the documentation, and refuses a model that is implausible or too slow.
fn warm_up(model: &Model, version: i64, today: NaiveDate) -> Result<(), ReloadError> {
    let cells = Column::descriptive().iter().map(|column| (*column, Cell::Text(column.example())));
    let market = &model.signature().task.market;
    let listing = Listing::from_cells(cells, market, today).unwrap_or_default();
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

//! Keeps the champion in service: looks, loads, checks, swaps; on failure the old model stays.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{NaiveDate, Utc};
use domain::{Cell, Column, Listing};
use onnx_model::model::{DEFAULT_LEVEL, FEW};
use onnx_model::{Model, Sessions};
use tokio::time::timeout;

use crate::cache::{self, Kept};
use crate::engine::{ReloadFailure, Served};
use crate::lane::BULK_THREADS;
use crate::state::State;

/// How long to wait for the database before a server comes up.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to look without being told: a net under the notifications.
const POLL: Duration = Duration::from_secs(5);
/// How long a model may take to be made ready: the largest that are accepted take some ten seconds.
const LOADED_WITHIN: Duration = Duration::from_mins(2);
/// The longest that a few cars may take: a thread that is at them for longer counts as stuck.
const SLOWEST: Duration = Duration::from_secs(1);

/// Why a champion was not put into service.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Registry(#[from] storage::Error),
    #[error("the database does not answer")]
    Silent,
    #[error("the registry has no champion, so the model in service is not of this registry")]
    NoChampion,
    #[error("{source}")]
    Model { version: i64, source: onnx_model::Error },
    #[error("it values a common car at {price} with the range {low} to {high}, so it is not put into service")]
    Nonsense { version: i64, price: f64, low: f64, high: f64 },
    #[error("{cars} cars take it {took:?}, and {SLOWEST:?} is the longest that they may take")]
    Slow { version: i64, cars: usize, took: Duration },
    #[error("loading it failed: {reason}")]
    Crashed { version: i64, reason: String },
}

/// Brings the tables up to date and puts the champion into service, or else what was served last.
pub async fn begin(state: &State) {
    match timeout(PATIENCE, prepare(state)).await {
        Ok(true) => refresh(state, true).await,
        Ok(false) => {}
        Err(_) => note(state, &Failure::Silent),
    }
    serve_cached(state).await;
}

/// Brings the tables up to date; false while the database is away.
async fn prepare(state: &State) -> bool {
    match state.database().migrate().await {
        Ok(()) => true,
        Err(newer @ storage::Error::NewerDatabase { .. }) => {
            tracing::warn!("{newer}. The server goes on with what it knows of them.");
            true
        }
        Err(error) => {
            note(state, &Failure::Registry(error));
            false
        }
    }
}

/// Follows the champion for ever.
pub async fn follow(state: State) {
    let mut changes = state.database().models().listen();
    let mut has_tables = false;
    let mut was_told = true;
    loop {
        // The database may have been away when the server came up.
        has_tables = has_tables || prepare(&state).await;
        if has_tables {
            refresh(&state, was_told).await;
        }
        was_told = tokio::select! {
            () = changes.changed(), if has_tables => true,
            () = tokio::time::sleep(POLL) => false,
        };
    }
}

/// Puts the champion into service unless it is already. A version that failed is tried again only
/// when an alias has moved.
pub async fn refresh(state: &State, alias_moved: bool) {
    match load_champion(state, alias_moved).await {
        Ok(Some(served)) => {
            let version = served.version;
            state.engine().serve(served);
            state.metrics().reloaded(true);
            tracing::info!(model.version = version, "Model version {version} serves now.");
        }
        Ok(None) => {}
        Err(failure) => note(state, &failure),
    }
}

/// Puts the version into service that this server served last, from its own disk, where the champion could not be had:
/// what a server does that comes up while the database is away.
async fn serve_cached(state: &State) {
    let Some(failure) = state.engine().failure().filter(|_| state.engine().served().is_err()) else { return };
    let folder = state.config().folder.clone();
    let cached = tokio::task::spawn_blocking(move || cache::read(&folder)).await;
    let Kept { version, sha256, bytes } = match cached {
        Ok(Ok(Some(cached))) => cached,
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => return tracing::warn!(%error, "The last model served cannot be read from the disk."),
    };
    if failure.version.is_some() && !state.database().models().holds(version, &sha256).await.unwrap_or(false) {
        return tracing::warn!("The last model served is not one of this registry, and does not serve.");
    }
    match open(state, version, sha256, Arc::new(bytes)).await {
        Ok(served) => {
            state.engine().serve(served);
            state.engine().set_failure(Some((*failure).clone()));
            tracing::warn!(
                model.version = version,
                "Model version {version} serves, from the disk: whether it is still the champion, the database will tell."
            );
        }
        Err(failure) => note(state, &failure),
    }
}

async fn load_champion(state: &State, alias_moved: bool) -> Result<Option<Served>, Failure> {
    let models = state.database().models();
    let champion = models.champion_file().await?;
    let present = state.engine().served().ok();
    let Some((version, sha256)) = champion else {
        if present.is_some() {
            return Err(Failure::NoChampion);
        }
        state.engine().set_failure(None);
        return Ok(None);
    };
    if present.is_some_and(|served| served.version == version && served.sha256 == sha256) {
        state.engine().set_failure(None);
        return Ok(None);
    }
    let failure = state.engine().failure();
    let failed = failure.as_ref().and_then(|failure| failure.version);
    if failed == Some(version) && !alias_moved {
        return Ok(None);
    }
    let bytes = models.bytes(version).await.map_err(|error| match error {
        storage::Error::DamagedModel(_) | storage::Error::ModelTooLarge { .. } => {
            Failure::Crashed { version, reason: error.to_string() }
        }
        error => Failure::Registry(error),
    })?;
    let Some(bytes) = bytes.map(Arc::new) else { return Ok(None) };
    let served = open(state, version, sha256, Arc::clone(&bytes)).await?;
    let folder = state.config().folder.clone();
    // A server that comes up while the database is away serves this one.
    let kept = tokio::task::spawn_blocking(move || cache::write(&folder, version, &bytes)).await;
    if let Ok(Err(error)) = kept {
        tracing::warn!(%error, "The model cannot be kept on the disk; without the database, no server could start.");
    }
    Ok(Some(served))
}

/// Opens a model file, and has it prove itself.
async fn open(state: &State, version: i64, sha256: Vec<u8>, bytes: Arc<Vec<u8>>) -> Result<Served, Failure> {
    let (runtime, today) = (state.runtime().clone(), state.today());
    let sessions = state.config().sessions;
    let loaded = state.engine().loader.run(LOADED_WITHIN, move || {
        let sessions = Sessions { bulk: BULK_THREADS * sessions, quick: sessions };
        let opened = Model::open(&runtime, &bytes, sessions);
        let model = opened.map_err(|source| Failure::Model { version, source })?.in_threads(BULK_THREADS);
        model.prove().map_err(|source| Failure::Model { version, source })?;
        warm_up(&model, version, today)?;
        Ok(Served { version, sha256, model })
    });
    loaded.await.map_err(|failure| Failure::Crashed { version, reason: failure.to_string() })?
}

/// Values the example of the documentation and refuses nonsense, and what would hold up whoever asks.
fn warm_up(model: &Model, version: i64, today: NaiveDate) -> Result<(), Failure> {
    let cells = Column::descriptive().iter().map(|column| (*column, Cell::Text(column.example())));
    let listing = Listing::from_cells(cells, today).unwrap_or_default();
    let valuations = model.value(std::slice::from_ref(&listing), today, DEFAULT_LEVEL);
    let valuations = valuations.map_err(|source| Failure::Model { version, source })?;
    let nonsense = valuations.into_iter().find(|valuation| {
        let figures = [valuation.low, valuation.price, valuation.high];
        !figures.iter().all(|figure| figure.is_finite() && *figure > 0.0) || !figures.is_sorted()
    });
    if let Some(valuation) = nonsense {
        let (price, low, high) = (valuation.price, valuation.low, valuation.high);
        return Err(Failure::Nonsense { version, price, low, high });
    }
    let began = Instant::now();
    model.predict(vec![(&listing, today); FEW]).map_err(|source| Failure::Model { version, source })?;
    let took = began.elapsed();
    if took > SLOWEST { Err(Failure::Slow { version, cars: FEW, took }) } else { Ok(()) }
}

/// Remembers a failure for `/v1/models`, and logs it unless it is the same as before.
fn note(state: &State, failure: &Failure) {
    let version = match failure {
        Failure::Registry(_) | Failure::Silent | Failure::NoChampion => None,
        Failure::Model { version, .. }
        | Failure::Nonsense { version, .. }
        | Failure::Slow { version, .. }
        | Failure::Crashed { version, .. } => Some(*version),
    };
    let message = failure.to_string();
    let is_known = state.engine().failure().is_some_and(|known| known.version == version && known.message == message);
    if is_known {
        return;
    }
    if let Some(version) = version {
        state.metrics().reloaded(false);
        tracing::error!(
            model.version = version,
            cause = message,
            "Model version {version} could not be put into service; the model in service stays."
        );
    } else {
        tracing::warn!(cause = message, "The champion is not known; the model in service stays.");
    }
    state.engine().set_failure(Some(ReloadFailure { version, message, since: Utc::now() }));
}

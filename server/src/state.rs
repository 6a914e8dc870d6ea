//! What every request may reach.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::NaiveDate;
use onnx_model::Runtime;
use storage::Database;
use tokio::sync::Semaphore;

use crate::config::Config;
use crate::engine::Engine;
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::upload::MOST_IN_MEMORY;

/// The server's state; clones share it.
#[derive(Clone, Debug)]
pub struct State {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    database: Database,
    runtime: Runtime,
    engine: Engine,
    metrics: Arc<Metrics>,
    keys: Keys,
    upload_room: Semaphore,
    jobs: Jobs,
    draining: AtomicBool,
    closing: AtomicBool,
    today: fn() -> NaiveDate,
}

impl State {
    /// The state of a server that values by the calendar `today`. The runtime is the caller's, since a process
    /// has one only. The database need not answer yet; nothing is served before [`crate::reload`] has
    /// found a champion.
    ///
    /// # Errors
    /// The system has no room for the threads that compute.
    pub fn new(
        config: Config,
        database: Database,
        runtime: Runtime,
        today: fn() -> NaiveDate,
    ) -> std::io::Result<Self> {
        let metrics = Metrics::new();
        let engine = Engine::new(&config, &metrics)?;
        let keys = Keys::new(&config);
        let upload_room = Semaphore::new(MOST_IN_MEMORY);
        let (draining, closing) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Shared {
            config,
            database,
            runtime,
            engine,
            metrics,
            keys,
            upload_room,
            jobs: Jobs::default(),
            draining,
            closing,
            today,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn database(&self) -> &Database {
        &self.shared.database
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.shared.runtime
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.shared.engine
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.metrics
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.shared.keys
    }

    /// Room for files that stay in memory while they arrive.
    pub(crate) fn upload_room(&self) -> &Semaphore {
        &self.shared.upload_room
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.shared.jobs
    }

    /// The server is about to stop: it is not ready any more.
    pub(crate) fn drain(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }

    /// The server takes no more connections: each answer is the last of its connection.
    pub(crate) fn close(&self) {
        self.shared.closing.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.shared.closing.load(Ordering::Relaxed)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn today(&self) -> NaiveDate {
        (self.shared.today)()
    }
}

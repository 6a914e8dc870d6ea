//! What every request may reach.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::NaiveDate;
use onnx_model::Runtime;
use storage::Database;

use crate::budget::Budget;
use crate::config::Config;
use crate::engine::Engine;
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::scratch::Scratch;
use crate::valuations::workbook::Template;

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
    memory: Arc<Budget>,
    disk: Arc<Budget>,
    scratch: Mutex<Option<Arc<Scratch>>>,
    jobs: Jobs,
    template: Template,
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
        // One caller may hold half: the largest body must fit into that.
        let largest = config.max_upload_bytes.max(config.max_json_bytes);
        let budget = |bytes: usize| Budget::new(bytes.max(largest.saturating_mul(2)) as u64);
        let (memory, disk) = (budget(config.memory_bytes), budget(config.disk_bytes));
        let (draining, closing) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Shared {
            config,
            database,
            runtime,
            engine,
            metrics,
            keys,
            memory,
            disk,
            scratch: Mutex::default(),
            jobs: Jobs::default(),
            template: Template::default(),
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

    /// Room in memory for bodies and files.
    pub(crate) fn memory(&self) -> &Arc<Budget> {
        &self.shared.memory
    }

    /// Room on the disk for files.
    pub(crate) fn disk(&self) -> &Arc<Budget> {
        &self.shared.disk
    }

    /// The folder for files, which is made for the first of them. Blocks.
    ///
    /// # Errors
    /// The folder of the configuration cannot be written to.
    pub(crate) fn scratch(&self) -> std::io::Result<Arc<Scratch>> {
        // A panic leaves no folder or a whole one.
        let mut scratch = self.shared.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scratch) = &*scratch {
            return Ok(Arc::clone(scratch));
        }
        let made = Arc::new(Scratch::create(&self.shared.config.folder)?);
        *scratch = Some(Arc::clone(&made));
        Ok(made)
    }

    pub(crate) fn template(&self) -> &Template {
        &self.shared.template
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

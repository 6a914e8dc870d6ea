//! What every request may reach.

use std::sync::Arc;

use chrono::{Local, NaiveDate};
use onnx_model::Runtime;
use storage::Database;

use crate::config::Config;
use crate::engine::Engine;

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
    today: fn() -> NaiveDate,
}

impl State {
    /// Loads the ONNX runtime. The database need not answer yet; nothing is served before
    /// [`crate::reload::follow`] has found a champion.
    ///
    /// # Errors
    /// The native runtime that the configuration names cannot be loaded.
    pub fn new(config: Config, database: Database) -> Result<Self, onnx_model::Error> {
        let runtime = Runtime::load(config.onnx_runtime.as_deref())?;
        Ok(Self::with_runtime(config, database, runtime, || Local::now().date_naive()))
    }

    /// As [`State::new`], with a runtime that is loaded already, since a process has one only, and a
    /// calendar of the caller's.
    #[must_use]
    pub fn with_runtime(config: Config, database: Database, runtime: Runtime, today: fn() -> NaiveDate) -> Self {
        let engine = Engine::new(&config);
        Self { shared: Arc::new(Shared { config, database, runtime, engine, today }) }
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

    pub(crate) fn today(&self) -> NaiveDate {
        (self.shared.today)()
    }
}

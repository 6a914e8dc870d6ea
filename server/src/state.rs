//! The state shared by all requests.

use std::sync::Arc;

use axum::extract::FromRef;
use chrono::NaiveDate;
use onnx_model::Runtime;
use storage::Database;

use crate::config::Config;
use crate::http::access::keys::Keys;
use crate::http::buffers::Buffers;
use crate::http::shutdown::Shutdown;
use crate::observability::metrics::Metrics;
use crate::serving::engine::Engine;
use crate::serving::jobs::Jobs;
use crate::serving::reload::Reloader;
use crate::serving::template::Template;

/// The state of the server; clones share it.
#[derive(Clone, Debug)]
pub struct State {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: Config,
    reloader: Reloader,
    keys: Arc<Keys>,
    buffers: Arc<Buffers>,
    jobs: Jobs,
    template: Template,
    shutdown: Arc<Shutdown>,
}

impl State {
    /// The state of a server. The database may still be unavailable. No model is in service before
    /// [`State::load_champion`]. The runtime is passed in, since a process has only one; `today` returns the current date.
    ///
    /// # Errors
    /// The system cannot start the inference threads.
    pub fn new(
        config: Config,
        database: Database,
        runtime: Runtime,
        today: fn() -> NaiveDate,
    ) -> std::io::Result<Self> {
        let metrics = Metrics::new();
        let engine = Arc::new(Engine::new(&config, &metrics)?);
        let (folder, sessions) = (config.folder.clone(), config.sessions);
        let reloader = Reloader { database, runtime, engine, metrics, folder, sessions, today };
        let shared = Shared {
            reloader,
            keys: Arc::new(Keys::new(&config)),
            buffers: Arc::new(Buffers::new(&config)),
            jobs: Jobs::default(),
            template: Template::default(),
            shutdown: Arc::default(),
            config,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Migrates the database and puts the champion into service, or else the model that was served last.
    pub async fn load_champion(&self) {
        self.reloader().start().await;
    }

    pub(crate) fn config(&self) -> &Config {
        &self.shared.config
    }

    pub(crate) fn reloader(&self) -> &Reloader {
        &self.shared.reloader
    }

    pub(crate) fn database(&self) -> &Database {
        &self.shared.reloader.database
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.shared.reloader.runtime
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.shared.reloader.engine
    }

    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.shared.reloader.metrics
    }

    pub(crate) fn today(&self) -> NaiveDate {
        (self.shared.reloader.today)()
    }

    pub(crate) fn keys(&self) -> &Arc<Keys> {
        &self.shared.keys
    }

    pub(crate) fn buffers(&self) -> &Arc<Buffers> {
        &self.shared.buffers
    }

    pub(crate) fn jobs(&self) -> &Jobs {
        &self.shared.jobs
    }

    pub(crate) fn template(&self) -> &Template {
        &self.shared.template
    }

    pub(crate) fn shutdown(&self) -> &Arc<Shutdown> {
        &self.shared.shutdown
    }
}

impl FromRef<State> for Arc<Buffers> {
    fn from_ref(state: &State) -> Self {
        Arc::clone(state.buffers())
    }
}

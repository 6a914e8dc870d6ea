//! The state shared by all requests.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::FromRef;
use chrono::NaiveDate;
use domain::Market;
use onnx_model::Runtime;
use storage::Database;
use tokio::sync::Mutex;

use crate::config::Config;
use crate::http::access::keys::Keys;
use crate::http::buffers::Buffers;
use crate::http::problem::Problem;
use crate::http::shutdown::Shutdown;
use crate::observability::metrics::Metrics;
use crate::serving::engine::Engine;
use crate::serving::jobs::Jobs;
use crate::serving::models::Served;
use crate::serving::prices::Prices;
use crate::serving::reload::Reloader;
use crate::serving::reports::Reports;
use crate::serving::template::Templates;

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
    templates: Templates,
    prices: Prices,
    reports: Reports,
    shutdown: Arc<Shutdown>,
    /// The database by market, each with connections of its own.
    markets: Mutex<BTreeMap<String, Database>>,
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
            templates: Templates::default(),
            prices: Prices::default(),
            reports: Reports::default(),
            markets: Mutex::default(),
            shutdown: Arc::default(),
            config,
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Migrates the database and puts the champions into service, or else the models that were served last.
    pub async fn load_champions(&self) {
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

    /// The database with the listings of a market.
    pub(crate) async fn database_of(&self, market: &Market) -> storage::Result<Database> {
        let mut markets = self.shared.markets.lock().await;
        if let Some(database) = markets.get(market.name()).filter(|database| database.market() == market) {
            return Ok(database.clone());
        }
        let database = self.database().in_market(market).await?;
        markets.insert(market.name().to_owned(), database.clone());
        Ok(database)
    }

    /// The model of a task, or of the default task.
    ///
    /// # Errors
    /// There is no such task, or it has no model.
    pub(crate) async fn served(&self, task: Option<&str>) -> Result<Arc<Served>, Problem> {
        self.reloader().served(task).await
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

    pub(crate) fn templates(&self) -> &Templates {
        &self.shared.templates
    }

    pub(crate) fn prices(&self) -> &Prices {
        &self.shared.prices
    }

    pub(crate) fn reports(&self) -> &Reports {
        &self.shared.reports
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

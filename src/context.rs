//! The context of a command: the database, the private cluster, the async runtime and the inference runtime.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use chrono::{Local, NaiveDate};
use domain::Task;
use domain::task::PRICE;
use onnx_model::{Model, Runtime, Sessions};
use postgres::Cluster;
use server::ConfigError;
use storage::{CHAMPION, Database, Snapshot, champion_of};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::process::{Process, Stop};
use crate::publishing::Publishing;
use crate::variables;

/// The maximum number of connections of a command.
const MAX_CONNECTIONS: u32 = 8;
/// The time limit for closing connections.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// An address at which no database listens.
const UNAVAILABLE_URL: &str = "postgres://probeg@127.0.0.1:1/probeg";

/// The context of a command. Dropping it stops the private cluster unless another process uses it.
pub struct Context {
    pub database: Database,
    pub tokio: Handle,
    /// `PROBEG_HOME`.
    pub home: PathBuf,
    pub stop: Stop,
    pub publishing: Publishing,
    /// Loaded on first use; a process can only have one.
    inference: OnceCell<Runtime>,
    _cluster: Option<Cluster>,
}

impl Context {
    /// Connects to `DATABASE_URL` or the private cluster, and applies the migrations.
    pub fn open(process: &Process) -> Result<Self> {
        let context = Self::connect(process, Err)?;
        context.block_on(context.database.migrate())?;
        Ok(context)
    }

    /// The same for work that is spread over machines.
    pub fn open_shared(process: &Process) -> Result<Self> {
        ensure!(
            variables::DATABASE_URL.value()?.is_some(),
            "DATABASE_URL is not set: machines that work together share nothing but the database, so each needs the address of \
             one that all of them reach"
        );
        Self::open(process)
    }

    /// The same for a read-only command, which also accepts a database of a newer version.
    pub fn open_read_only(process: &Process) -> Result<Self> {
        let context = Self::connect(process, Err)?;
        context.block_on(async {
            match context.database.migrate().await {
                Err(newer @ storage::Error::NewerDatabase { .. }) => tracing::warn!("{newer}."),
                migrated => migrated?,
            }
            anyhow::Ok(())
        })?;
        Ok(context)
    }

    /// The same for a server, which applies the migrations later, and starts without the private cluster if it has a cached
    /// model.
    pub fn open_for_server(process: &Process) -> Result<Self> {
        let home = home()?;
        Self::connect(process, |error| if server::is_model_cached(&server_folder(&home)) { Ok(()) } else { Err(error) })
    }

    fn connect(
        process: &Process,
        on_cluster_failure: impl FnOnce(postgres::Error) -> Result<(), postgres::Error>,
    ) -> Result<Self> {
        let Process { tokio, stop } = process;
        let home = home()?;
        let (url, cluster) = if let Some(url) = variables::DATABASE_URL.value()? {
            (url, None)
        } else {
            let programs = variables::PG_BIN_DIR.value()?.map(PathBuf::from);
            match Cluster::open(&home, programs.as_deref(), stop.flag()) {
                Ok(cluster) => (cluster.url(), Some(cluster)),
                Err(error @ postgres::Error::Stopped) => return Err(error.into()),
                Err(error) => {
                    let reason = error.to_string();
                    on_cluster_failure(error)?;
                    tracing::warn!(
                        cause = reason,
                        "The private cluster did not start; the server continues without it."
                    );
                    (UNAVAILABLE_URL.to_owned(), None)
                }
            }
        };
        // The pool needs the context of the runtime.
        let _guard = tokio.enter();
        let database = Database::connect_lazy(&url, MAX_CONNECTIONS)?;
        let (tokio, stop) = (tokio.handle().clone(), stop.clone());
        let publishing = Publishing::new(database.clone(), tokio.clone());
        Ok(Self { database, tokio, home, stop, publishing, inference: OnceCell::new(), _cluster: cluster })
    }

    /// Runs a future to completion. If a stop is requested, the future is dropped.
    pub fn block_on<T, E: Into<anyhow::Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T> {
        self.tokio.block_on(async {
            tokio::select! {
                biased;
                () = self.stop.requested() => bail!("stopped on request; unfinished work was rolled back"),
                result = work => result.map_err(Into::into),
            }
        })
    }

    /// Waits; fails if a stop is requested.
    pub fn sleep(&self, duration: Duration) -> Result<()> {
        self.block_on(async {
            tokio::time::sleep(duration).await;
            anyhow::Ok(())
        })
    }

    /// The task of this name; by default the asking price of Russian listings.
    pub fn task(&self, name: Option<&str>) -> Result<Task> {
        self.block_on(self.database.tasks().get(name.unwrap_or(PRICE)))
    }

    /// The task of a run.
    pub fn task_of_run(&self, run: i64) -> Result<Task> {
        let record = self.block_on(self.database.runs().get(run))?.ok_or(storage::Error::NoRun(run))?;
        self.task(Some(&record.task))
    }

    /// The database with the listings of a task's market.
    pub fn database_of(&self, task: &Task) -> Result<Database> {
        self.block_on(self.database.in_market(&task.market))
    }

    /// A snapshot of the listings of a task, in the canonical form of this version.
    pub fn snapshot(&self, task: &Task) -> Result<Snapshot> {
        let database = self.database_of(task)?;
        let snapshot = self.block_on(async {
            database.recanonicalize_listings().await?;
            Snapshot::begin(&database).await
        })?;
        Ok(snapshot.for_task(task)?)
    }

    /// The same for a report, which computes everything in one transaction.
    pub fn report_snapshot(&self, task: &Task) -> Result<Snapshot> {
        let database = self.database_of(task)?;
        self.block_on(async {
            database.recanonicalize_listings().await?;
            Snapshot::begin_for_report(&database, task).await
        })
    }

    /// Runs a blocking computation on another thread. If a stop is requested, the thread is abandoned, so `work` must not commit
    /// anything.
    pub fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let work = self.tokio.spawn_blocking(work);
        self.block_on(async { work.await.context("the computation panicked; please report this with the log")? })
    }

    /// The ONNX runtime: the native one if `ORT_DYLIB_PATH` is set.
    pub fn inference(&self) -> Result<&Runtime> {
        if let Some(runtime) = self.inference.get() {
            return Ok(runtime);
        }
        let runtime = Runtime::load(variables::ORT_DYLIB_PATH.value()?.map(PathBuf::from).as_deref())?;
        Ok(self.inference.get_or_init(|| runtime))
    }

    /// Opens a registered model with one session per processor: a version or an alias, or else the champion of a task.
    pub fn model(&self, name: Option<&str>, task: Option<&str>) -> Result<(i64, Model)> {
        let version = match (name, task) {
            (None, task) => self.version(&champion_of(&self.task(task)?.name))?,
            (Some(name), None) => self.version(name)?,
            (Some(name), Some(task)) => self.version_of(name, &self.task(Some(task))?)?,
        };
        let sessions = std::thread::available_parallelism().map_or(1, usize::from);
        let (runtime, file) = (self.inference()?.clone(), self.model_file(version)?);
        let model = self.compute(move || Ok(Model::open(&runtime, &file, Sessions::bulk(sessions))?))?;
        Ok((version, model.with_threads(sessions)))
    }

    /// The file of a registered version.
    pub fn model_file(&self, version: i64) -> Result<Vec<u8>> {
        let bytes = self.block_on(self.database.models().bytes(version))?;
        bytes.with_context(|| format!("there is no model version {version}"))
    }

    /// Resolves a version or an alias, which must be of a task.
    fn version_of(&self, name: &str, task: &Task) -> Result<i64> {
        let version = self.version(name)?;
        let model = self.block_on(self.database.models().get(version))?.context("the version no longer exists")?;
        ensure!(model.task == task.name, "version {version} is of the task {}, not {}", model.task, task.name);
        Ok(version)
    }

    /// Resolves a version or an alias.
    pub fn version(&self, name: &str) -> Result<i64> {
        let version = self.block_on(self.database.models().resolve(name))?;
        version.with_context(|| {
            match name.split_once('/') {
                None if name == CHAMPION => {
                    "no model has been promoted yet; train one with `probeg train --promote`".to_owned()
                }
                Some((task, CHAMPION)) => {
                    format!("no model of the task {task} has been promoted yet; train one with `probeg train --task {task} --promote`")
                }
                _ => format!("there is no model {name:?}; see `probeg models list`"),
            }
        })
    }
}

impl Drop for Context {
    /// Publishes the rest and closes the connections before the private cluster is stopped.
    fn drop(&mut self) {
        self.publishing.finish(&self.stop);
        let closed = self.tokio.block_on(async { timeout(CLOSE_TIMEOUT, self.database.close()).await });
        if closed.is_err() {
            tracing::debug!("Some database connections did not close in time.");
        }
    }
}

/// `PROBEG_HOME`.
fn home() -> Result<PathBuf, ConfigError> {
    Ok(variables::HOME.value_or_default()?.into())
}

/// The folder of the server's files.
pub fn server_folder(home: &Path) -> PathBuf {
    home.join("server")
}

/// The current local date.
pub fn today() -> NaiveDate {
    Local::now().date_naive()
}

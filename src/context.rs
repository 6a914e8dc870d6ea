//! What every command stands on: the database, its cluster, the async runtime, the inference runtime.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use chrono::{Local, NaiveDate};
use onnx_model::{Model, Runtime, Sessions};
use postgres::Cluster;
use server::ConfigError;
use storage::{CHAMPION, Database};
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::process::{Process, Stop};
use crate::variables;

/// Connections of one command.
const CONNECTIONS: u32 = 8;
/// How long they may take to close.
const CLOSED_WITHIN: Duration = Duration::from_secs(1);
/// An address where nobody listens.
const NOWHERE: &str = "postgres://probeg@127.0.0.1:1/probeg";

/// What a command works with. Dropped last, it stops the private cluster if nobody else uses it.
pub struct Context {
    pub database: Database,
    pub tokio: Handle,
    /// `PROBEG_HOME`.
    pub home: PathBuf,
    pub stop: Stop,
    /// Loaded at its first use; a process can have but one.
    inference: OnceCell<Runtime>,
    _cluster: Option<Cluster>,
}

impl Context {
    /// Connects to `DATABASE_URL`, or opens the private cluster, and brings the tables up to date.
    pub fn open(process: &Process) -> Result<Self> {
        let context = Self::connect(process, Err)?;
        context.block_on(context.database.migrate())?;
        Ok(context)
    }

    /// The same for a command that changes nothing, which does what it can with the tables of a newer version.
    pub fn open_to_read(process: &Process) -> Result<Self> {
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

    /// The same for a server, which comes up without the database where it has a model of its own, and brings the
    /// tables up to date once it can.
    pub fn open_to_serve(process: &Process) -> Result<Self> {
        let home = home()?;
        Self::connect(process, |error| if server::is_model_cached(&server_folder(&home)) { Ok(()) } else { Err(error) })
    }

    fn connect(
        process: &Process,
        without_cluster: impl FnOnce(postgres::Error) -> Result<(), postgres::Error>,
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
                    without_cluster(error)?;
                    tracing::warn!(
                        cause = reason,
                        "The private cluster does not start; the server continues without it."
                    );
                    (NOWHERE.to_owned(), None)
                }
            }
        };
        // The pool belongs to the runtime that it is made in.
        let _within = tokio.enter();
        let database = Database::connect_lazy(&url, CONNECTIONS)?;
        let (tokio, stop) = (tokio.handle().clone(), stop.clone());
        Ok(Self { database, tokio, home, stop, inference: OnceCell::new(), _cluster: cluster })
    }

    /// Runs a future to its end, or until the user asks to stop; then it is dropped, and with it
    /// whatever it had not finished.
    pub fn block_on<T, E: Into<anyhow::Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T> {
        self.tokio.block_on(async {
            tokio::select! {
                biased;
                () = self.stop.requested() => bail!("stopped on request; unfinished work was rolled back"),
                done = work => done.map_err(Into::into),
            }
        })
    }

    /// Computes for as long as it takes, on a thread of its own, which is left behind where the user asks to stop: it
    /// must not be what finishes anything.
    pub fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
        let work = self.tokio.spawn_blocking(work);
        self.block_on(async { work.await.context("please report this, with the log")? })
    }

    /// The ONNX runtime: native where `ORT_DYLIB_PATH` names one.
    pub fn inference(&self) -> Result<&Runtime> {
        if let Some(runtime) = self.inference.get() {
            return Ok(runtime);
        }
        let runtime = Runtime::load(variables::ORT_DYLIB_PATH.value()?.map(PathBuf::from).as_deref())?;
        Ok(self.inference.get_or_init(|| runtime))
    }

    /// Opens a registered model, with as many sessions as there are processors.
    pub fn model(&self, name: Option<&str>) -> Result<(i64, Model)> {
        let name = name.unwrap_or(CHAMPION);
        let version = self.version(name)?;
        let sessions = std::thread::available_parallelism().map_or(1, usize::from);
        let (runtime, file) = (self.inference()?.clone(), self.model_file(version)?);
        let model = self.compute(move || Ok(Model::open(&runtime, &file, Sessions::bulk(sessions))?))?;
        Ok((version, model.in_threads(sessions)))
    }

    /// The file of a registered version.
    pub fn model_file(&self, version: i64) -> Result<Vec<u8>> {
        let bytes = self.block_on(self.database.models().bytes(version))?;
        bytes.with_context(|| format!("there is no model version {version}"))
    }

    /// The version that a name stands for.
    pub fn version(&self, name: &str) -> Result<i64> {
        let version = self.block_on(self.database.models().resolve(name))?;
        version.with_context(|| {
            if name == CHAMPION {
                "no model has been promoted yet; train one with `probeg train --promote`".to_owned()
            } else {
                format!("there is no model {name:?}; see `probeg models list`")
            }
        })
    }
}

impl Drop for Context {
    /// Before the private cluster is stopped: a connection that is cut off complains.
    fn drop(&mut self) {
        let closed = self.tokio.block_on(async { timeout(CLOSED_WITHIN, self.database.close()).await });
        if closed.is_err() {
            tracing::debug!("Some connections to the database did not close in time.");
        }
    }
}

/// `PROBEG_HOME`.
fn home() -> Result<PathBuf, ConfigError> {
    Ok(variables::HOME.value_or_default()?.into())
}

/// Where a server keeps its own files.
pub fn server_folder(home: &Path) -> PathBuf {
    home.join("server")
}

/// The day of today where the program runs.
pub fn today() -> NaiveDate {
    Local::now().date_naive()
}

//! What every command stands on: the database, its cluster, the async runtime, the inference runtime.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result, bail};
use chrono::{Local, NaiveDate};
use onnx_model::{Model, Runtime};
use server::{ConfigError, variable};
use storage::{CHAMPION, Cluster, Database};

/// Connections of one command.
const CONNECTIONS: u32 = 8;
/// An address where nobody listens.
const NOWHERE: &str = "postgres://probeg@127.0.0.1:1/probeg";

/// What a command works with. Dropped last, it stops the private cluster if nobody else uses it.
pub struct Context {
    pub database: Database,
    pub tokio: tokio::runtime::Runtime,
    /// `PROBEG_HOME`.
    pub home: PathBuf,
    /// Set once the user asked the command to stop.
    pub stop: Arc<AtomicBool>,
    /// Loaded at its first use; a process can have but one.
    inference: OnceCell<Runtime>,
    _cluster: Option<Cluster>,
}

impl Context {
    /// Connects to `DATABASE_URL`, or opens the private cluster, and brings the tables up to date.
    pub fn open() -> Result<Self> {
        Self::open_with(|tokio, url| Ok(tokio.block_on(Database::connect(url, CONNECTIONS))?), Err)
    }

    /// The same for a server, which comes up without the database where it has a model of its own.
    pub fn open_to_serve() -> Result<Self> {
        let home = home()?;
        Self::open_with(
            |tokio, url| {
                // The pool belongs to the runtime that it is made in.
                let _within = tokio.enter();
                Ok(Database::connect_lazy(url, CONNECTIONS)?)
            },
            |error| if server::cache::holds_model(&server_folder(&home)) { Ok(()) } else { Err(error) },
        )
    }

    fn open_with(
        connect: impl FnOnce(&tokio::runtime::Runtime, &str) -> Result<Database>,
        without_cluster: impl FnOnce(storage::Error) -> Result<(), storage::Error>,
    ) -> Result<Self> {
        // The other processors learn, or value cars.
        let threads = std::thread::available_parallelism().map_or(1, |processors| (processors.get() / 2).max(1));
        let mut tokio = tokio::runtime::Builder::new_multi_thread();
        // Answers come from other threads: when there is much to do, they take turns with what is new.
        let tokio = tokio.worker_threads(threads).global_queue_interval(2).enable_all().build()?;
        let home = home()?;
        let (url, cluster) = if let Some(url) = variable("DATABASE_URL")? {
            (url, None)
        } else {
            let programs = variable("PG_BIN_DIR")?.map(PathBuf::from);
            match Cluster::open(&home, programs.as_deref()) {
                Ok(cluster) => (cluster.url(), Some(cluster)),
                Err(error) => {
                    let reason = error.to_string();
                    without_cluster(error)?;
                    tracing::warn!(
                        cause = reason,
                        "The private cluster does not start; the server goes on without it."
                    );
                    (NOWHERE.to_owned(), None)
                }
            }
        };
        let stop = Arc::new(AtomicBool::new(false));
        watch_for_stop(&tokio, Arc::clone(&stop));
        let database = connect(&tokio, &url)?;
        Ok(Self { database, tokio, home, stop, inference: OnceCell::new(), _cluster: cluster })
    }

    /// Runs a future to its end, or until the user asks to stop; then it is dropped, and with it
    /// whatever it had not finished.
    pub fn block_on<T, E: Into<anyhow::Error>>(&self, work: impl Future<Output = Result<T, E>>) -> Result<T> {
        self.tokio.block_on(async {
            tokio::select! {
                done = work => done.map_err(Into::into),
                () = stop_signal() => bail!("stopped on request; what was not finished was undone"),
            }
        })
    }

    /// The ONNX runtime: native where `ORT_DYLIB_PATH` names one.
    pub fn inference(&self) -> Result<&Runtime> {
        if let Some(runtime) = self.inference.get() {
            return Ok(runtime);
        }
        let runtime = Runtime::load(variable("ORT_DYLIB_PATH")?.map(PathBuf::from).as_deref())?;
        Ok(self.inference.get_or_init(|| runtime))
    }

    /// Opens a registered model, with as many sessions as there are processors.
    pub fn model(&self, name: Option<&str>) -> Result<(i64, Model)> {
        let name = name.unwrap_or(CHAMPION);
        let version = self.version(name)?;
        let sessions = std::thread::available_parallelism().map_or(1, usize::from);
        let model = Model::open(self.inference()?, &self.model_file(version)?, sessions)?;
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
                format!("there is no model {name:?}; `probeg models list` shows those that there are")
            }
        })
    }
}

/// `PROBEG_HOME`.
fn home() -> Result<PathBuf, ConfigError> {
    Ok(variable("PROBEG_HOME")?.map_or_else(|| PathBuf::from(".probeg"), PathBuf::from))
}

/// Where a server keeps its own files.
pub fn server_folder(home: &Path) -> PathBuf {
    home.join("server")
}

/// The day of today where the program runs.
pub fn today() -> NaiveDate {
    Local::now().date_naive()
}

fn watch_for_stop(tokio: &tokio::runtime::Runtime, stop: Arc<AtomicBool>) {
    tokio.spawn(async move {
        stop_signal().await;
        stop.store(true, Ordering::Relaxed);
    });
}

/// Resolves once the process is asked to end: Ctrl-C or SIGTERM.
pub async fn stop_signal() {
    use tokio::signal::unix::{SignalKind, signal};
    // Without a handler the signal ends the process by itself, which is what is wanted then.
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

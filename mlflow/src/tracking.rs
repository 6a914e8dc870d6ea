//! The MLflow server, and the database whose runs are published there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use storage::{Database, Lock};
use tokio::runtime::Handle;

use crate::client::Client;
use crate::error::{Error, Result};
use crate::settings::Settings;

/// The MLflow server, and the database whose runs are published there. Its calls block; make them outside the async runtime.
#[derive(Debug)]
pub struct Tracking {
    pub(crate) client: Client,
    /// The name of the experiment.
    pub(crate) experiment: String,
    database: Database,
    handle: Handle,
    /// Set to fail all further calls.
    abandoned: Arc<AtomicBool>,
}

impl Tracking {
    /// Does not connect yet.
    ///
    /// # Errors
    /// The settings are invalid.
    pub fn new(settings: &Settings, database: Database, handle: Handle) -> Result<Self> {
        let abandoned = Arc::new(AtomicBool::new(false));
        let client = Client::new(settings, Arc::clone(&abandoned))?;
        Ok(Self { client, experiment: settings.experiment.clone(), database, handle, abandoned })
    }

    pub(crate) fn abandoned(&self) -> &Arc<AtomicBool> {
        &self.abandoned
    }

    /// Reads from the database.
    pub(crate) fn read<T>(&self, read: impl AsyncFnOnce(&Database) -> storage::Result<T>) -> Result<T> {
        if self.abandoned.load(Ordering::Relaxed) {
            return Err(Error::Abandoned);
        }
        Ok(self.handle.block_on(read(&self.database))?)
    }

    /// Does something that must not be done by two processes at once, such as creating what does not exist.
    pub(crate) fn alone<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let lock = self.read(async |database| database.lock(Lock::Publishing).await)?;
        let result = work();
        // A lost connection has released it.
        let _ = self.read(async |_| lock.release().await);
        result
    }
}

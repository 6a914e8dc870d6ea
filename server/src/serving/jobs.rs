//! Valuation jobs: workbooks that are valued in the background.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use chrono::{DateTime, Utc};
use tables::Header;
use uuid::Uuid;

use crate::http::budget::{Budget, Caller, Share};
use crate::http::file::StoredFile;
use crate::http::problem::Problem;
use crate::serving::portfolio::Collector;

/// The maximum number of jobs; a single caller may have half of them. A new job replaces the caller's oldest finished one.
const MAX_JOBS: u64 = 128;

/// The jobs of this server, which are lost when it stops.
#[derive(Debug)]
pub(crate) struct Jobs {
    /// The jobs with their slots.
    by_id: Mutex<HashMap<Uuid, (Arc<JobEntry>, Share)>>,
    slots: Arc<Budget>,
}

/// A job in progress or finished.
#[derive(Debug)]
pub(crate) struct JobEntry {
    pub(crate) caller: Caller,
    /// The name of the workbook.
    pub(crate) file_name: String,
    pub(crate) created_at: DateTime<Utc>,
    /// The number of rows with a price so far.
    pub(crate) valued: Arc<AtomicU64>,
    pub(crate) cancelled: Arc<AtomicBool>,
    /// The header of the table, once it is valued.
    pub(crate) header: Arc<OnceLock<Header>>,
    /// What the prices add up to, so far.
    pub(crate) portfolio: Arc<Collector>,
    /// `None` while it runs.
    pub(crate) outcome: Mutex<Option<Result<Arc<StoredFile>, Problem>>>,
}

impl Default for Jobs {
    fn default() -> Self {
        Self { by_id: Mutex::default(), slots: Budget::new(MAX_JOBS) }
    }
}

impl Jobs {
    /// Adds a job and returns its id.
    pub(crate) fn add(&self, job: Arc<JobEntry>) -> Result<Uuid, Problem> {
        let mut slot = self.slots.share(job.caller);
        if slot.grow(1).is_err() {
            self.remove_oldest_finished(job.caller);
            slot.grow(1).map_err(|_| Problem::Overloaded)?;
        }
        // The id must be unpredictable, since it grants access to the result.
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        self.lock().insert(id, (job, slot));
        Ok(id)
    }

    /// Refuses if the caller could not add a job now.
    pub(crate) fn check_capacity(&self, caller: Caller) -> Result<(), Problem> {
        if self.slots.allows(caller, 1) || self.oldest_finished(caller).is_some() {
            Ok(())
        } else {
            Err(Problem::Overloaded)
        }
    }

    /// Removes the oldest finished job of a caller; false if there is none.
    pub(crate) fn remove_oldest_finished(&self, caller: Caller) -> bool {
        let oldest = self.oldest_finished(caller);
        oldest.is_some_and(|id| self.lock().remove(&id).is_some())
    }

    fn oldest_finished(&self, caller: Caller) -> Option<Uuid> {
        let jobs = self.lock();
        let finished = jobs.iter().filter(|(_, (job, _))| job.caller == caller && job.outcome().is_some());
        finished.min_by_key(|(_, (job, _))| job.created_at).map(|(id, _)| *id)
    }

    pub(crate) fn get(&self, id: Uuid) -> Option<Arc<JobEntry>> {
        self.lock().get(&id).map(|(job, _)| Arc::clone(job))
    }

    /// Removes a job, and cancels it if it is still running.
    pub(crate) fn remove(&self, id: Uuid) {
        if let Some((job, _)) = self.lock().remove(&id) {
            job.cancelled.store(true, Ordering::Relaxed);
        }
    }

    /// Nothing under the lock can panic halfway.
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, (Arc<JobEntry>, Share)>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl JobEntry {
    pub(crate) fn outcome(&self) -> MutexGuard<'_, Option<Result<Arc<StoredFile>, Problem>>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

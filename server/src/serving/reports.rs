//! The data reports, created in the background: each takes seconds and reads all listings.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use domain::Task;
use report::Report;
use storage::{Database, Snapshot};
use tokio::sync::Semaphore;

use crate::http::problem::Problem;

/// A report of listings that have changed is created again, but not more often than this.
const MIN_INTERVAL: Duration = Duration::from_mins(5);
/// The time limit of a statement.
const STATEMENT_TIMEOUT_MS: u32 = 120_000;
/// The time limit for finding out whether listings have changed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The reports by task. One is created at a time.
#[derive(Clone, Debug)]
pub(crate) struct Reports {
    kept: Arc<Mutex<BTreeMap<String, Kept>>>,
    turn: Arc<Semaphore>,
}

/// The state of the report of a task.
#[derive(Debug, Default)]
struct Kept {
    /// The page, and when the newest listings behind it were added.
    page: Option<(Bytes, Option<DateTime<Utc>>)>,
    /// Whether one is being created.
    is_running: bool,
    /// Why none was created.
    failure: Option<Problem>,
    /// When the last one was begun.
    begun: Option<Instant>,
}

impl Default for Reports {
    fn default() -> Self {
        Self { kept: Arc::default(), turn: Arc::new(Semaphore::new(1)) }
    }
}

impl Reports {
    /// The report of a task, whose listings are in this database; `None` while the first one is being created. An older report is
    /// returned while a new one is being created, and while the database is unavailable.
    pub(crate) async fn of(
        &self,
        database: &Database,
        task: &Task,
        today: NaiveDate,
    ) -> Result<Option<Bytes>, Problem> {
        let listings = database.listings();
        let added = match tokio::time::timeout(TIMEOUT, listings.last_added()).await {
            Ok(Ok(added)) => Ok(added),
            Ok(Err(error)) => Err(Problem::from_storage(&error)),
            Err(_) => Err(Problem::DatabaseAway),
        };
        let mut reports = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = reports.entry(task.name.clone()).or_default();
        let added = match (added, &kept.page) {
            (Ok(added), _) => added,
            (Err(_), Some((page, _))) => return Ok(Some(page.clone())),
            (Err(problem), None) => return Err(problem),
        };
        // A failure is told once, and the next request tries again.
        if let Some(failure) = kept.failure.take() {
            return Err(failure);
        }
        let is_current = kept.page.as_ref().is_some_and(|(_, since)| *since == added);
        let is_due = kept.page.is_none() || kept.begun.is_none_or(|begun| begun.elapsed() >= MIN_INTERVAL);
        if !is_current && is_due && !kept.is_running {
            (kept.is_running, kept.begun) = (true, Some(Instant::now()));
            tokio::spawn(self.clone().create(database.clone(), task.clone(), added, today));
        }
        Ok(kept.page.as_ref().map(|(page, _)| page.clone()))
    }

    async fn create(self, database: Database, task: Task, added: Option<DateTime<Utc>>, today: NaiveDate) {
        let _turn = self.turn.acquire().await;
        let name = task.name.clone();
        let created = render(database, task, today).await;
        let mut reports = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = reports.entry(name).or_default();
        kept.is_running = false;
        match created {
            Ok(page) => kept.page = Some((page, added)),
            Err(problem) => kept.failure = Some(problem),
        }
    }
}

/// Creates a report on a thread of its own: it computes for seconds between its statements.
async fn render(database: Database, task: Task, today: NaiveDate) -> Result<Bytes, Problem> {
    let tokio = tokio::runtime::Handle::current();
    let work = move || {
        tokio.block_on(async {
            let mut snapshot = Snapshot::begin_for_report(&database, &task).await?;
            snapshot.limit_statements(STATEMENT_TIMEOUT_MS).await?;
            let report = Report::create(snapshot, &task, today, &|_| {}).await?;
            Ok::<_, report::Error>(Bytes::from(report.page()))
        })
    };
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(page)) => Ok(page),
        Ok(Err(error @ report::Error::NoListings)) => Err(Problem::NotFound { detail: error.to_string() }),
        Ok(Err(report::Error::Storage(error))) if error.is_timeout() => Err(Problem::DatabaseAway),
        Ok(Err(report::Error::Storage(error))) => Err(Problem::from_storage(&error)),
        Err(error) => Err(Problem::internal(&error)),
    }
}

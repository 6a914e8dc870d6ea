//! The right to execute a part of a run, which is renewed until the part is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use storage::{Acquired, Lease, Part, retry_while_unavailable};
use tokio::task::JoinHandle;

use super::context::{Progress, RunContext, this_process};
use crate::Error;

/// The time between renewals of a lease. Several may fail before it expires.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(4);
/// The time between attempts to acquire a lease that another process holds.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// A lease that is renewed until this is dropped.
pub(super) struct HeldLease {
    pub(super) lease: Lease,
    progress: Arc<PartProgress>,
    renewal: JoinHandle<()>,
}

/// The progress of a part in listings.
#[derive(Debug, Default)]
struct PartProgress {
    rows: AtomicU64,
    max_rows: AtomicU64,
}

impl HeldLease {
    /// Acquires the lease of a part; `None` if the part is done. A lease that is no longer renewed is waited for, as that of a
    /// process whose machine failed; with `waits`, any is.
    ///
    /// # Errors
    /// [`Error::PartIsHeld`], [`Error::NoSuchPart`], or the database is unavailable.
    pub(super) fn acquire(part: &Part, waits: bool, context: RunContext<'_>) -> Result<Option<Self>, Error> {
        let RunContext { database, handle, retry_for, .. } = context;
        let (parts, process) = (database.run_parts(), this_process());
        let mut expires: Option<DateTime<Utc>> = None;
        loop {
            let acquired = retry_while_unavailable(retry_for, async || parts.acquire(part, &process).await);
            match context.block_on(acquired)? {
                None => return Err(Error::NoSuchPart { run: part.run, part: part.stage.clone(), member: part.member }),
                Some(Acquired::Done) => return Ok(None),
                Some(Acquired::Leased(lease)) => {
                    let progress = Arc::new(PartProgress::default());
                    let renewal = renew(lease.clone(), Arc::clone(&progress), context);
                    return Ok(Some(Self { lease, progress, renewal: handle.spawn(renewal) }));
                }
                Some(Acquired::Held { holder, until }) if !waits && expires.is_some_and(|expires| until > expires) => {
                    return Err(Error::PartIsHeld { run: part.run, holder });
                }
                Some(Acquired::Held { until, holder }) => {
                    if expires.is_none() {
                        tracing::info!("{holder} holds this part; taking it over if its lease is not renewed.");
                    }
                    expires = Some(until);
                    context.sleep(RETRY_INTERVAL)?;
                }
            }
        }
    }

    /// Notes the progress, which is recorded with the next renewal.
    pub(super) fn note(&self, progress: &Progress) {
        if let Progress::Step(step) = progress {
            self.progress.rows.store(step.rows, Ordering::Relaxed);
            self.progress.max_rows.store(step.max_rows, Ordering::Relaxed);
        }
    }
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}

/// Renews a lease, which counts as a heartbeat of the run. If another process has taken the part over, the next write of this one
/// will fail.
fn renew(lease: Lease, progress: Arc<PartProgress>, context: RunContext<'_>) -> impl Future<Output = ()> + use<> {
    let (parts, runs) = (context.database.run_parts(), context.database.runs());
    async move {
        loop {
            let rows = progress.rows.load(Ordering::Relaxed);
            let renewed = parts.renew(&lease, (rows, progress.max_rows.load(Ordering::Relaxed))).await;
            if let Err(error @ storage::Error::LeaseLost(_)) = renewed {
                tracing::warn!("{error}.");
                return;
            }
            // If the database is unavailable, the next query of the part itself reports it.
            let _ = runs.heartbeat(lease.part().run).await;
            tokio::time::sleep(RENEWAL_INTERVAL).await;
        }
    }
}

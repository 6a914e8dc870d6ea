//! A training run, from the listings in the database to the registered version.

mod context;
mod evaluation;
mod run;
mod stage;
mod trial;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use chrono::SecondsFormat;
use domain::SplitCounts;
use onnx_model::signature::RunSummary;
use serde_json::json;
use storage::{NewRun, RunOutcome, RunStatus, retry_while_unavailable};

pub use context::{Progress, RunContext, RunResult};
use run::TrainingRun;
pub(crate) use run::count_rows;
pub(crate) use trial::{TrialEnd, TrialRun};

use crate::Error;
use crate::checkpoint::RunFolder;
use crate::config::TrainConfig;
pub use crate::learner::{EpochMetrics, Step};
use crate::stream::wait_for_stop;

/// The time between heartbeats of a run.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// The time limit for recording that a run was interrupted.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// Trains on the listings in the database and registers the result as a new version, without promoting it. Blocks; call it
/// outside the async runtime.
///
/// # Errors
/// There are too few listings, training diverges, the exported file disagrees with the network, or the database fails. The
/// run is then marked as failed and nothing is registered. [`Error::Resumable`] if [`resume`] can continue it.
pub fn train(config: &TrainConfig, context: RunContext<'_>) -> Result<RunResult, Error> {
    let RunContext { task, database, home, report, .. } = context;
    RunFolder::prepare(home)?;
    let new_run = NewRun { task: task.name.clone(), label: None, seed: config.seed, config: json!(config) };
    let id = context.block_on(database.runs().create(&new_run))?;
    let run = context.block_on(database.runs().get(id))?.ok_or(storage::Error::NoRun(id))?;
    let folder = RunFolder::open(home, &run)?;
    report(Progress::Started(id));
    execute_run(&run, config, folder, context, |run| run.execute(None))
}

/// Resumes an interrupted run; the result is the same as without the interruption.
///
/// # Errors
/// Those of [`train`]; also if there is nothing to resume, or another process is executing the run.
pub fn resume(id: i64, context: RunContext<'_>) -> Result<RunResult, Error> {
    let RunContext { database, home, report, .. } = context;
    let run = context.block_on(database.runs().get(id))?.ok_or(storage::Error::NoRun(id))?;
    match run.status {
        RunStatus::Completed => {
            if RunFolder::exists(home, &run) {
                RunFolder::open(home, &run)?.remove();
            }
            return Err(Error::RunIsComplete(id));
        }
        RunStatus::Running if !RunFolder::exists(home, &run) => return Err(Error::RunIsElsewhere(id)),
        _ => {}
    }
    let folder = RunFolder::open(home, &run)?;
    let manifest = folder.read_manifest()?;
    let config = match &manifest {
        Some(manifest) => manifest.config.clone(),
        None => serde_json::from_value(run.config.clone()).map_err(|cause| Error::RunConfig { run: id, cause })?,
    };
    context.block_on(database.runs().resume(id))?;
    report(if manifest.is_some() { Progress::Resumed(id) } else { Progress::Restarted(id) });
    let today = manifest.as_ref().map_or(context.today, |manifest| manifest.today);
    execute_run(&run, &config, folder, RunContext { today, ..context }, |run| run.execute(manifest))
}

/// Executes a run and records its outcome.
fn execute_run<T>(
    run: &storage::Run,
    config: &TrainConfig,
    folder: RunFolder,
    context: RunContext<'_>,
    work: impl FnOnce(TrainingRun<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    let RunContext { database, handle, retry_for, stop, .. } = context;
    let runs = database.runs();
    let id = run.id;
    let heartbeat = handle.spawn(async move {
        loop {
            tokio::time::sleep(HEARTBEAT_INTERVAL).await;
            // If the database is unavailable, the next query of the run itself reports it.
            let _ = runs.heartbeat(id).await;
        }
    });
    let summary = RunSummary {
        id: Some(id),
        producer: None,
        started_at: Some(run.started_at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        trained_at: String::new(),
        seed: Some(config.seed),
        rows: SplitCounts::default(),
        market_as_of: None,
        config: json!(config),
    };
    let run = TrainingRun { config: config.clone(), context, id, summary, folder: &folder };
    // A panic counts as a failure, so that the run does not appear to be still running.
    let result = catch_unwind(AssertUnwindSafe(|| work(run))).unwrap_or(Err(Error::ThreadStopped));
    heartbeat.abort();
    let outcome = match &result {
        Ok(_) => RunOutcome::Completed,
        Err(Error::Interrupted) => RunOutcome::Interrupted,
        Err(error) => RunOutcome::Failed(error.to_string()),
    };
    // If the database is unavailable, there is no second wait: without heartbeats the run counts as interrupted.
    let is_unavailable = matches!(result, Err(Error::Storage(storage::Error::UnavailableTooLong { .. })));
    let retry_for = if is_unavailable { Duration::ZERO } else { retry_for };
    let runs = database.runs();
    let finished = handle.block_on(async {
        tokio::select! {
            finished = retry_while_unavailable(retry_for, async || runs.finish(id, &outcome).await) => Ok(finished?),
            () = async {
                wait_for_stop(stop).await;
                tokio::time::sleep(FINISH_TIMEOUT).await;
            } => Err(Error::Interrupted),
        }
    });
    match result.and_then(|trained| finished.map(|()| trained)) {
        Ok(trained) => {
            folder.remove();
            Ok(trained)
        }
        Err(cause) if cause.is_resumable() => Err(Error::Resumable { run: id, cause: Box::new(cause) }),
        Err(error) => Err(error),
    }
}

//! Executes a run and records its outcome.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use chrono::SecondsFormat;
use domain::SplitCounts;
use onnx_model::signature::RunSummary;
use serde_json::json;
use storage::{RunOutcome, retry_while_unavailable};

use super::context::{Progress, RunContext};
use super::recorder::Recorder;
use super::run::TrainingRun;
use crate::Error;
use crate::checkpoint::RunFolder;
use crate::config::TrainConfig;
use crate::stream::wait_for_stop;

/// The time between heartbeats of a run.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);
/// The time limit for recording that a run was interrupted.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

/// A run before its first stage.
pub(super) fn training_run<'a>(
    run: &storage::Run,
    config: &TrainConfig,
    folder: &'a RunFolder,
    context: RunContext<'a>,
) -> TrainingRun<'a> {
    let summary = RunSummary {
        id: Some(run.id),
        producer: None,
        started_at: Some(run.started_at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        trained_at: String::new(),
        seed: Some(config.seed),
        rows: SplitCounts::default(),
        market_as_of: None,
        config: json!(config),
    };
    TrainingRun { config: config.clone(), context, id: run.id, summary, folder, lease: None }
}

/// How a run ends with an error.
pub(super) fn outcome_of(error: &Error) -> RunOutcome {
    match error {
        Error::Interrupted => RunOutcome::Interrupted,
        error => RunOutcome::Failed(error.to_string()),
    }
}

/// Executes a run and records its outcome, unless another process has taken the run over.
pub(super) fn execute_run<T>(
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
    let recorder = context.has_log.then(|| Recorder::start(id, context));
    let result = {
        let report = |event: Progress| {
            if let Some(recorder) = &recorder {
                recorder.note(&event);
            }
            (context.report)(event);
        };
        let run = training_run(run, config, &folder, RunContext { report: &report, ..context });
        // A panic counts as a failure, so that the run does not appear to be still running.
        catch_unwind(AssertUnwindSafe(|| work(run))).unwrap_or(Err(Error::ThreadStopped))
    };
    heartbeat.abort();
    let outcome = match &result {
        Ok(_) => RunOutcome::Completed,
        Err(error) if error.is_taken_over() => {
            if let Some(recorder) = recorder {
                recorder.abandon();
            }
            return result;
        }
        Err(error) => outcome_of(error),
    };
    // If the database is unavailable, there is no second wait: without heartbeats the run counts as interrupted.
    let is_unavailable = matches!(result, Err(Error::Storage(storage::Error::UnavailableTooLong { .. })));
    let retry_for = if is_unavailable { Duration::ZERO } else { retry_for };
    if let Some(recorder) = recorder {
        recorder.finish(&outcome, context, retry_for);
    }
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

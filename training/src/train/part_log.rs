//! What the parts of a run that is split among processes add to its log and figures.

use std::time::Duration;

use storage::RunOutcome;

use super::context::{Progress, RunContext};
use super::execution::outcome_of;
use super::recorder::Recorder;
use crate::Error;
use crate::checkpoint::Stage;

/// What a part is called in the log of its run.
pub(super) fn name(stage: Stage, member: usize) -> String {
    match stage {
        Stage::Training => format!("member {member}"),
        Stage::Origin(number) => format!("model {number} of the backtest"),
        Stage::Refit => format!("member {member} of the final network"),
    }
}

/// Lets a part of a run work, and records its progress beside it.
pub(super) fn recorded<T>(
    (part, has_steps): (String, bool),
    run: i64,
    context: RunContext<'_>,
    work: impl FnOnce(RunContext<'_>) -> Result<T, Error>,
) -> Result<T, Error> {
    if !context.has_log {
        return work(context);
    }
    let recorder = Recorder::start_part(part, has_steps, run, context);
    let report = |progress: Progress| {
        recorder.note(&progress);
        (context.report)(progress);
    };
    let result = work(RunContext { report: &report, ..context });
    match &result {
        Ok(_) => recorder.finish(&RunOutcome::Completed, context, context.retry_for),
        Err(error) if error.is_taken_over() => recorder.abandon(),
        Err(error) => recorder.finish(&outcome_of(error), context, Duration::ZERO),
    }
    result
}

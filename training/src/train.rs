//! A training run, from the listings in the database to the registered version.

mod checkpoints;
mod context;
mod ensemble;
mod evaluation;
mod execution;
mod lease;
mod part_log;
mod parts;
mod recorder;
mod run;
mod stage;
mod trial;

use serde_json::json;
use storage::{NewRun, RunDescription, RunStatus};

pub use crate::budget::time_limit;
pub(crate) use context::this_process;
pub use context::{Progress, RunContext, RunResult};
use execution::execute_run;
pub use parts::{PartOutcome, PlannedParts, RunPart, finish, plan, train_part};
pub(crate) use run::{count_rows, open_listings};
pub(crate) use trial::{TrialEnd, TrialRun};

use crate::Error;
use crate::checkpoint::RunFolder;
use crate::config::TrainConfig;
pub use crate::learner::{EpochMetrics, Step};

/// Trains on the listings in the database and registers the result as a new version, without promoting it. Blocks; call it
/// outside the async runtime.
///
/// # Errors
/// There are too few listings, training diverges, the exported file disagrees with the network, or the database fails. The
/// run is then marked as failed and nothing is registered. [`Error::Resumable`] if [`resume`] can continue it.
pub fn train(config: &TrainConfig, description: &RunDescription, context: RunContext<'_>) -> Result<RunResult, Error> {
    let RunContext { database, home, report, .. } = context;
    RunFolder::prepare(home)?;
    let id = create_run(config, description, context)?;
    let run = context.block_on(database.runs().get(id))?.ok_or(storage::Error::NoRun(id))?;
    let folder = RunFolder::open(home, &run)?;
    report(Progress::Started(id));
    execute_run(&run, config, folder, context, |run| run.execute(None))
}

/// Records a new run, for [`plan`], and returns its number.
///
/// # Errors
/// The database is unavailable.
pub fn create_run(config: &TrainConfig, description: &RunDescription, context: RunContext<'_>) -> Result<i64, Error> {
    let RunContext { task, database, program, .. } = context;
    let description = RunDescription { program: Some(program.to_owned()), ..description.clone() };
    let new_run = NewRun { task: task.name.clone(), description, seed: config.seed, config: json!(config) };
    context.block_on(database.runs().create(&new_run))
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

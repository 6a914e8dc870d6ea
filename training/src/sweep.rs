//! A search over hyperparameters: any number of processes take trials from the database until all have ended.

mod pruner;
mod sampler;
mod space;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono::NaiveDate;
use domain::SplitCounts;
use serde::{Deserialize, Serialize};
use serde_json::json;
use storage::{Claim, Extent, NewSweep, Sweep, Taken, Trial, TrialOutcome, TrialStatus, retry_while_unavailable};
use toml::Table;

pub use sampler::{Observation, propose};
pub use space::{Dimension, Settings, Space, SpaceError, Values};

use crate::Error;
use crate::checkpoint::RunManifest;
use crate::config::{Family, TrainConfig};
use crate::train::{RunContext, TrialEnd, TrialRun, count_rows, open_listings, this_process};

/// How long a trial belongs to a process that does not renew its lease.
const LEASE: Duration = Duration::from_mins(1);
/// The time between renewals.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(10);
/// The time between looks for a trial that was given up.
const WAIT: Duration = Duration::from_secs(2);

/// A sweep as asked for.
#[derive(Clone, Debug)]
pub struct SweepRequest {
    /// Its name.
    pub name: String,
    /// The settings to vary.
    pub space: Table,
    /// The configuration of all other settings.
    pub config: TrainConfig,
    /// The number of trials.
    pub trials: u32,
}

/// What all trials of a sweep share.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct SharedData {
    today: NaiveDate,
    extent: Extent,
    rows: SplitCounts,
}

/// Progress events of a process that works on a sweep.
#[derive(Clone, Debug)]
pub enum SweepProgress {
    /// It has taken a trial.
    Took(Trial),
    /// A trial of this process has ended.
    Ended {
        /// The number of the trial.
        number: i32,
        /// How it ended.
        outcome: TrialOutcome,
    },
    /// Another process has taken the trial with this number over.
    Lost(i32),
    /// Only other processes have trials left.
    Waiting,
}

/// Starts a sweep, or joins the one of this name.
///
/// # Errors
/// The space is wrong or has fewer combinations than trials; [`Error::OtherSweep`], [`Error::OtherVersion`],
/// [`Error::SweepOfLinear`]; there are too few listings; or the database fails.
pub fn start_or_join(request: &SweepRequest, context: RunContext<'_>) -> Result<Sweep, Error> {
    let SweepRequest { name, space, config, trials } = request;
    if config.family == Family::Linear || space.contains_key("family") {
        return Err(Error::SweepOfLinear);
    }
    Space::from_table(space, config)?.check_trials(usize::try_from(*trials).unwrap_or(usize::MAX))?;
    let RunContext { task, database, .. } = context;
    let sweeps = database.sweeps();
    let data = match context.block_on(sweeps.get(name))? {
        Some(sweep) => sweep.data,
        None => json!(shared_data(config, context)?),
    };
    let new = NewSweep {
        name: name.clone(),
        task: task.name.clone(),
        space: json!(space),
        config: json!(config),
        data,
        trials: *trials,
        program: context.program.to_owned(),
    };
    let sweep = context.block_on(sweeps.start_or_join(&new))?;
    let differences = [
        ("task", sweep.task != new.task),
        ("space", sweep.space != new.space),
        ("configuration", sweep.config != new.config),
    ];
    if let Some((difference, _)) = differences.into_iter().find(|(_, is_different)| *is_different) {
        return Err(Error::OtherSweep { name: name.clone(), difference });
    }
    if sweep.program != context.program {
        let work = format!("the sweep {name}");
        return Err(Error::OtherVersion { work, started_by: sweep.program, this: context.program });
    }
    Ok(sweep)
}

/// Counts the listings as they are now, for all trials.
fn shared_data(config: &TrainConfig, context: RunContext<'_>) -> Result<SharedData, Error> {
    let (extent, mut stream) = open_listings(config, None, context)?;
    Ok(SharedData { today: context.today, extent, rows: count_rows(&mut stream)? })
}

/// Takes and trains trials until all of the sweep have ended.
///
/// # Errors
/// The database is unavailable, the disk is full, or [`Error::Interrupted`]; the trial of this process is then given up, and
/// another process or a later call continues it. A trial that fails for another reason does not end the sweep.
pub fn work(sweep: &Sweep, context: RunContext<'_>, report: &dyn Fn(SweepProgress)) -> Result<(), Error> {
    let stored = |cause| Error::StoredSweep { name: sweep.name.clone(), cause };
    let base: TrainConfig = serde_json::from_value(sweep.config.clone()).map_err(stored)?;
    let table: Table = serde_json::from_value(sweep.space.clone()).map_err(stored)?;
    let data: SharedData = serde_json::from_value(sweep.data.clone()).map_err(stored)?;
    let space = Space::from_table(&table, &base)?;
    let RunContext { database, handle, retry_for, stop, .. } = context;
    let (sweeps, worker) = (database.sweeps(), this_process());
    let mut was_waiting = false;
    loop {
        let propose =
            |trials: &[Trial]| propose(&space, &observations(trials), base.seed).map(|settings| json!(settings));
        let taken = retry_while_unavailable(retry_for, async || sweeps.take(sweep.id, &worker, LEASE, propose).await);
        let trial = match context.block_on(taken)? {
            Taken::Trial(trial) => trial,
            Taken::Done => return Ok(()),
            Taken::Wait => {
                if !was_waiting {
                    report(SweepProgress::Waiting);
                }
                was_waiting = true;
                context.sleep(WAIT)?;
                continue;
            }
        };
        was_waiting = false;
        report(SweepProgress::Took(trial.clone()));
        let claim = Claim { sweep: sweep.id, number: trial.number, attempt: trial.attempt };
        let trained =
            with_lease(claim, context, |is_lost| train(sweep, &trial, claim, (&base, data), is_lost, context));
        let outcome = match trained {
            Ok(TrialEnd::Completed(loss)) => TrialOutcome::Completed(loss),
            Ok(TrialEnd::Pruned(loss)) => TrialOutcome::Pruned(loss),
            Err(Error::TrialTaken(number)) => {
                report(SweepProgress::Lost(number));
                continue;
            }
            // The process of an earlier attempt still runs on this machine, without the database.
            Err(Error::RunIsBusy(_)) => {
                context.sleep(WAIT)?;
                context.block_on(sweeps.give_up(claim))?;
                continue;
            }
            Err(Error::Resumable { cause, .. }) => {
                // Without the database the lease runs out by itself.
                let _ = handle.block_on(sweeps.give_up(claim));
                return Err(*cause);
            }
            Err(error) if stop.load(Ordering::Relaxed) => return Err(error),
            Err(error) => TrialOutcome::Failed(error.to_string()),
        };
        let finished = retry_while_unavailable(retry_for, async || sweeps.finish(claim, &outcome).await);
        let number = trial.number;
        let is_ended = context.block_on(finished)?;
        report(if is_ended { SweepProgress::Ended { number, outcome } } else { SweepProgress::Lost(number) });
    }
}

/// What is known of the trials so far.
#[must_use]
pub fn observations(trials: &[Trial]) -> Vec<Observation> {
    let observation = |trial: &Trial| {
        let settings = serde_json::from_value(trial.settings.clone()).unwrap_or_default();
        Observation { settings, loss: trial.loss, is_pruned: trial.status == TrialStatus::Pruned }
    };
    trials.iter().map(observation).collect()
}

/// Renews the lease of a trial during `work`, whose argument is set once another process has taken the trial.
fn with_lease<T>(claim: Claim, context: RunContext<'_>, work: impl FnOnce(&AtomicBool) -> T) -> T {
    let is_lost = Arc::new(AtomicBool::new(false));
    let (sweeps, lost) = (context.database.sweeps(), Arc::clone(&is_lost));
    let renewal = context.handle.spawn(async move {
        loop {
            tokio::time::sleep(RENEWAL_INTERVAL).await;
            // While the database is unavailable, the lease may run out.
            if let Ok(false) = sweeps.keep(claim, LEASE).await {
                lost.store(true, Ordering::Relaxed);
                return;
            }
        }
    });
    let result = work(&is_lost);
    renewal.abort();
    result
}

fn train(
    sweep: &Sweep,
    trial: &Trial,
    claim: Claim,
    (base, data): (&TrainConfig, SharedData),
    is_lost: &AtomicBool,
    context: RunContext<'_>,
) -> Result<TrialEnd, Error> {
    let RunContext { database, retry_for, .. } = context;
    let stored = |cause| Error::StoredSweep { name: sweep.name.clone(), cause };
    let settings: Settings = serde_json::from_value(trial.settings.clone()).map_err(stored)?;
    let config = TrainConfig { backtest: false, refit: false, ..base.with_settings(&settings)? };
    let SharedData { today, extent, rows } = data;
    let sweeps = database.sweeps();
    let trial_run = TrialRun {
        name: format!("{}/{}", sweep.name, trial.number),
        run: trial.run_id,
        manifest: RunManifest { config, today, extent, rows },
        on_start: &|run| {
            let recorded = retry_while_unavailable(retry_for, async || sweeps.set_run(claim, run).await);
            if context.block_on(recorded)? { Ok(()) } else { Err(Error::TrialTaken(trial.number)) }
        },
        is_hopeless: &|epoch, epochs, best| {
            if is_lost.load(Ordering::Relaxed) {
                return Err(Error::TrialTaken(trial.number));
            }
            let number = u32::try_from(epoch).unwrap_or(u32::MAX);
            let others = retry_while_unavailable(retry_for, async || sweeps.losses_by(sweep.id, number).await);
            Ok(pruner::is_hopeless(best, &context.block_on(others)?, (epoch, epochs)))
        },
    };
    trial_run.execute(context)
}

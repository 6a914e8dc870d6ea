//! `probeg sweep`: searches over hyperparameters.

mod cluster;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use domain::Task;
use serde_json::{Value, json};
use storage::{Sweep, Trial, TrialOutcome, TrialStatus};
use training::TrainConfig;
use training::sweep::{self, Space, SweepProgress, SweepRequest};
use training::train::{Progress, RunContext};

use super::train::{Hyperparameters, Retries, with_run_context};
use crate::context::Context;
use crate::output::{err, out};
use crate::process::Process;
use crate::slurm::ClusterOptions;
use cluster::Workers;

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Example: probeg sweep --space space.toml --trials 40 --set epochs=20"
)]
pub struct Arguments {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    start: Start,
}

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all sweeps, the newest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the trials of a sweep, the best one, and how much each setting matters
    Show {
        /// The name of the sweep
        name: String,
        /// Print JSON
        #[arg(long, conflicts_with = "best")]
        json: bool,
        /// Print the configuration of the best trial, for `probeg train --config`
        #[arg(long)]
        best: bool,
    },
    /// Take trials of a sweep that was started elsewhere, until all have ended
    Work {
        /// The name of the sweep
        name: String,
        #[command(flatten)]
        retries: Retries,
    },
}

#[derive(Debug, Args)]
struct Start {
    /// A TOML file with the settings to vary: a table per setting with `low`, `high` and optionally `log` or `step`, or with
    /// `values`
    #[arg(long, value_name = "FILE", required = true)]
    space: Option<PathBuf>,
    /// The name of the sweep; a process that names an existing one takes trials of it [default: the name of the file]
    #[arg(long)]
    name: Option<String>,
    /// The number of trials of the whole sweep
    #[arg(long, default_value_t = 40, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    trials: u32,
    /// The task to train for [default: price]
    #[arg(long)]
    task: Option<String>,
    #[command(flatten)]
    hyperparameters: Hyperparameters,
    #[command(flatten)]
    retries: Retries,
    #[command(flatten)]
    cluster: ClusterOptions,
    /// The number of processes on the cluster; each takes one trial after the other
    #[arg(long, value_name = "COUNT", default_value = "4", requires = "on")]
    workers: NonZeroUsize,
}

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    match &arguments.action {
        Some(Action::List { json }) => list(&Context::open_read_only(process)?, *json),
        Some(Action::Show { name, json, best }) => {
            let context = Context::open_read_only(process)?;
            let sweep = context.block_on(context.database.sweeps().get(name))?;
            let sweep = sweep.ok_or_else(|| storage::Error::NoSweep(name.clone()))?;
            let trials = context.block_on(context.database.sweeps().trials(sweep.id))?;
            if *best {
                return print_best(&sweep, &trials);
            }
            show(&sweep, &trials, *json)
        }
        Some(Action::Work { name, retries }) => {
            let context = Context::open_shared(process)?;
            let sweep = context.block_on(context.database.sweeps().get(name))?;
            let sweep = sweep.ok_or_else(|| storage::Error::NoSweep(name.clone()))?;
            let task = context.task(Some(&sweep.task))?;
            work(&context, &task, &sweep, retries.duration())
        }
        None => start(process, &arguments.start),
    }
}

/// Starts or joins a sweep, and takes trials until all have ended, here or on a cluster.
fn start(process: &Process, arguments: &Start) -> Result<()> {
    let Start { space, name, trials, task, hyperparameters, retries, cluster, workers } = arguments;
    let file = space.as_ref().context("--space is missing")?;
    let text = std::fs::read_to_string(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let config = hyperparameters.read(false)?;
    let table = toml::from_str(&text).map_err(sweep::SpaceError::from)?;
    // A wrong space is reported without a database.
    Space::from_table(&table, &config)?;
    let name = name.clone().unwrap_or_else(|| name_of(file));
    let request = SweepRequest { name, space: table, config: config.clone(), trials: *trials };
    let is_here = cluster.on.is_none();
    let context = if is_here { Context::open(process)? } else { Context::open_shared(process)? };
    let task = context.task(task.as_deref())?;
    let retry_for = retries.duration();
    let sweep = with_run_context(&context, &task, retry_for, |run| sweep::start_or_join(&request, run))?;
    let worked = if is_here {
        work(&context, &task, &sweep, retry_for)
    } else {
        let workers = Workers { count: workers.get(), sbatch: &cluster.sbatch, retry_for };
        cluster::work(&context, &task, &sweep, &config, &workers)
    };
    worked.with_context(|| format!("the same command continues the sweep {}", sweep.name))?;
    let ended = context.block_on(context.database.sweeps().trials(sweep.id))?;
    show(&sweep, &ended, false)
}

/// Takes trials until all have ended.
fn work(context: &Context, task: &Task, sweep: &Sweep, retry_for: Duration) -> Result<()> {
    let publishing = &context.publishing;
    with_run_context(context, task, retry_for, |run| {
        // A line per trial is enough.
        let report_step = |event| {
            publishing.note(&event);
            if matches!(event, Progress::Step(_)) {
                (run.report)(event);
            }
        };
        sweep::work(sweep, RunContext { report: &report_step, ..run }, &|event| report(sweep, event))
    })
}

/// The name of a file without its folder and extension.
fn name_of(file: &Path) -> String {
    file.file_stem().map_or_else(|| "sweep".to_owned(), |stem| stem.to_string_lossy().into_owned())
}

fn report(sweep: &Sweep, event: SweepProgress) {
    match event {
        SweepProgress::Took(trial) if trial.attempt > 1 => {
            err!("trial {} of {}, taken over: {}", trial.number, sweep.trials, settings_of(&trial.settings));
        }
        SweepProgress::Took(trial) => {
            err!("trial {} of {}: {}", trial.number, sweep.trials, settings_of(&trial.settings));
        }
        SweepProgress::Ended { number, outcome } => match outcome {
            TrialOutcome::Completed(loss) => err!("trial {number} completed: validation loss {loss:.5}"),
            TrialOutcome::Pruned(loss) => {
                err!("trial {number} stopped early, since it was worse than most: validation loss {loss:.5}");
            }
            TrialOutcome::Failed(error) => err!("trial {number} failed: {error}"),
        },
        SweepProgress::Lost(number) => {
            err!(
                "trial {number} now belongs to another process, since this one did not reach the database for a while"
            );
        }
        SweepProgress::Waiting => err!("waiting for the trials of other processes"),
    }
}

fn list(context: &Context, as_json: bool) -> Result<()> {
    let sweeps = context.database.sweeps();
    let mut all = Vec::new();
    for sweep in context.block_on(sweeps.list())? {
        let trials = context.block_on(sweeps.trials(sweep.id))?;
        all.push((sweep, trials));
    }
    if as_json {
        out!("{:#}", json!(all.iter().map(|(sweep, trials)| to_json(sweep, trials)).collect::<Vec<_>>()))?;
        return Ok(());
    }
    out!("{:<24}  {:<16}  {:<20}  {:>11}  {:>9}", "sweep", "task", "started", "trials", "best loss")?;
    for (sweep, trials) in &all {
        let ended = trials.iter().filter(|trial| trial.status != TrialStatus::Running).count();
        out!(
            "{:<24}  {:<16}  {:<20}  {:>11}  {:>9}",
            sweep.name,
            sweep.task,
            sweep.created_at.format("%Y-%m-%d %H:%M UTC"),
            format!("{ended} of {}", sweep.trials),
            Sweep::best(trials).and_then(|trial| trial.loss).map(|loss| format!("{loss:.5}")).unwrap_or_default(),
        )?;
    }
    Ok(())
}

fn show(sweep: &Sweep, trials: &[Trial], as_json: bool) -> Result<()> {
    if as_json {
        out!("{:#}", to_json(sweep, trials))?;
        return Ok(());
    }
    let count = |status| trials.iter().filter(|trial| trial.status == status).count();
    out!(
        "sweep {} of the task {}: {} of {} trials, {} completed, {} stopped early, {} failed, {} running",
        sweep.name,
        sweep.task,
        trials.len(),
        sweep.trials,
        count(TrialStatus::Completed),
        count(TrialStatus::Pruned),
        count(TrialStatus::Failed),
        count(TrialStatus::Running),
    )?;
    out!("{:>5}  {:>5}  {:<9}  {:>9}  settings", "trial", "run", "status", "loss")?;
    for trial in trials {
        let (run, loss) = (trial.run_id.map(|run| run.to_string()), trial.loss.map(|loss| format!("{loss:.5}")));
        out!(
            "{:>5}  {:>5}  {:<9}  {:>9}  {}{}",
            trial.number,
            run.unwrap_or_default(),
            trial.status.name(),
            loss.unwrap_or_default(),
            settings_of(&trial.settings),
            trial.error.as_ref().map(|error| format!(" ({error})")).unwrap_or_default(),
        )?;
    }
    let shares = sweep.importance(trials);
    if !shares.is_empty() {
        let shares: Vec<String> = shares.iter().map(|(name, share)| format!("{name} {:.0} %", 100.0 * share)).collect();
        out!(
            "importance, as the share of the variance of the losses that a setting explains alone: {}",
            shares.join(", ")
        )?;
    }
    if let Some(best) = Sweep::best(trials) {
        out!("the best is trial {}: {}", best.number, settings_of(&best.settings))?;
        out!(
            "train it with `probeg sweep show {0} --best > {0}-best.toml; probeg train --config {0}-best.toml`",
            sweep.name
        )?;
    }
    Ok(())
}

/// Prints the configuration of the best trial as TOML.
fn print_best(sweep: &Sweep, trials: &[Trial]) -> Result<()> {
    let best = Sweep::best(trials);
    ensure!(best.is_some(), "no trial of the sweep {} has completed", sweep.name);
    let base: TrainConfig = serde_json::from_value(sweep.config.clone())?;
    let settings: sweep::Settings =
        best.map(|trial| serde_json::from_value(trial.settings.clone())).transpose()?.unwrap_or_default();
    out!("{}", toml::to_string(&base.with_settings(&settings)?)?.trim_end())?;
    Ok(())
}

/// The settings of a trial, as `--set` takes them.
fn settings_of(settings: &Value) -> String {
    // The database orders names by their length.
    let settings: BTreeMap<&String, &Value> = settings.as_object().into_iter().flatten().collect();
    settings
        .into_iter()
        .map(|(name, value)| match value.as_f64().filter(|_| value.is_f64()) {
            Some(number) if number != 0.0 && number.abs() < 0.01 => format!("{name}={number:.3e}"),
            Some(number) => format!("{name}={number:.4}"),
            None => format!("{name}={value}"),
        })
        .collect::<Vec<_>>()
        .join(" ")
}

fn to_json(sweep: &Sweep, trials: &[Trial]) -> Value {
    let importance: serde_json::Map<String, Value> =
        sweep.importance(trials).into_iter().map(|(name, share)| (name, json!(share))).collect();
    json!({
        "name": sweep.name,
        "task": sweep.task,
        "created_at": sweep.created_at,
        "space": sweep.space,
        "trials": sweep.trials,
        "best": Sweep::best(trials).map(|trial| trial.number),
        "importance": importance,
        "results": trials,
    })
}

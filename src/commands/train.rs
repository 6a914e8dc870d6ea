//! `probeg train`: trains and registers a model.

mod cluster;
mod execution;
mod parts;

use anyhow::{Result, ensure};
use clap::Args;
use domain::Task;
use serde_json::json;
use training::TrainConfig;
use training::train::{RunContext, RunResult};

use crate::context::Context;
use crate::output::{err, out};
use crate::process::Process;
use crate::slurm::ClusterOptions;
use cluster::Start;
pub use execution::{
    Hyperparameters, PROGRAM, Retries, actor, report_accuracy, report_floor, train_champion, with_run_context,
};
use execution::{Options, Settings, print_result, run_and_report};
use parts::Part;

#[derive(Debug, Args)]
#[command(
    after_help = "Example: probeg train --task gb-price --set epochs=10 --set seed=7 --promote",
    args_conflicts_with_subcommands = true
)]
#[expect(clippy::struct_excessive_bools, reason = "independent flags of a command")]
pub struct Arguments {
    #[command(subcommand)]
    part: Option<Part>,
    #[command(flatten)]
    settings: Settings,
    /// Train every task that got listings since its champion was trained, one after the other
    #[arg(long, conflicts_with_all = ["task", "resume", "on"])]
    all: bool,
    /// Resume an interrupted run with its original configuration
    #[arg(long, value_name = "RUN", conflicts_with_all = ["task", "config", "set", "memory", "no_spool", "name", "tag", "note", "parent"])]
    resume: Option<i64>,
    /// Record only the metrics of epochs: no figures by step or of the machine, no log, and not which listings there were
    #[arg(long, conflicts_with = "on")]
    no_log: bool,
    #[command(flatten)]
    cluster: ClusterOptions,
    #[command(flatten)]
    retries: Retries,
    /// Promote the new version
    #[arg(long)]
    promote: bool,
    /// Print the version and its accuracy card as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    if let Some(part) = &arguments.part {
        return parts::run(process, part);
    }
    let options =
        Options { promote: arguments.promote, retry_for: arguments.retries.duration(), has_log: !arguments.no_log };
    if arguments.cluster.on.is_some() {
        return train_on_cluster(process, arguments, options);
    }
    let (task, trained) = if let Some(run) = arguments.resume {
        let context = Context::open(process)?;
        let task = context.task_of_run(run)?;
        let train = |run_context: RunContext<'_>| training::train::resume(run, run_context);
        let trained = run_and_report(&context, &task, options, train)?;
        (task, trained)
    } else {
        let config = arguments.settings.read()?;
        let context = Context::open(process)?;
        if arguments.all {
            return train_all(&context, arguments, &config, options);
        }
        let task = context.task(arguments.settings.task.as_deref())?;
        let description = arguments.settings.description(&context)?;
        let train = |run_context: RunContext<'_>| training::train::train(&config, &description, run_context);
        let trained = run_and_report(&context, &task, options, train)?;
        (task, trained)
    };
    print_result(&task, &trained, arguments.promote, arguments.json)
}

fn train_on_cluster(process: &Process, arguments: &Arguments, options: Options) -> Result<()> {
    let config = arguments.settings.read()?;
    let context = Context::open_shared(process)?;
    let (task, start) = match arguments.resume {
        Some(run) => (context.task_of_run(run)?, Start::Resume(run)),
        None => (
            context.task(arguments.settings.task.as_deref())?,
            Start::New(&config, arguments.settings.description(&context)?),
        ),
    };
    let trained = cluster::train(&context, &task, &start, &arguments.cluster.sbatch, options)?;
    print_result(&task, &trained, arguments.promote, arguments.json)
}

/// What became of a task.
enum Outcome {
    Trained(Box<RunResult>),
    Skipped(String),
    Failed(String),
}

/// Trains every task that got listings since its champion was trained, and prints a table. A task that fails does not stop the
/// others.
fn train_all(context: &Context, arguments: &Arguments, config: &TrainConfig, options: Options) -> Result<()> {
    let description = arguments.settings.description(context)?;
    let tasks = context.block_on(context.database.tasks().list())?;
    let mut outcomes = Vec::new();
    for task in &tasks {
        let outcome = if let Some(reason) = reason_to_skip(context, task)? {
            Outcome::Skipped(reason)
        } else {
            err!("task {}", task.name);
            let train = |run_context: RunContext<'_>| training::train::train(config, &description, run_context);
            match run_and_report(context, task, options, train) {
                Ok(trained) => Outcome::Trained(Box::new(trained)),
                Err(error) if context.stop.is_requested() => return Err(error),
                Err(error) => Outcome::Failed(format!("{error:#}")),
            }
        };
        outcomes.push((task, outcome));
    }
    if arguments.json {
        out!("{:#}", json!(outcomes.iter().map(|(task, outcome)| to_json(task, outcome)).collect::<Vec<_>>()))?;
    } else {
        print_outcomes(&outcomes)?;
    }
    let failed = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Failed(_))).count();
    ensure!(failed == 0, "{failed} of {} tasks failed", outcomes.len());
    Ok(())
}

/// Why a task needs no training.
fn reason_to_skip(context: &Context, task: &Task) -> Result<Option<String>> {
    let database = context.database_of(task)?;
    let Some(added) = context.block_on(database.listings().last_added())? else {
        return Ok(Some(format!("the market {} has no listings", task.market.name())));
    };
    let models = context.database.models();
    let Some(champion) = context.block_on(models.champion(&task.name))? else { return Ok(None) };
    let Some(model) = context.block_on(models.get(champion))? else { return Ok(None) };
    let run = match model.run_id {
        Some(run) => context.block_on(context.database.runs().get(run))?,
        None => None,
    };
    // Listings that were added during a run are not in its snapshot.
    let trained = run.map_or(model.created_at, |run| run.started_at);
    Ok((added < trained).then(|| format!("no listings were added since version {champion} was trained")))
}

fn print_outcomes(outcomes: &[(&Task, Outcome)]) -> Result<()> {
    out!("{:<24}  {:<8}  {:>7}  {:>8}  reason", "task", "outcome", "version", "MAPE")?;
    for (task, outcome) in outcomes {
        let (what, version, mape, reason) = match outcome {
            Outcome::Trained(trained) => {
                let mape = trained.card.as_ref().map(|card| format!("{:.2} %", 100.0 * card.overall.mape));
                ("trained", trained.version.to_string(), mape.unwrap_or_default(), "")
            }
            Outcome::Skipped(reason) => ("skipped", String::new(), String::new(), reason.as_str()),
            Outcome::Failed(reason) => ("failed", String::new(), String::new(), reason.as_str()),
        };
        out!("{:<24}  {what:<8}  {version:>7}  {mape:>8}  {reason}", task.name)?;
    }
    Ok(())
}

fn to_json(task: &Task, outcome: &Outcome) -> serde_json::Value {
    let name = &task.name;
    match outcome {
        Outcome::Trained(trained) => {
            let RunResult { run, version, card } = &**trained;
            json!({ "task": name, "outcome": "trained", "run": run, "version": version, "accuracy": card })
        }
        Outcome::Skipped(reason) => json!({ "task": name, "outcome": "skipped", "reason": reason }),
        Outcome::Failed(reason) => json!({ "task": name, "outcome": "failed", "reason": reason }),
    }
}

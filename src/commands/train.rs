//! `probeg train`: trains and registers a model.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bytesize::ByteSize;
use clap::Args;
use domain::Task;
use domain::accuracy::{Accuracy, AccuracyCard};
use serde_json::json;
use training::TrainConfig;
use training::train::{RunContext, RunResult};

use crate::context::{Context, today};
use crate::output::{err, out};
use crate::process::Process;
use crate::progress::TrainingProgress;
use crate::variables;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg train --task gb-price --set epochs=10 --set seed=7 --promote")]
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
pub struct Arguments {
    /// The task to train for; see `probeg tasks list` [default: price]
    #[arg(long)]
    task: Option<String>,
    /// Train every task that got listings since its champion was trained, one after the other
    #[arg(long, conflicts_with_all = ["task", "resume"])]
    all: bool,
    /// A TOML file with hyperparameters that override the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A hyperparameter that overrides the file; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The memory budget of the process [default: 512MiB]
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Read the database in every epoch instead of caching encoded listings on the local disk
    #[arg(long)]
    no_spool: bool,
    /// Resume an interrupted run with its original configuration
    #[arg(long, value_name = "RUN", conflicts_with_all = ["task", "config", "set", "memory", "no_spool"])]
    resume: Option<i64>,
    /// How long to retry while the database is unavailable
    #[arg(long, value_name = "SECONDS", default_value_t = RETRY_FOR.as_secs())]
    retry_for: u64,
    /// Promote the new version
    #[arg(long)]
    promote: bool,
    /// Print the version and its accuracy card as JSON
    #[arg(long)]
    json: bool,
}

/// The default time for retries: long enough for a database server to restart after a crash.
pub const RETRY_FOR: Duration = Duration::from_mins(2);

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    let options = Options { promote: arguments.promote, retry_for: Duration::from_secs(arguments.retry_for) };
    let (task, trained) = if let Some(run) = arguments.resume {
        let context = Context::open(process)?;
        let record = context.block_on(context.database.runs().get(run))?.ok_or(storage::Error::NoRun(run))?;
        let task = context.task(Some(&record.task))?;
        let train = |run_context: RunContext<'_>| training::train::resume(run, run_context);
        let trained = run_and_report(&context, &task, options, train)?;
        (task, trained)
    } else {
        let Arguments { config, set, memory, no_spool, .. } = arguments;
        let config = read_config(config.as_deref(), set, *memory, *no_spool)?;
        let context = Context::open(process)?;
        if arguments.all {
            return train_all(&context, &config, options, arguments.json);
        }
        let task = context.task(arguments.task.as_deref())?;
        let train = |run_context: RunContext<'_>| training::train::train(&config, run_context);
        let trained = run_and_report(&context, &task, options, train)?;
        (task, trained)
    };
    if arguments.json {
        let json =
            json!({ "task": task.name, "run": trained.run, "version": trained.version, "accuracy": trained.card });
        out!("{json:#}")?;
    } else if !arguments.promote {
        out!("promote it with `probeg models promote {}`", trained.version)?;
    }
    Ok(())
}

/// What to do about a run besides training.
#[derive(Clone, Copy)]
struct Options {
    promote: bool,
    retry_for: Duration,
}

/// What became of a task.
enum Outcome {
    Trained(Box<RunResult>),
    Skipped(String),
    Failed(String),
}

/// Trains every task that got listings since its champion was trained, and prints a table. A task that fails does not stop the
/// others.
fn train_all(context: &Context, config: &TrainConfig, options: Options, as_json: bool) -> Result<()> {
    let tasks = context.block_on(context.database.tasks().list())?;
    let mut outcomes = Vec::new();
    for task in &tasks {
        let outcome = if let Some(reason) = reason_to_skip(context, task)? {
            Outcome::Skipped(reason)
        } else {
            err!("task {}", task.name);
            let train = |run_context: RunContext<'_>| training::train::train(config, run_context);
            match run_and_report(context, task, options, train) {
                Ok(trained) => Outcome::Trained(Box::new(trained)),
                Err(error) if context.stop.is_requested() => return Err(error),
                Err(error) => Outcome::Failed(format!("{error:#}")),
            }
        };
        outcomes.push((task, outcome));
    }
    if as_json {
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

/// Reads a configuration from a file and settings, which override it.
pub fn read_config(
    file: Option<&Path>,
    settings: &[String],
    memory: Option<ByteSize>,
    no_spool: bool,
) -> Result<TrainConfig> {
    let file =
        file.map(|path| std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display())));
    let mut settings = settings.to_vec();
    settings.extend(memory.map(|memory| format!("memory=\"{} B\"", memory.as_u64())));
    settings.extend(no_spool.then(|| "spool=false".to_owned()));
    Ok(TrainConfig::read(file.transpose()?.as_deref(), &settings)?)
}

/// Trains a model of a task, reports the result and promotes it.
pub fn train_champion(context: &Context, task: &Task, config: &TrainConfig) -> Result<RunResult> {
    let options = Options { promote: true, retry_for: RETRY_FOR };
    run_and_report(context, task, options, |run_context| training::train::train(config, run_context))
}

/// Executes a run, reports the result and promotes it if asked to.
fn run_and_report(
    context: &Context,
    task: &Task,
    options: Options,
    train: impl FnOnce(RunContext<'_>) -> Result<RunResult, training::Error>,
) -> Result<RunResult> {
    let progress = TrainingProgress::new();
    let database = context.database_of(task)?;
    let run_context = RunContext {
        task,
        database: &database,
        handle: &context.tokio,
        runtime: context.inference()?,
        home: &context.home,
        retry_for: options.retry_for,
        today: today(),
        stop: context.stop.flag(),
        report: &|event| progress.show(event),
    };
    let trained = train(run_context)?;
    err!("registered model version {}", trained.version);
    if let Some(card) = &trained.card {
        report_accuracy(&card.overall);
        report_floor(card);
    }
    if options.promote {
        context.block_on(context.database.models().promote(trained.version, &actor()))?;
        err!("version {} is now the champion of the task {}", trained.version, task.name);
    }
    Ok(trained)
}

/// Reports the main figures of an accuracy card.
pub fn report_accuracy(accuracy: &Accuracy) {
    err!(
        "on {} held-out listings: MAPE {:.2} %, median error {:.2} %, 80 % interval covers {:.1} %",
        accuracy.rows,
        100.0 * accuracy.mape,
        100.0 * accuracy.median_ape,
        100.0 * accuracy.coverage_80,
    );
}

/// Warns if a model is not more accurate than the linear one.
pub fn report_floor(card: &AccuracyCard) {
    if let Some(floor) = card.floor.as_ref().filter(|_| !card.beats_floor()) {
        err!(
            "warning: it does not beat the floor: a linear model, which `probeg train --set family='\"linear\"'` trains in seconds, \
             has a MAPE of {:.2} %",
            100.0 * floor.mape
        );
    }
}

/// The actor for the history of promotions.
pub fn actor() -> String {
    let user = variables::USER.value().ok().flatten();
    format!("command line ({})", user.as_deref().unwrap_or("unknown user"))
}

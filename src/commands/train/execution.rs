//! Executes training runs for the commands that train: settings, reports, promotion.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytesize::ByteSize;
use clap::Args;
use domain::Task;
use domain::accuracy::{Accuracy, AccuracyCard};
use serde_json::json;
use storage::RunDescription;
use training::TrainConfig;
use training::train::{Progress, RunContext, RunResult};

use crate::context::{Context, today};
use crate::output::{err, out};
use crate::progress::TrainingProgress;
use crate::variables;

/// What to train, and how.
#[derive(Debug, Args)]
pub struct Settings {
    /// The task to train for; see `probeg tasks list` [default: price]
    #[arg(long)]
    pub task: Option<String>,
    #[command(flatten)]
    hyperparameters: Hyperparameters,
    /// Read the database in every epoch instead of caching encoded listings on the local disk
    #[arg(long)]
    no_spool: bool,
    /// The name of the run
    #[arg(long)]
    name: Option<String>,
    /// A tag of the run; may be repeated
    #[arg(long)]
    tag: Vec<String>,
    /// Notes on the run
    #[arg(long)]
    note: Option<String>,
    /// The run from which this one is derived
    #[arg(long, value_name = "RUN")]
    parent: Option<i64>,
}

/// The configuration of runs.
#[derive(Debug, Args)]
pub struct Hyperparameters {
    /// A TOML file with hyperparameters that override the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A hyperparameter that overrides the file; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// The memory budget of the process [default: 512MiB]
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
}

/// How long to wait for the database.
#[derive(Debug, Args)]
pub struct Retries {
    /// How long to retry while the database is unavailable
    #[arg(long, value_name = "SECONDS", default_value_t = RETRY_FOR.as_secs())]
    retry_for: u64,
}

/// The version of the program, with the git revision if it was built from a checkout.
pub const PROGRAM: &str = concat!(env!("CARGO_PKG_VERSION"), env!("PROBEG_REVISION"));

/// The default time for retries: long enough for a database server to restart after a crash.
pub const RETRY_FOR: Duration = Duration::from_mins(2);

/// What to do about a run besides training.
#[derive(Clone, Copy)]
pub struct Options {
    pub promote: bool,
    pub retry_for: Duration,
    /// Whether the run has a log.
    pub has_log: bool,
}

impl Settings {
    /// The configuration of a run.
    pub fn read(&self) -> Result<TrainConfig> {
        self.hyperparameters.read(self.no_spool)
    }

    /// What is said about the run.
    pub fn description(&self, context: &Context) -> Result<RunDescription> {
        if let Some(parent) = self.parent {
            let found = context.block_on(context.database.runs().get(parent))?;
            found.with_context(|| format!("there is no run {parent} for --parent; see `probeg runs list`"))?;
        }
        let mut tags = self.tag.clone();
        tags.sort();
        tags.dedup();
        let (name, notes) = (self.name.clone(), self.note.clone());
        Ok(RunDescription { name, tags, notes, parent: self.parent, program: None })
    }
}

impl Hyperparameters {
    /// Reads the file and the settings, which override it.
    pub fn read(&self, no_spool: bool) -> Result<TrainConfig> {
        let file = self.config.as_ref();
        let file = file
            .map(|path| std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display())));
        let mut settings = self.set.clone();
        settings.extend(self.memory.map(|memory| format!("memory=\"{} B\"", memory.as_u64())));
        settings.extend(no_spool.then(|| "spool=false".to_owned()));
        Ok(TrainConfig::read(file.transpose()?.as_deref(), &settings)?)
    }
}

impl Retries {
    pub fn duration(&self) -> Duration {
        Duration::from_secs(self.retry_for)
    }
}

/// Trains a model of a task, reports the result and promotes it.
pub fn train_champion(context: &Context, task: &Task, config: &TrainConfig) -> Result<RunResult> {
    let options = Options { promote: true, retry_for: RETRY_FOR, has_log: true };
    run_and_report(context, task, options, |run_context| {
        training::train::train(config, &RunDescription::default(), run_context)
    })
}

/// Executes a run, reports the result and promotes it if asked to.
pub fn run_and_report(
    context: &Context,
    task: &Task,
    options: Options,
    train: impl FnOnce(RunContext<'_>) -> Result<RunResult, training::Error>,
) -> Result<RunResult> {
    let has_log = options.has_log;
    let train = |run_context: RunContext<'_>| train(RunContext { has_log, ..run_context });
    let trained = with_run_context(context, task, options.retry_for, train)?;
    report_result(context, task, &trained, options.promote)?;
    Ok(trained)
}

/// Executes a run or a part of one, and shows its progress.
pub fn with_run_context<T>(
    context: &Context,
    task: &Task,
    retry_for: Duration,
    work: impl FnOnce(RunContext<'_>) -> Result<T, training::Error>,
) -> Result<T> {
    let progress = TrainingProgress::new();
    let database = context.database_of(task)?;
    let publishing = &context.publishing;
    let report = |event: Progress| {
        publishing.note(&event);
        progress.show(event);
    };
    let run_context = RunContext {
        task,
        database: &database,
        handle: &context.tokio,
        program: PROGRAM,
        runtime: context.inference()?,
        home: &context.home,
        retry_for,
        today: today(),
        has_log: true,
        stop: context.stop.flag(),
        report: &report,
    };
    Ok(work(run_context)?)
}

/// Reports the result of a run, and promotes it if asked to.
pub fn report_result(context: &Context, task: &Task, trained: &RunResult, promote: bool) -> Result<()> {
    err!("registered model version {}", trained.version);
    if let Some(card) = &trained.card {
        report_accuracy(&card.overall);
        report_floor(card);
    }
    if promote {
        context.block_on(context.database.models().promote(trained.version, &actor()))?;
        err!("version {} is now the champion of the task {}", trained.version, task.name);
    }
    Ok(())
}

/// Prints the result of a run.
pub fn print_result(task: &Task, trained: &RunResult, is_promoted: bool, as_json: bool) -> Result<()> {
    if as_json {
        let RunResult { run, version, card } = trained;
        out!("{:#}", json!({ "task": task.name, "run": run, "version": version, "accuracy": card }))?;
    } else if !is_promoted {
        out!("promote it with `probeg models promote {}`", trained.version)?;
    }
    Ok(())
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

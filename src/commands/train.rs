//! `probeg train`: trains and registers a model.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytesize::ByteSize;
use clap::Args;
use domain::accuracy::{Accuracy, AccuracyCard};
use training::TrainConfig;
use training::train::{RunContext, RunResult};

use crate::context::{Context, today};
use crate::output::{err, out};
use crate::process::Process;
use crate::progress::TrainingProgress;
use crate::variables;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg train --set epochs=10 --set seed=7 --promote")]
pub struct Arguments {
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
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "set", "memory", "no_spool"])]
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
const RETRY_FOR: Duration = Duration::from_mins(2);

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    let retry_for = Duration::from_secs(arguments.retry_for);
    let trained = if let Some(run) = arguments.resume {
        let context = Context::open(process)?;
        run_and_report(&context, arguments.promote, retry_for, |run_context| training::train::resume(run, run_context))?
    } else {
        let config = config(arguments)?;
        let context = Context::open(process)?;
        run_and_report(&context, arguments.promote, retry_for, |run_context| {
            training::train::train(&config, run_context)
        })?
    };
    if arguments.json {
        let json = serde_json::json!({ "run": trained.run, "version": trained.version, "accuracy": trained.card });
        out!("{json:#}")?;
    } else if !arguments.promote {
        out!("promote it with `probeg models promote {}`", trained.version)?;
    }
    Ok(())
}

fn config(arguments: &Arguments) -> Result<TrainConfig> {
    let file = arguments
        .config
        .as_ref()
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display())));
    let mut settings = arguments.set.clone();
    settings.extend(arguments.memory.map(|memory| format!("memory=\"{} B\"", memory.as_u64())));
    settings.extend(arguments.no_spool.then(|| "spool=false".to_owned()));
    Ok(TrainConfig::read(file.transpose()?.as_deref(), &settings)?)
}

/// Trains, reports the result and promotes it.
pub fn train_champion(context: &Context, config: &TrainConfig) -> Result<RunResult> {
    run_and_report(context, true, RETRY_FOR, |run_context| training::train::train(config, run_context))
}

/// Executes a run, reports the result and promotes it if asked to.
fn run_and_report(
    context: &Context,
    promote: bool,
    retry_for: Duration,
    train: impl FnOnce(RunContext<'_>) -> Result<RunResult, training::Error>,
) -> Result<RunResult> {
    let progress = TrainingProgress::new();
    let run_context = RunContext {
        database: &context.database,
        handle: &context.tokio,
        runtime: context.inference()?,
        home: &context.home,
        retry_for,
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
    if promote {
        context.block_on(context.database.models().promote(trained.version, &actor()))?;
        err!("version {} is now the champion", trained.version);
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

/// Warns if a network is not more accurate than the linear model.
fn report_floor(card: &AccuracyCard) {
    if let Some(floor) = card.floor.as_ref().filter(|_| !card.beats_floor()) {
        err!(
            "warning: the network does not beat the floor: a linear model has a MAPE of {:.2} %; train for longer, or use \
             `--set family='\"linear\"'`",
            100.0 * floor.mape
        );
    }
}

/// The actor for the history of promotions.
pub fn actor() -> String {
    let user = variables::USER.value().ok().flatten();
    format!("command line ({})", user.as_deref().unwrap_or("unknown user"))
}

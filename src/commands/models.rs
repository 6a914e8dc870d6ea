//! `probeg models`: the model registry.

mod served;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use chrono::{DateTime, Utc};
use clap::Subcommand;
use domain::accuracy::AccuracyCard;
use domain::{Task, quantile};
use onnx_model::{ForeignFile, Model, Sessions, Signature};
use serde_json::json;
use storage::{MAX_MODEL_BYTES, ModelRecord, NewModel, champion_of};
use training::stream::ListingStream;
use training::synth::Market;

use self::served::parse_time;
use super::evaluate::print_card;
use super::records::Records;
use super::train::{actor, report_accuracy, report_floor};
use crate::context::{Context, today};
use crate::output::{line_on_file, out, write_file};
use crate::process::Process;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all versions, the newest first
    List,
    /// Show a version with its accuracy card
    Show {
        /// A version or an alias
        version: String,
    },
    /// Promote a version to champion of its task, which is served
    Promote {
        /// A version or an alias
        version: String,
    },
    /// Roll back to the previous champion of a task
    Rollback {
        /// The task
        #[arg(long, default_value = "price")]
        task: String,
    },
    /// Export the ONNX file of a version
    Export {
        /// A version or an alias
        version: String,
        /// The file to write
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Register an ONNX file, without promoting it. A file of another program must have the inputs of the champion of its
    /// task; it is measured and calibrated first
    Import {
        /// The file
        file: PathBuf,
        /// The task of a file of another program
        #[arg(long, default_value = "price")]
        task: String,
    },
    /// Measure the inference time per listing of a version on one processor, for several batch sizes
    Cost {
        /// A version or an alias
        version: String,
    },
    /// Show the history of champions
    History,
    /// Show which version was served at a time, and its run, settings and data
    #[command(after_help = "Example: probeg models served --at '2026-11-24 14:05'")]
    Served {
        /// The time, in UTC unless it has an offset (RFC 3339) [default: now]
        #[arg(long, value_name = "TIME", value_parser = parse_time)]
        at: Option<DateTime<Utc>>,
        /// The task
        #[arg(long, default_value = "price")]
        task: String,
    },
}

/// The batch sizes to time, ascending: those for single cars, and that for workbooks.
const COST_BATCHES: [u16; 4] = [1, 8, 24, 256];

pub fn run(process: &Process, arguments: &Records<Action>) -> Result<()> {
    let changes = matches!(arguments.action, Action::Promote { .. } | Action::Rollback { .. } | Action::Import { .. });
    let context = if changes { Context::open(process)? } else { Context::open_read_only(process)? };
    let models = context.database.models();
    match &arguments.action {
        Action::List => list(&context.block_on(models.list())?, arguments.json)?,
        Action::Show { version } => show(&context, context.version(version)?, arguments.json)?,
        Action::Promote { version } => {
            let version = context.version(version)?;
            context.block_on(models.promote(version, &actor()))?;
            context.publishing.follow_champions();
            out!("version {version} is now the champion")?;
        }
        Action::Rollback { task } => {
            let version = context.block_on(models.rollback(&context.task(Some(task))?.name, &actor()))?;
            context.publishing.follow_champions();
            out!("version {version} is the champion again")?;
        }
        Action::Export { version, output } => {
            let version = context.version(version)?;
            write_file(output, &context.model_file(version)?)?;
            line_on_file(output, format_args!("{}: model version {version}", output.display()))?;
        }
        Action::Import { file, task } => import(&context, file, &context.task(Some(task))?)?,
        Action::Cost { version } => cost(&context, version, arguments.json)?,
        Action::History => history(&context, arguments.json)?,
        Action::Served { at, task } => served::show(&context, task, *at, arguments.json)?,
    }
    Ok(())
}

fn list(models: &[ModelRecord], as_json: bool) -> Result<()> {
    if as_json {
        out!("{:#}", json!(models.iter().map(to_json).collect::<Vec<_>>()))?;
        return Ok(());
    }
    out!(
        "{:>7}  {:<16}  {:<20}  {:>5}  {:>7}  {:>9}  aliases",
        "version",
        "task",
        "registered",
        "run",
        "MAPE",
        "size"
    )?;
    for model in models {
        out!(
            "{:>7}  {:<16}  {:<20}  {:>5}  {:>7}  {:>6} KB  {}",
            model.version,
            model.task,
            model.created_at.format("%Y-%m-%d %H:%M UTC"),
            model.run_id.map(|run| run.to_string()).unwrap_or_default(),
            model.accuracy["mape"].as_f64().map(|mape| format!("{:.2} %", 100.0 * mape)).unwrap_or_default(),
            model.size / 1024,
            model.aliases.join(", "),
        )?;
    }
    Ok(())
}

fn show(context: &Context, version: i64, as_json: bool) -> Result<()> {
    let model = context.block_on(context.database.models().get(version))?.context("the version no longer exists")?;
    if as_json {
        out!("{:#}", to_json(&model))?;
        return Ok(());
    }
    out!(
        "registered {}, {}, SHA-256 {}",
        model.created_at.format("%Y-%m-%d %H:%M UTC"),
        model.run_id.map_or_else(|| "imported".to_owned(), |run| format!("run {run}")),
        model.sha256
    )?;
    match serde_json::from_value::<AccuracyCard>(model.accuracy) {
        Ok(card) => print_card(version, &context.task(Some(&model.task))?, &card, 0)?,
        Err(_) => out!("it has no accuracy card")?,
    }
    Ok(())
}

/// Registers a model file after verifying it, or after measuring it if it is of another program.
fn import(context: &Context, file: &Path, task: &Task) -> Result<()> {
    let failed = || format!("{} was not registered", file.display());
    let bytes = read_model_file(file).with_context(failed)?;
    let new = if ForeignFile::is_foreign(&bytes).with_context(failed)? {
        measured(context, bytes, task).with_context(failed)?
    } else {
        verified(context, bytes).with_context(failed)?
    };
    let version = context.block_on(context.database.models().register(&new))?;
    out!("version {version} is registered; promote it with `probeg models promote {version}`")?;
    Ok(())
}

/// A file of Probeg, whose run is in another database.
fn verified(context: &Context, bytes: Vec<u8>) -> Result<NewModel> {
    let runtime = context.inference()?.clone();
    context.compute(move || {
        let model = Model::open(&runtime, &bytes, Sessions::bulk(1))?;
        model.verify()?;
        Ok(new_model(bytes, model.signature()))
    })
}

/// A file of another program, with its accuracy on the test split.
fn measured(context: &Context, bytes: Vec<u8>, task: &Task) -> Result<NewModel> {
    let runtime = context.inference()?.clone();
    let champion = context.version(&champion_of(&task.name)).context(
        "the file has no accuracy card, so it must be measured and needs the inputs of the champion, but there is none",
    )?;
    let champion = Signature::of_file(&context.model_file(champion)?)?;
    let snapshot = context.snapshot(task)?;
    let (handle, stop) = (context.tokio.clone(), Arc::clone(context.stop.flag()));
    let (bytes, signature) = context.compute(move || {
        let mut stream = ListingStream::new(snapshot, 0, false, &handle, &stop)?;
        Ok(training::foreign::measure(&bytes, &champion, &runtime, &mut stream, today(), &stop)?)
    })?;
    if let Some(card) = &signature.accuracy {
        report_accuracy(&card.overall);
        report_floor(card);
    }
    Ok(new_model(bytes, &signature))
}

fn new_model(bytes: Vec<u8>, signature: &Signature) -> NewModel {
    NewModel {
        task: signature.task.name.clone(),
        run_id: None,
        bytes,
        signature: signature.summary(),
        card: json!(signature.accuracy),
    }
}

/// Reads a model file with a size limit; rejects special files such as devices.
fn read_model_file(file: &Path) -> Result<Vec<u8>> {
    let metadata = std::fs::metadata(file).context("it cannot be read")?;
    ensure!(metadata.is_file(), "it is not a file");
    let size = metadata.len();
    ensure!(size <= MAX_MODEL_BYTES, "it has {size} bytes; the limit for model files is {MAX_MODEL_BYTES}");
    let mut bytes = Vec::with_capacity(usize::try_from(size)?);
    let open = File::open(file).context("it cannot be read")?;
    open.take(MAX_MODEL_BYTES).read_to_end(&mut bytes).context("it cannot be read")?;
    Ok(bytes)
}

/// Times the graph alone on encoded synthetic listings, in the sessions that a server would use.
fn cost(context: &Context, version: &str, as_json: bool) -> Result<()> {
    let version = context.version(version)?;
    let (runtime, file) = (context.inference()?.clone(), context.model_file(version)?);
    let costs = context.compute(move || {
        let model = Model::open(&runtime, &file, Sessions { bulk: 1, quick: 1 })?;
        let encoder = model.encoder();
        let (mut ids, mut numbers) = (Vec::new(), Vec::new());
        for car in Market::new(0).take(COST_BATCHES[COST_BATCHES.len() - 1].into()) {
            encoder.encode(&car.listing, &mut ids, &mut numbers);
        }
        let cost = |batch: u16| {
            let ids = &ids[..encoder.categorical_width() * usize::from(batch)];
            let numbers = &numbers[..encoder.numeric_width() * usize::from(batch)];
            Ok((batch, median_time(|| model.run_graph(ids, numbers).map(drop))? / f64::from(batch)))
        };
        COST_BATCHES.into_iter().map(cost).collect::<Result<Vec<_>>>()
    })?;
    if as_json {
        let costs = costs.iter().map(|(batch, cost)| json!({ "batch": batch, "listing_us": cost }));
        out!("{:#}", json!({ "version": version, "costs": costs.collect::<Vec<_>>() }))?;
        return Ok(());
    }
    out!("version {version}, microseconds per listing:")?;
    for (batch, cost) in costs {
        out!("{cost:>8.1} in batches of {batch}")?;
    }
    Ok(())
}

/// The median duration of a call in microseconds, measured for about a second.
fn median_time(mut call: impl FnMut() -> Result<(), onnx_model::Error>) -> Result<f64> {
    let start = Instant::now();
    let mut times = Vec::new();
    while start.elapsed() < Duration::from_secs(1) {
        let call_start = Instant::now();
        call()?;
        times.push(call_start.elapsed().as_secs_f64() * 1e6);
    }
    times.sort_unstable_by(f64::total_cmp);
    quantile::nearest(&times, 0.5).context("no call ended within a second")
}

fn history(context: &Context, as_json: bool) -> Result<()> {
    let changes = context.block_on(context.database.models().history())?;
    if as_json {
        out!("{:#}", json!(changes))?;
        return Ok(());
    }
    for change in &changes {
        out!(
            "{}  {:<9} version {} of {} (before: {})  by {}",
            change.at.format("%Y-%m-%d %H:%M:%S UTC"),
            change.action.name(),
            change.version,
            change.task,
            change.previous_version.map_or_else(|| "none".to_owned(), |version| version.to_string()),
            change.who,
        )?;
    }
    Ok(())
}

fn to_json(model: &ModelRecord) -> serde_json::Value {
    json!({
        "version": model.version,
        "task": model.task,
        "run": model.run_id,
        "created_at": model.created_at,
        "sha256": model.sha256,
        "size": model.size,
        "aliases": model.aliases,
        "accuracy": model.accuracy,
    })
}

//! `probeg runs`: the training runs.

mod publish;

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use storage::{EpochMetrics, Run, RunEdit, RunQuery, RunSort, RunStatus};

use super::records::Records;
use crate::context::Context;
use crate::output::out;
use crate::process::Process;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List runs, the newest first
    List(Filter),
    /// Show a run with its configuration and epochs
    Show {
        /// The number of the run
        run: i64,
    },
    /// Compare the metrics of runs, and what differs in their configurations and data
    Compare {
        /// The numbers of the runs
        #[arg(required = true)]
        runs: Vec<i64>,
    },
    /// Change the name, the tags and the notes of a run
    Edit(Edit),
    /// Publish what is missing of runs to the MLflow server at `MLFLOW_TRACKING_URI`, and the champions
    #[command(after_help = "Example: MLFLOW_TRACKING_URI=http://mlflow.example:5000 probeg runs publish")]
    Publish {
        /// The numbers of the runs [default: all]
        runs: Vec<i64>,
    },
}

#[derive(Debug, Args)]
pub struct Filter {
    /// Only runs of this task
    #[arg(long)]
    task: Option<String>,
    /// Only runs with this tag
    #[arg(long)]
    tag: Option<String>,
    /// Only runs whose number, name, task, tags or notes contain this text
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// The order: smallest first, or the newest first for `run`
    #[arg(long, value_name = "METRIC", default_value = "run", value_parser = sorts())]
    sort: String,
    /// Reverse the order
    #[arg(long)]
    reverse: bool,
    /// The maximum number of runs
    #[arg(long, value_name = "COUNT")]
    limit: Option<u32>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg runs edit 12 --name baseline --tag keep --untag draft")]
pub struct Edit {
    /// The number of the run
    run: i64,
    /// A new name; an empty one removes it
    #[arg(long)]
    name: Option<String>,
    /// A tag to add; may be repeated
    #[arg(long)]
    tag: Vec<String>,
    /// A tag to remove; may be repeated
    #[arg(long, value_name = "TAG")]
    untag: Vec<String>,
    /// New notes; empty ones remove them
    #[arg(long)]
    note: Option<String>,
}

fn sorts() -> PossibleValuesParser {
    PossibleValuesParser::new(RunSort::ALL.map(|(name, _)| name))
}

pub fn run(process: &Process, arguments: &Records<Action>) -> Result<()> {
    if let Action::Edit(edit) = &arguments.action {
        return change(&Context::open(process)?, edit, arguments.json);
    }
    let context = Context::open_read_only(process)?;
    match &arguments.action {
        Action::List(filter) => list(&context.block_on(context.database.runs().list(&filter.query()))?, arguments.json),
        Action::Show { run } => show(&load(&context, *run)?, arguments.json),
        Action::Compare { runs } => {
            let runs = runs.iter().map(|run| load(&context, *run)).collect::<Result<Vec<_>>>()?;
            compare(&runs, arguments.json)
        }
        Action::Edit(edit) => change(&context, edit, arguments.json),
        Action::Publish { runs } => publish::run(&context, runs, arguments.json),
    }
}

impl Filter {
    fn query(&self) -> RunQuery {
        RunQuery {
            task: self.task.clone(),
            tag: self.tag.clone(),
            search: self.search.clone(),
            sort: RunSort::named(&self.sort).unwrap_or_default(),
            descending: self.reverse,
            limit: self.limit,
            ..RunQuery::default()
        }
    }
}

fn change(context: &Context, arguments: &Edit, as_json: bool) -> Result<()> {
    let Edit { run, name, tag, untag, note } = arguments;
    let edit = RunEdit { name: name.clone(), tag: tag.clone(), untag: untag.clone(), notes: note.clone() };
    context.block_on(context.database.runs().edit(*run, &edit))?;
    show(&load(context, *run)?, as_json)
}

fn load(context: &Context, id: i64) -> Result<(Run, Vec<EpochMetrics>)> {
    let runs = context.database.runs();
    let run = context.block_on(runs.get(id))?;
    let run = run.with_context(|| format!("there is no run {id}; see `probeg runs list`"))?;
    Ok((run, context.block_on(runs.metrics(id))?))
}

fn list(runs: &[Run], as_json: bool) -> Result<()> {
    if as_json {
        out!("{:#}", json!(runs.iter().map(to_json).collect::<Vec<_>>()))?;
        return Ok(());
    }
    out!(
        "{:>5}  {:<16}  {:<20}  {:<12}  {:>8}  {:>7}  {:>8}  {:>9}  {:<20}  tags",
        "run",
        "task",
        "started",
        "status",
        "rows",
        "version",
        "MAPE",
        "val. loss",
        "name"
    )?;
    for run in runs {
        let line = format!(
            "{:>5}  {:<16}  {:<20}  {:<12}  {:>8}  {:>7}  {:>8}  {:>9}  {:<20}  {}",
            run.id,
            run.task,
            run.started_at.format("%Y-%m-%d %H:%M UTC"),
            run.status.name(),
            run.rows.map(|rows| rows.train.to_string()).unwrap_or_default(),
            run.model_version.map(|version| version.to_string()).unwrap_or_default(),
            run.metrics["mape"].as_f64().map(|mape| format!("{:.2} %", 100.0 * mape)).unwrap_or_default(),
            run.metrics["validation_loss"].as_f64().map(|loss| format!("{loss:.5}")).unwrap_or_default(),
            run.name.as_deref().unwrap_or_default(),
            run.tags.join(", "),
        );
        out!("{}", line.trim_end())?;
    }
    Ok(())
}

fn show((run, epochs): &(Run, Vec<EpochMetrics>), as_json: bool) -> Result<()> {
    if as_json {
        out!("{:#}", with_epochs(run, epochs))?;
        return Ok(());
    }
    out!("run {}, {}, started {}", run.id, run.status.name(), run.started_at)?;
    let parent = run.parent.map(|parent| parent.to_string());
    let tags = (!run.tags.is_empty()).then(|| run.tags.join(", "));
    let lines = [
        ("name", &run.name),
        ("tags", &tags),
        ("notes", &run.notes),
        ("derived from run", &parent),
        ("sweep", &run.sweep),
        ("program", &run.program),
    ];
    for (label, text) in lines {
        if let Some(text) = text {
            out!("{label}: {text}")?;
        }
    }
    if let Some(data) = &run.data {
        out!("data: {}", json!(data))?;
    }
    if let Some(error) = &run.error {
        out!("error: {error}")?;
    }
    if matches!(run.status, RunStatus::Interrupted | RunStatus::Failed) {
        out!("resume it with `probeg train --resume {}`", run.id)?;
    }
    out!("configuration: {:#}", run.config)?;
    for epoch in epochs {
        out!("epoch {:>3}: {}", epoch.epoch, format_metrics(&epoch.metrics))?;
    }
    Ok(())
}

fn compare(runs: &[(Run, Vec<EpochMetrics>)], as_json: bool) -> Result<()> {
    if as_json {
        out!("{:#}", json!(runs.iter().map(|(run, epochs)| with_epochs(run, epochs)).collect::<Vec<_>>()))?;
        return Ok(());
    }
    for (run, epochs) in runs {
        let best = epochs.iter().filter_map(|epoch| epoch.metrics["validation_loss"].as_f64()).fold(f64::NAN, f64::min);
        let name = run.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
        out!("run {:>4}: {} epochs, best validation loss {best:.5}{name}", run.id, epochs.len())?;
    }
    let metrics = table(runs, |run| &run.metrics);
    out!("metrics of the best epoch and on held-out listings:")?;
    for (key, values) in &metrics {
        out!("  {key}: {}", values.join(" | "))?;
    }
    out!("differences in the configuration:")?;
    print_differences(&table(runs, |run| &run.config))?;
    out!("differences in the data:")?;
    let data: Vec<Value> = runs.iter().map(|(run, _)| json!(run.data)).collect();
    let mut differences = table_of(&data.iter().collect::<Vec<_>>());
    differences
        .insert("program".to_owned(), runs.iter().map(|(run, _)| run.program.clone().unwrap_or_default()).collect());
    print_differences(&differences)
}

fn print_differences(table: &BTreeMap<String, Vec<String>>) -> Result<()> {
    for (key, values) in table.iter().filter(|(_, values)| values.iter().any(|value| *value != values[0])) {
        out!("  {key}: {}", values.join(" | "))?;
    }
    Ok(())
}

fn table(runs: &[(Run, Vec<EpochMetrics>)], part: impl Fn(&Run) -> &Value) -> BTreeMap<String, Vec<String>> {
    table_of(&runs.iter().map(|(run, _)| part(run)).collect::<Vec<_>>())
}

/// The values of each key, side by side.
fn table_of(objects: &[&Value]) -> BTreeMap<String, Vec<String>> {
    let keys = objects.iter().filter_map(|object| object.as_object()).flat_map(|object| object.keys());
    let row = |key: &String| -> Vec<String> {
        objects.iter().map(|object| object.get(key).map(Value::to_string).unwrap_or_default()).collect()
    };
    keys.map(|key| (key.clone(), row(key))).collect()
}

fn format_metrics(metrics: &Value) -> String {
    let metrics = metrics.as_object().into_iter().flatten();
    metrics
        .map(|(name, value)| format!("{name} {:.5}", value.as_f64().unwrap_or(f64::NAN)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A run as in the API, without the second copy of its name and the heartbeat.
fn to_json(run: &Run) -> Value {
    let mut json = json!({ "run": run.id });
    if let (Some(json), Value::Object(fields)) = (json.as_object_mut(), json!(run)) {
        json.extend(fields.into_iter().filter(|(name, _)| !["id", "label", "heartbeat_at"].contains(&name.as_str())));
    }
    json
}

fn with_epochs(run: &Run, epochs: &[EpochMetrics]) -> Value {
    let mut value = to_json(run);
    value["epochs"] = epochs.iter().map(|epoch| json!({ "epoch": epoch.epoch, "metrics": epoch.metrics })).collect();
    value
}

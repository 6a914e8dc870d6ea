//! `probeg runs`: the training runs.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use serde_json::{Value, json};
use storage::{EpochMetrics, Run, RunStatus};

use super::records::Records;
use crate::context::Context;
use crate::output::out;
use crate::process::Process;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all runs, the newest first
    List,
    /// Show a run with its configuration and epochs
    Show {
        /// The number of the run
        run: i64,
    },
    /// Compare the configurations and results of runs
    Compare {
        /// The numbers of the runs
        #[arg(required = true)]
        runs: Vec<i64>,
    },
}

pub fn run(process: &Process, arguments: &Records<Action>) -> Result<()> {
    let context = Context::open_read_only(process)?;
    match &arguments.action {
        Action::List => list(&context.block_on(context.database.runs().list())?, arguments.json),
        Action::Show { run } => show(&load(&context, *run)?, arguments.json),
        Action::Compare { runs } => {
            let runs = runs.iter().map(|run| load(&context, *run)).collect::<Result<Vec<_>>>()?;
            compare(&runs, arguments.json)
        }
    }
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
    out!("{:>5}  {:<16}  {:<20}  {:<12}  {:>8}  version", "run", "task", "started", "status", "rows")?;
    for run in runs {
        out!(
            "{:>5}  {:<16}  {:<20}  {:<12}  {:>8}  {}",
            run.id,
            run.task,
            run.started_at.format("%Y-%m-%d %H:%M UTC"),
            run.status.name(),
            run.rows.map(|rows| rows.train.to_string()).unwrap_or_default(),
            run.model_version.map(|version| version.to_string()).unwrap_or_default(),
        )?;
    }
    Ok(())
}

fn show((run, epochs): &(Run, Vec<EpochMetrics>), as_json: bool) -> Result<()> {
    if as_json {
        out!("{:#}", with_epochs(run, epochs))?;
        return Ok(());
    }
    out!("run {}, {}, started {}", run.id, run.status.name(), run.started_at)?;
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
        out!("run {:>4}: {} epochs, best validation loss {best:.5}", run.id, epochs.len())?;
    }
    let mut values: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for key in runs.iter().filter_map(|(run, _)| run.config.as_object()).flat_map(|config| config.keys()) {
        let row = runs.iter().map(|(run, _)| run.config.get(key).map(Value::to_string).unwrap_or_default());
        values.entry(key).or_insert_with(|| row.collect());
    }
    for (key, values) in values.iter().filter(|(_, values)| values.iter().any(|value| *value != values[0])) {
        out!("  {key}: {}", values.join(" | "))?;
    }
    Ok(())
}

fn format_metrics(metrics: &Value) -> String {
    let metrics = metrics.as_object().into_iter().flatten();
    metrics
        .map(|(name, value)| format!("{name} {:.5}", value.as_f64().unwrap_or(f64::NAN)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A run as in the API, without the label and the heartbeat.
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

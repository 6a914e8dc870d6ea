//! `probeg models served`: what was served at a time, and what it was made of.

use anyhow::{Context as _, Result};
use chrono::{DateTime, Utc};
use domain::moment;
use serde_json::json;
use storage::ServedPeriod;

use crate::context::Context;
use crate::output::out;

/// Reads a time in UTC, or with an offset.
pub fn parse_time(text: &str) -> Result<DateTime<Utc>, String> {
    moment::parse(text)
        .ok_or_else(|| "write a time such as '2026-11-24 14:05' (UTC) or 2026-11-24T17:05:00+03:00".to_owned())
}

/// Shows the champion of a task at a time, or now.
pub fn show(context: &Context, task: &str, at: Option<DateTime<Utc>>, as_json: bool) -> Result<()> {
    let task = context.task(Some(task))?;
    let models = context.database.models();
    let at = at.unwrap_or_else(Utc::now);
    let period = context.block_on(models.served_at(&task.name, at))?;
    let ServedPeriod { change, until } =
        period.with_context(|| format!("no version of the task {} was served at {}", task.name, time(at)))?;
    let model = context.block_on(models.get(change.version))?;
    let model = model.with_context(|| format!("version {} no longer exists", change.version))?;
    let run = match model.run_id {
        Some(run) => context.block_on(context.database.runs().get(run))?,
        None => None,
    };
    if as_json {
        let model = model.without_segments();
        out!(
            "{:#}",
            json!({ "at": at, "since": change.at, "until": until, "by": change.who, "model": model, "run": run })
        )?;
        return Ok(());
    }
    out!("at {}: version {} of the task {}", time(at), change.version, task.name)?;
    let until = until.map_or_else(|| "now".to_owned(), time);
    out!("served from {} to {until}, by {} of {}", time(change.at), change.action.name(), change.who)?;
    if let Some(mape) = model.accuracy["mape"].as_f64() {
        out!("accuracy: MAPE {:.2} % on held-out listings", 100.0 * mape)?;
    }
    let Some(run) = run else {
        out!("the file was imported; its run is not in this database")?;
        return Ok(());
    };
    let name = run.name.as_deref().map(|name| format!(" ({name})")).unwrap_or_default();
    let program = run.program.as_deref().unwrap_or("unknown");
    out!("trained by run {}{name}, started {}, program {program}, seed {}", run.id, time(run.started_at), run.seed)?;
    if let Some(rows) = run.rows {
        out!("listings: {} to train on, {} to validate, {} to test", rows.train, rows.validation, rows.test)?;
    }
    if let Some(data) = &run.data {
        let day = |day: Option<chrono::NaiveDate>| day.map_or_else(|| "unknown".to_owned(), |day| day.to_string());
        let imports = data.imports.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        out!(
            "data: {} listings dated {} to {}, imports {imports}, fingerprint {}",
            data.rows,
            day(data.first_date),
            day(data.last_date),
            data.fingerprint
        )?;
    }
    out!("settings: {:#}", run.config)?;
    Ok(())
}

fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

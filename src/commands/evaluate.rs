//! `probeg evaluate`: the accuracy card.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use domain::Task;
use domain::accuracy::{Accuracy, AccuracyCard, Drift, Forecast, Stability, Surface};
use tables::{Encoding, Limits, Options, Source};
use training::evaluate::evaluate_file;

use crate::context::{Context, today};
use crate::output::out;
use crate::process::Process;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg evaluate --data labeled.csv --json")]
pub struct Arguments {
    /// A version or an alias [default: the champion]
    #[arg(long, value_name = "VERSION")]
    model: Option<String>,
    /// The task, whose champion is the default [default: price]
    #[arg(long)]
    task: Option<String>,
    /// A file of listings with the target of the task [default: show the accuracy on the test split]
    #[arg(long, value_name = "FILE")]
    data: Option<PathBuf>,
    /// The encoding of a CSV file that is not UTF-8, such as windows-1251
    #[arg(long, requires = "data")]
    encoding: Option<Encoding>,
    /// Print the card as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    let context = Context::open_read_only(process)?;
    let (version, model) = context.model(arguments.model.as_deref(), arguments.task.as_deref())?;
    let task = model.signature().task.clone();
    let (card, rejected) = match &arguments.data {
        None => (model.signature().accuracy.clone().context("this version has no accuracy card")?, 0),
        Some(file) => {
            let options = Options { limits: Limits::trusted(), encoding: arguments.encoding, ..Options::default() };
            let source = Source::file(file).cancelled_by(Arc::clone(context.stop.flag()));
            let evaluation = context.compute(move || Ok(evaluate_file(&model, source, options, today())?))?;
            (evaluation.card, evaluation.rejected)
        }
    };
    if arguments.json {
        out!("{:#}", as_json(version, &task, &card, rejected)?)?;
    } else {
        print_card(version, &task, &card, rejected)?;
    }
    Ok(())
}

fn as_json(version: i64, task: &Task, card: &AccuracyCard, rejected: u64) -> Result<serde_json::Value> {
    let mut value = serde_json::to_value(card)?;
    value["model"] = version.into();
    value["task"] = task.name.as_str().into();
    value["unit"] = task.unit().into();
    value["rejected"] = rejected.into();
    Ok(value)
}

/// Prints a card as text.
pub fn print_card(version: i64, task: &Task, card: &AccuracyCard, rejected: u64) -> Result<()> {
    let rows = card.overall.rows;
    out!("model version {version}, {}: {rows} listings, {rejected} rows rejected", task.name)?;
    out!("{:<34}{:>8}{:>9}{:>12}{:>9}{:>9}{:>9}", "", "rows", "MAPE", "median APE", "in 10 %", "in 20 %", "80 % PI")?;
    print_row("all", &card.overall)?;
    let Accuracy { mae, rmsle, r2, within_5, median_width_80, cod, prd, intervals_95, .. } = &card.overall;
    out!(
        "MAE {mae:.0} {}, RMSLE {rmsle:.4}, R² {r2:.4}, COD {cod:.4}, PRD {prd:.4}, within 5 %: {:.1} %",
        task.unit(),
        100.0 * within_5
    )?;
    out!("median width of the 80 % interval: {:.1} % of the price", 100.0 * median_width_80)?;
    let [low, high] = intervals_95.mape.map(|end| 100.0 * end);
    out!("95 % bootstrap interval of the MAPE: {low:.2} to {high:.2} %")?;
    out!(
        "higher with {:.0} km more: {:.2} % of cars; with one year more: {:.2} %",
        Surface::ADDED_MILEAGE,
        100.0 * card.surface.dearer_with_mileage,
        100.0 * card.surface.dearer_with_age
    )?;
    if let Some(floor) = &card.floor {
        let verdict = if card.beats_floor() { "beaten" } else { "not beaten" };
        print_row(&format!("floor: a linear model, {verdict}"), floor)?;
    }
    if let Some(Stability { within_3, median_difference }) = &card.stability {
        let [within_3, median_difference] = [within_3, median_difference].map(|share| 100.0 * share);
        out!(
            "with another seed, {within_3:.1} % of prices are within 3 %; median difference {median_difference:.2} %"
        )?;
    }
    if let Some(forecast) = &card.forecast {
        print_forecast(forecast)?;
    }
    if !card.forms.is_empty() {
        out!("by the number of fields given, on all dates and on the newest snapshot")?;
    }
    for form in &card.forms {
        let name = form.fields.map_or("all fields".to_owned(), |fields| format!("{fields} fields"));
        print_row(&format!("  {name}"), &form.accuracy)?;
        if let Some(newest) = &form.newest {
            print_row(&format!("  {name}, newest snapshot"), newest)?;
        }
        if form.fields.is_none() {
            continue;
        }
        out!(
            "    price of all fields in the 80 % interval: {:.1} %; more than a quarter away: {:.1} %",
            100.0 * form.full_price_in_interval,
            100.0 * form.moved_by_a_quarter
        )?;
    }
    for (family, segments) in &card.segments {
        out!("by {family}")?;
        for (name, accuracy) in segments {
            print_row(&format!("  {name}"), accuracy)?;
        }
    }
    Ok(())
}

fn print_forecast(forecast: &Forecast) -> Result<()> {
    let drift = match forecast.drift {
        Drift::Flat => "stays".to_owned(),
        Drift::DampedTrend => format!("goes on from {:+.1} % a year, fading", 100.0 * forecast.rate.exp_m1()),
        Drift::Index => format!("goes on by {:+.1} % a year", 100.0 * forecast.rate.exp_m1()),
    };
    out!(
        "after the newest listing the level {drift}, and is within {:.0} % of that after a year in 80 % of cases",
        100.0 * forecast.wander.exp_m1()
    )?;
    for origin in &forecast.origins {
        print_row(&format!("  {} before, {} on", origin.market_as_of, origin.since), &origin.accuracy)?;
    }
    for horizon in &forecast.horizons {
        let name = horizon.up_to_months.map_or("  later".to_owned(), |months| format!("  up to {months} months later"));
        print_row(&name, &horizon.accuracy)?;
    }
    Ok(())
}

fn print_row(name: &str, accuracy: &Accuracy) -> Result<()> {
    out!(
        "{name:<34}{:>8}{:>8.2}%{:>11.2}%{:>8.1}%{:>8.1}%{:>8.1}%",
        accuracy.rows,
        100.0 * accuracy.mape,
        100.0 * accuracy.median_ape,
        100.0 * accuracy.within_10,
        100.0 * accuracy.within_20,
        100.0 * accuracy.coverage_80,
    )?;
    Ok(())
}

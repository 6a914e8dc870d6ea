//! `probeg tasks`: what models predict.

use anyhow::{Context as _, Result, ensure};
use clap::{Args, Subcommand};
use domain::{Column, Task};
use serde_json::{Value, json};
use storage::{ModelRecord, RowFilter};

use super::records::Records;
use crate::context::Context;
use crate::output::out;
use crate::process::Process;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all tasks with their champions
    List,
    /// Add a task
    Add(NewTask),
}

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg tasks add kia-price --where brand=kia --where 'year>=2015'")]
pub struct NewTask {
    /// Its name
    name: String,
    /// The market of its listings
    #[arg(long, default_value = "ru")]
    market: String,
    /// What to predict: price, `sale_price` or `days_listed`
    #[arg(long, default_value = "price")]
    target: String,
    /// A condition on its listings, such as `brand=kia|lada` or `year>=2015`; all conditions must hold
    #[arg(long = "where", value_name = "CONDITION")]
    conditions: Vec<String>,
}

pub fn run(process: &Process, arguments: &Records<Action>) -> Result<()> {
    let context = Context::open(process)?;
    match &arguments.action {
        Action::List => list(&context, arguments.json),
        Action::Add(new) => add(&context, new),
    }
}

fn add(context: &Context, new: &NewTask) -> Result<()> {
    let market = context.block_on(context.database.markets().get(&new.market))?;
    let market = market.with_context(|| format!("there is no market {:?}; see `probeg markets list`", new.market))?;
    let target = Column::from_name(&new.target).filter(|column| Column::TARGETS.contains(column));
    let target = target.with_context(|| domain::task::TaskError::Target(new.target.clone()).to_string())?;
    let task = Task::new(&new.name, market, target, new.conditions.clone())?;
    let mut snapshot = context.snapshot(&task)?;
    let [rows] = context.block_on(snapshot.rows([RowFilter::All]))?;
    let (market, target) = (task.market.name(), target.name());
    ensure!(rows > 0, "no listing of the market {market} has a {target} and meets the conditions");
    ensure!(context.block_on(context.database.tasks().add(&task))?, "there is already a task {:?}", task.name);
    out!("task {}: {rows} listings; train it with `probeg train --task {0} --promote`", task.name)?;
    Ok(())
}

fn list(context: &Context, as_json: bool) -> Result<()> {
    let (tasks, models) = context.block_on(async {
        anyhow::Ok((context.database.tasks().list().await?, context.database.models().list().await?))
    })?;
    let champion = |task: &Task| {
        let alias = storage::champion_of(&task.name);
        models.iter().find(|model| model.aliases.contains(&alias))
    };
    if as_json {
        let tasks = tasks.iter().map(|task| to_json(task, champion(task)));
        out!("{:#}", json!(tasks.collect::<Vec<_>>()))?;
        return Ok(());
    }
    out!(
        "{:<24}  {:<8}  {:<12}  {:<5}  {:>8}  {:>8}  conditions",
        "task",
        "market",
        "target",
        "unit",
        "champion",
        "MAPE"
    )?;
    for task in &tasks {
        let champion = champion(task);
        let version = champion.map(|model| model.version.to_string()).unwrap_or_default();
        let mape = champion.and_then(|model| model.accuracy["mape"].as_f64());
        let mape = mape.map(|mape| format!("{:.2} %", 100.0 * mape)).unwrap_or_default();
        let (market, target, unit) = (task.market.name(), task.target.name(), task.unit());
        let conditions = task.conditions.join(", ");
        out!("{:<24}  {market:<8}  {target:<12}  {unit:<5}  {version:>8}  {mape:>8}  {conditions}", task.name)?;
    }
    Ok(())
}

fn to_json(task: &Task, champion: Option<&ModelRecord>) -> Value {
    json!({
        "name": task.name, "market": task.market.name(), "target": task.target, "unit": task.unit(),
        "conditions": task.conditions, "champion": champion.map(|model| model.version),
    })
}

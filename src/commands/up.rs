//! `probeg up`: from files to a running service.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use domain::Task;
use storage::Lock;
use tables::Limits;
use training::TrainConfig;
use training::import::ImportOptions;

use super::import::MarketArguments;
use super::serve::{config, listen, serve};
use super::{import, synth, train};
use crate::context::Context;
use crate::output::{err, out};
use crate::process::Process;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg up --data listings.csv.gz --bind 127.0.0.1:8000")]
pub struct Arguments {
    /// A CSV, CSV.gz or XLSX file of listings; may be repeated
    #[arg(long, value_name = "FILE")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    market: MarketArguments,
    /// The address to listen on [default: `PROBEG_BIND`, else 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    bind: Option<SocketAddr>,
}

/// Enough to train a reasonable model in about a minute.
const SYNTHETIC_ROWS: u64 = 20_000;

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    for file in &arguments.data {
        ensure!(file.exists(), "{} does not exist", file.display());
    }
    let config = config(arguments.bind)?;
    let context = Context::open(process)?;
    // If the address is in use, fail now rather than after minutes of training.
    context.block_on(async { listen(config.bind).map(drop) })?;
    prepare(&context, arguments)?;
    serve(&context, config)
}

/// Ensures that there are listings, and a champion of each task that has listings. Concurrent processes wait for each other, and
/// do not repeat the work.
fn prepare(context: &Context, arguments: &Arguments) -> Result<()> {
    let lock = context.block_on(context.database.lock(Lock::Training))?;
    let (database, is_checked) = arguments.market.open(context)?;
    for file in &arguments.data {
        let options = ImportOptions { limits: Limits::trusted(), encoding: None, is_checked };
        import::import(context, &database, file, None, options)?;
    }
    let mut tasks = tasks_with_listings(context)?;
    if tasks.is_empty() {
        out!("There are no listings: generating SYNTHETIC ones. Their prices are not real.")?;
        synth::import_synthetic(context, SYNTHETIC_ROWS, 0, false)?;
        tasks = vec![Task::price()];
    }
    let mut champions = 0;
    let mut failure = None;
    for task in &tasks {
        if let Some(version) = context.block_on(context.database.models().champion(&task.name))? {
            let name = &task.name;
            out!(
                "model version {version} is the champion of {name}; train another with `probeg train --task {name} --promote`"
            )?;
            champions += 1;
            continue;
        }
        match train::train_champion(context, task, &TrainConfig::default()) {
            Ok(_) => champions += 1,
            Err(error) if context.stop.is_requested() => return Err(error),
            Err(error) => {
                err!("the task {} has no model: {error:#}", task.name);
                failure = Some(error);
            }
        }
    }
    match failure {
        Some(error) if champions == 0 => Err(error),
        _ => context.block_on(lock.release()),
    }
}

/// The tasks whose markets have listings.
fn tasks_with_listings(context: &Context) -> Result<Vec<Task>> {
    let mut tasks = context.block_on(context.database.tasks().list())?;
    let mut failure = None;
    tasks.retain(|task| {
        let is_empty = context.database_of(task).and_then(|database| context.block_on(database.listings().is_empty()));
        match is_empty {
            Ok(is_empty) => !is_empty,
            Err(error) => {
                failure = Some(error);
                false
            }
        }
    });
    failure.map_or(Ok(tasks), Err)
}

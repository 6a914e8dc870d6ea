//! `probeg up`: from files to a running service.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use storage::Lock;
use training::TrainConfig;

use super::serve::{config, listen, serve};
use super::{import, synth, train};
use crate::context::Context;
use crate::output::out;
use crate::process::Process;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg up --data listings.csv.gz --bind 127.0.0.1:8000")]
pub struct Arguments {
    /// A CSV, CSV.gz or XLSX file of listings; may be repeated
    #[arg(long, value_name = "FILE")]
    data: Vec<PathBuf>,
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
    prepare(&context, &arguments.data)?;
    serve(&context, config)
}

/// Ensures that there are listings and a champion. Concurrent processes wait for each other, and do not repeat the work.
fn prepare(context: &Context, data: &[PathBuf]) -> Result<()> {
    let lock = context.block_on(context.database.lock(Lock::Training))?;
    for file in data {
        import::import(context, file, None, None)?;
    }
    if context.block_on(context.database.listings().is_empty())? {
        out!("There are no listings: generating SYNTHETIC ones. Their prices are not real.")?;
        synth::import_synthetic(context, SYNTHETIC_ROWS, 0, false)?;
    }
    if let Some(version) = context.block_on(context.database.models().champion())? {
        out!("model version {version} is the champion; train another with `probeg train --promote`")?;
    } else {
        train::train_champion(context, &TrainConfig::default())?;
    }
    context.block_on(lock.release())
}

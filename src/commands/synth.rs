//! `probeg synth`: writes synthetic listings to the database.

use anyhow::Result;
use clap::Args;
use domain::PricedListing;
use indicatif::HumanCount;
use storage::{Import, ImportCounts};
use tokio::sync::mpsc;
use training::synth::{Market, SOURCE};

use crate::context::Context;
use crate::output::out;
use crate::process::Process;
use crate::progress::RowProgress;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg synth --rows 20000")]
pub struct Arguments {
    /// The number of listings to generate
    #[arg(long, default_value_t = 20_000)]
    rows: u64,
    /// The random seed, which determines the listings
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Store the listings sorted by brand and date, the worst case for shuffling
    #[arg(long)]
    clustered: bool,
}

/// The number of listings to send to the database together.
const BATCH_ROWS: usize = 1024;

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    let context = Context::open(process)?;
    let counts = import_synthetic(&context, arguments.rows, arguments.seed, arguments.clustered)?;
    out!("{} synthetic listings added, {} already known", HumanCount(counts.added), HumanCount(counts.already_known))?;
    Ok(())
}

/// Imports synthetic listings atomically.
pub fn import_synthetic(context: &Context, rows: u64, seed: u64, clustered: bool) -> Result<ImportCounts> {
    let progress = RowProgress::new("generating listings");
    let (batches, mut received) = mpsc::channel(2);
    let generator = context.tokio.spawn_blocking(move || generate_batches(rows, seed, &batches));
    let counts = context.block_on(async {
        let mut import = Import::begin(&context.database, SOURCE).await?;
        if clustered {
            import = import.clustered();
        }
        let mut written = 0;
        while let Some(batch) = received.recv().await {
            import.write(&batch).await?;
            written += batch.len() as u64;
            progress.set_rows(written);
            // Batches are always ready, so yield to notice a request to stop.
            tokio::task::yield_now().await;
        }
        generator.await?;
        anyhow::Ok(import.finish(0).await?)
    })?;
    progress.end();
    Ok(counts)
}

fn generate_batches(rows: u64, seed: u64, batches: &mpsc::Sender<Vec<PricedListing>>) {
    let mut market = Market::new(seed);
    let mut remaining = rows;
    while remaining > 0 {
        let batch: Vec<_> =
            market.by_ref().take(usize::try_from(remaining).unwrap_or(BATCH_ROWS).min(BATCH_ROWS)).collect();
        remaining -= batch.len() as u64;
        // The receiver is gone if it failed.
        if batches.blocking_send(batch).is_err() {
            return;
        }
    }
}

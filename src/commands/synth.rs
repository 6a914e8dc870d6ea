//! `probeg synth`: a synthetic market in the database.

use anyhow::Result;
use clap::Args;
use domain::PricedListing;
use indicatif::HumanCount;
use storage::{Import, ImportCounts};
use tokio::sync::mpsc;
use training::synth::{Market, SOURCE};

use crate::context::Context;
use crate::output::say;
use crate::process::Process;
use crate::progress::RowsShown;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg synth --rows 20000")]
pub struct Arguments {
    /// How many listings to generate
    #[arg(long, default_value_t = 20_000)]
    rows: u64,
    /// The same seed gives the same listings
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Store the listings sorted by brand and date: the worst case for a weak shuffle
    #[arg(long)]
    clustered: bool,
}

/// Listings that are sent to the database together.
const BATCH: usize = 1024;

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    let context = Context::open(process)?;
    let counts = fill(&context, arguments.rows, arguments.seed, arguments.clustered)?;
    say!("{} synthetic listings added, {} known before", HumanCount(counts.added), HumanCount(counts.already_known))?;
    Ok(())
}

/// Writes a synthetic market into the database: all of it or nothing.
pub fn fill(context: &Context, rows: u64, seed: u64, clustered: bool) -> Result<ImportCounts> {
    let shown = RowsShown::new("generating a market");
    let (batches, mut received) = mpsc::channel(2);
    let maker = context.tokio.spawn_blocking(move || make_up(rows, seed, &batches));
    let counts = context.block_on(async {
        let mut import = Import::begin(&context.database, SOURCE).await?;
        if clustered {
            import = import.clustered();
        }
        let mut written = 0;
        while let Some(batch) = received.recv().await {
            import.write(&batch).await?;
            written += batch.len() as u64;
            shown.rows(written);
            // With a batch always ready, a request to stop would otherwise go unnoticed.
            tokio::task::yield_now().await;
        }
        maker.await?;
        anyhow::Ok(import.finish(0).await?)
    })?;
    shown.end();
    Ok(counts)
}

fn make_up(rows: u64, seed: u64, batches: &mpsc::Sender<Vec<PricedListing>>) {
    let mut market = Market::new(seed);
    let mut left = rows;
    while left > 0 {
        let batch: Vec<_> = market.by_ref().take(usize::try_from(left).unwrap_or(BATCH).min(BATCH)).collect();
        left -= batch.len() as u64;
        // The receiver ended with an error of its own.
        if batches.blocking_send(batch).is_err() {
            return;
        }
    }
}

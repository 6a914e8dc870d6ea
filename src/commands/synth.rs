//! `probeg synth`: a synthetic market in the database.

use anyhow::Result;
use clap::Args;
use indicatif::HumanCount;
use storage::{Import, ImportCounts};
use training::synth::{Market, SOURCE};

use crate::context::Context;
use crate::output::say;
use crate::progress::RowsShown;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg synth --rows 20000")]
pub struct Arguments {
    /// How many listings to make up
    #[arg(long, default_value_t = 20_000)]
    rows: u64,
    /// The same seed gives the same listings
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Store the listings by brand and date: the worst case for a weak shuffle
    #[arg(long)]
    clustered: bool,
}

/// Listings that are sent to the database together.
const BATCH: usize = 4096;

pub fn run(arguments: &Arguments) -> Result<()> {
    let context = Context::open()?;
    let counts = fill(&context, arguments.rows, arguments.seed, arguments.clustered)?;
    say!(
        "{} synthetic listings added, {} were there before",
        HumanCount(counts.added),
        HumanCount(counts.already_known)
    )?;
    Ok(())
}

/// Writes a synthetic market into the database: all of it or nothing.
pub fn fill(context: &Context, rows: u64, seed: u64, clustered: bool) -> Result<ImportCounts> {
    let shown = RowsShown::new("making up a market");
    let mut market = Market::new(seed);
    let counts = context.block_on(async {
        let mut import = Import::begin(&context.database, SOURCE).await?;
        if clustered {
            import = import.clustered();
        }
        let mut written = 0;
        while written < rows {
            let count = usize::try_from(rows - written).unwrap_or(usize::MAX).min(BATCH);
            let batch: Vec<_> = market.by_ref().take(count).collect();
            import.write(&batch).await?;
            written += batch.len() as u64;
            shown.rows(written);
        }
        import.finish(0).await
    })?;
    shown.end();
    Ok(counts)
}

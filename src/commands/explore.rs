//! `probeg explore`: the data report.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use indicatif::HumanCount;
use storage::Snapshot;
use training::explore::{Exploration, Language, Severity, explore};

use crate::context::{Context, today};
use crate::progress::ExplorationShown;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg explore --out report.html")]
pub struct Arguments {
    /// Where the report is written: one HTML file that opens without a network
    #[arg(short, long, value_name = "FILE", default_value = "probeg-report.html")]
    out: PathBuf,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let context = Context::open()?;
    let shown = ExplorationShown::new();
    let exploration = context.block_on(async {
        let snapshot = Snapshot::begin(&context.database).await?;
        explore(snapshot, today(), &|stage| shown.stage(stage)).await
    })?;
    shown.end();
    write(&arguments.out, &exploration.page())?;
    if arguments.json {
        println!("{:#}", serde_json::to_value(&exploration)?);
    } else {
        tell(&arguments.out, &exploration);
    }
    Ok(())
}

/// Writes the report: it appears whole or not at all.
fn write(out: &Path, page: &str) -> Result<()> {
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    let told = || format!("{} cannot be written", out.display());
    let mut written = tempfile::NamedTempFile::new_in(folder.unwrap_or(".".as_ref())).with_context(told)?;
    written.write_all(page.as_bytes()).with_context(told)?;
    written.persist(out).with_context(told)?;
    Ok(())
}

fn tell(out: &Path, exploration: &Exploration) {
    println!(
        "{}: {} listings, {} findings; the gravest:",
        out.display(),
        HumanCount(exploration.rows().unsigned_abs()),
        exploration.findings().len()
    );
    for finding in exploration.findings().iter().filter(|finding| finding.severity == Severity::Grave) {
        println!("- {}", finding.text.get(Language::English));
    }
}

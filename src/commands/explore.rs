//! `probeg explore`: the data report.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use indicatif::HumanCount;
use storage::Snapshot;
use training::explore::{Exploration, Language, Severity, explore};

use crate::context::{Context, today};
use crate::process::Process;
use crate::progress::ExplorationShown;
use crate::whole_file::WholeFile;

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

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    let context = Context::open_to_read(process)?;
    let (database, tokio) = (context.database.clone(), context.tokio.clone());
    // Its figures take seconds between one look into the database and the next.
    let (exploration, page) = context.compute(move || {
        let shown = ExplorationShown::new();
        let exploration = tokio.block_on(async {
            let snapshot = Snapshot::begin(&database).await?;
            explore(snapshot, today(), &|stage| shown.stage(stage)).await
        })?;
        shown.end();
        let page = exploration.page();
        Ok((exploration, page))
    })?;
    WholeFile::write(&arguments.out, page.as_bytes())?;
    if arguments.json {
        println!("{:#}", serde_json::to_value(&exploration)?);
    } else {
        tell(&arguments.out, &exploration);
    }
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

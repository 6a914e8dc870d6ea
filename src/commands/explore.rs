//! `probeg explore`: the data report.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use domain::Language;
use indicatif::HumanCount;
use report::{Report, Severity};

use crate::context::{Context, today};
use crate::output::{line_on_file, out, write_file};
use crate::process::Process;
use crate::progress::ReportProgress;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg explore --out report.html")]
pub struct Arguments {
    /// The task whose listings to describe [default: price]
    #[arg(long)]
    task: Option<String>,
    /// Where to write the report, a self-contained HTML file
    #[arg(short, long, value_name = "FILE", default_value = "probeg-report.html")]
    out: PathBuf,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    let context = Context::open(process)?;
    let task = context.task(arguments.task.as_deref())?;
    let (snapshot, tokio) = (context.report_snapshot(&task)?, context.tokio.clone());
    // The report computes for seconds between queries.
    let (report, page) = context.compute(move || {
        let progress = ReportProgress::new();
        let report = tokio.block_on(Report::create(snapshot, &task, today(), &|stage| progress.stage(stage)))?;
        progress.end();
        let page = report.page();
        Ok((report, page))
    })?;
    write_file(&arguments.out, page.as_bytes())?;
    if arguments.json {
        out!("{:#}", serde_json::to_value(&report)?)?;
        return Ok(());
    }
    print_grave_findings(&arguments.out, &report)
}

fn print_grave_findings(out: &Path, report: &Report) -> Result<()> {
    let (rows, findings) = (HumanCount(report.rows().unsigned_abs()), report.findings());
    line_on_file(
        out,
        format_args!("{}: {rows} listings, {} findings; the most serious:", out.display(), findings.len()),
    )?;
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Critical) {
        line_on_file(out, format_args!("- {}", finding.text.get(Language::English)))?;
    }
    Ok(())
}

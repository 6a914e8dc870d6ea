//! `probeg import`: imports files into the database.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use clap::Args;
use indicatif::HumanCount;
use storage::Database;
use tables::{Encoding, Limits, RejectsFile};
use training::import::{ImportOptions, Imported, Rejects, describe, import_file};

use crate::context::{Context, today};
use crate::output::out;
use crate::process::Process;
use crate::progress::RowProgress;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg import --market gb listings.csv.gz more.xlsx --rejects rejected.csv")]
pub struct Arguments {
    /// CSV, CSV.gz or XLSX files; each is imported atomically
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Where to write the rejected rows of all files, with file, row, column, value and reason; an existing file is not
    /// overwritten, and the new one is numbered [default: FILE.rejects.csv in this folder, one per file]
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// The encoding of CSV files that are not UTF-8, such as windows-1251
    #[arg(long)]
    encoding: Option<Encoding>,
    #[command(flatten)]
    market: MarketArguments,
}

/// The market of the files of an import.
#[derive(Debug, Args)]
pub struct MarketArguments {
    /// The market of the listings, which determines their currency, units and spellings; see `probeg markets list`
    /// [default: ru]
    #[arg(long, value_name = "MARKET")]
    market: Option<String>,
    /// Import files even if they do not seem to belong to the named market
    #[arg(long, requires = "market")]
    unchecked: bool,
}

impl MarketArguments {
    /// The database with the listings of the market, and whether files are checked against it. Files of no named market are
    /// not.
    pub fn open(&self, context: &Context) -> Result<(Database, bool)> {
        let Some(name) = &self.market else { return Ok((context.database.clone(), false)) };
        let market = context.block_on(context.database.markets().get(name))?;
        let market = market.with_context(|| format!("there is no market {name:?}; see `probeg markets list`"))?;
        Ok((context.block_on(context.database.in_market(&market))?, !self.unchecked))
    }
}

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    for file in &arguments.files {
        anyhow::ensure!(file.exists(), "{} does not exist", file.display());
    }
    let context = Context::open(process)?;
    let (database, is_checked) = arguments.market.open(&context)?;
    let shared = arguments.rejects.clone().map(rejects_file);
    for file in &arguments.files {
        let options = ImportOptions { limits: Limits::trusted(), encoding: arguments.encoding, is_checked };
        import(&context, &database, file, shared.clone(), options)?;
    }
    Ok(())
}

fn rejects_file(path: PathBuf) -> Rejects {
    Arc::new(Mutex::new(RejectsFile::new(path)))
}

/// Imports a file and prints a summary.
pub fn import(
    context: &Context,
    database: &Database,
    file: &Path,
    rejects: Option<Rejects>,
    options: ImportOptions,
) -> Result<()> {
    let rejects = rejects.unwrap_or_else(|| rejects_file(default_rejects_path(file)));
    let progress = RowProgress::new(&format!("importing {}", file.display()));
    let on_rows = |rows| progress.set_rows(rows);
    let work = import_file(database, file, options, Arc::clone(&rejects), today(), &on_rows);
    let imported = context.block_on(work).with_context(|| format!("{} was not imported", file.display()))?;
    progress.end();
    let rejects = rejects.lock().unwrap_or_else(PoisonError::into_inner);
    summarize(file, &imported, rejects.path())
}

fn summarize(file: &Path, imported: &Imported, rejects: &Path) -> Result<()> {
    let counts = imported.counts;
    out!(
        "{}: {} rows, {} added, {} repeated in the file, {} already known, {} rejected",
        file.display(),
        HumanCount(counts.rows + imported.rejected),
        HumanCount(counts.added),
        HumanCount(counts.repeated_in_file),
        HumanCount(counts.already_known),
        HumanCount(imported.rejected),
    )?;
    if !imported.ignored.is_empty() {
        out!("  ignored columns: {}", imported.ignored.join(", "))?;
    }
    for sentence in &imported.shared {
        out!("  {sentence}")?;
    }
    if imported.rejected > 0 {
        out!("  first rejected {}", describe(imported.first_rejected.as_ref()))?;
        out!("  all rejected rows: {}", rejects.display())?;
    }
    Ok(())
}

fn default_rejects_path(file: &Path) -> PathBuf {
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    PathBuf::from(format!("{name}.rejects.csv"))
}

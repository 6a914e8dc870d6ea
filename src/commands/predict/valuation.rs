//! The arguments of `probeg predict`, and what its ways to value a table have in common.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use chrono::NaiveDate;
use clap::Args;
use domain::{Column, Listing};
use onnx_model::Model;
use onnx_model::model::DEFAULT_LEVEL;
use onnx_model::names::CarNames;
use tables::{Encoding, Fault, Limits, Options, Rejection, Source, TableError, ValueError, Valuer};

use crate::commands::train::PROGRAM;
use crate::context::Context;
use crate::output::{err, line_on_file};
use crate::slurm::ClusterOptions;

#[derive(Debug, Args)]
#[command(after_help = "Examples: probeg predict cars.xlsx -o valued.xlsx\n          \
probeg predict --query 'TABLE stock' --into valued_stock")]
pub struct Arguments {
    /// An XLSX or CSV file of cars
    #[arg(required_unless_present = "into")]
    file: Option<PathBuf>,
    /// Where to write the table with prices
    #[arg(short, long, value_name = "FILE", required_unless_present = "into")]
    output: Option<PathBuf>,
    #[command(flatten)]
    pub query: QueryArguments,
    /// A version or an alias [default: the champion]
    #[arg(long, value_name = "VERSION")]
    pub model: Option<String>,
    /// The task, whose champion is the default [default: price]
    #[arg(long)]
    pub task: Option<String>,
    /// The encoding of a CSV file that is not UTF-8, such as windows-1251
    #[arg(long)]
    pub encoding: Option<String>,
    /// Also value cars whose make the model does not know; their intervals are wide
    #[arg(long)]
    pub allow_unknown: bool,
    #[command(flatten)]
    pub cluster: ClusterOptions,
    /// The number of parts into which a cluster cuts a CSV file or the cars of a query
    #[arg(long, value_name = "N", default_value_t = NonZeroUsize::MIN.saturating_add(7))]
    pub parts: NonZeroUsize,
    /// Value one part, and write it to the folder of the output; a cluster does this
    #[arg(long, value_name = "NUMBER", hide = true, conflicts_with = "on")]
    pub part: Option<usize>,
    /// The day of valuations without a date
    #[arg(long, value_name = "DATE", hide = true)]
    pub day: Option<NaiveDate>,
    /// The version of the program that has cut the work
    #[arg(long, value_name = "VERSION", hide = true)]
    pub program: Option<String>,
}

/// Where cars come from and go to instead of files.
#[derive(Debug, Args)]
pub struct QueryArguments {
    /// A query of PostgreSQL for cars, whose columns are recognized like the headers of a file; see also `PROBEG_CARS_URL`
    #[arg(long, value_name = "SELECT", requires = "into")]
    pub query: Option<String>,
    /// The table to make, with the columns of the query and of the prices
    #[arg(long, value_name = "TABLE", conflicts_with_all = ["file", "output", "encoding"])]
    pub into: Option<String>,
    /// A column that identifies a car; may be repeated. The table has only these columns besides the prices [default: all columns]
    #[arg(long, value_name = "COLUMN", requires = "query")]
    pub key: Vec<String>,
    /// Replace the table if it exists
    #[arg(long, requires = "query")]
    pub replace: bool,
}

impl Arguments {
    pub fn file(&self) -> Result<&Path> {
        self.file.as_deref().context("no file of cars was named")
    }

    pub fn output(&self) -> Result<&Path> {
        self.output.as_deref().context("no output was named; use --output")
    }

    /// Refuses to execute a part for another version of the program.
    pub fn check_program(&self) -> Result<()> {
        match self.program.as_deref().filter(|program| *program != PROGRAM) {
            None => Ok(()),
            Some(program) => bail!(
                "this is Probeg {PROGRAM}, but Probeg {program} has cut the work into parts; all machines need the same version"
            ),
        }
    }

    pub fn encoding(&self) -> Result<Option<Encoding>> {
        Ok(self.encoding.as_deref().map(str::parse).transpose()?)
    }

    pub fn source(&self, context: &Context) -> Result<Source<'static>> {
        Ok(Source::file(self.file()?).cancelled_by(Arc::clone(context.stop.flag())))
    }

    pub fn options(&self, model: &Model) -> Result<Options> {
        let market = model.signature().task.market.clone();
        Ok(Options { limits: Limits::trusted(), encoding: self.encoding()?, market, ..Options::default() })
    }
}

/// Lets `work` value listings as of a day.
pub fn with_valuer<T>(
    model: &Model,
    day: NaiveDate,
    allow_unknown: bool,
    work: impl FnOnce(&Valuer<'_, onnx_model::Error>) -> Result<T>,
) -> Result<T> {
    let names = CarNames::new(model.signature());
    let admit = |listing: &mut Listing| {
        names.resolve(listing, &model.signature().task.market);
        let unknown = if allow_unknown { None } else { model.unknown_make(listing) };
        let stated = listing.text(Column::Brand).unwrap_or_default();
        unknown.map(|make| Rejection::unknown_make(stated, &make.to_string(), make.nearest))
    };
    let value = |listings: Vec<Listing>| model.value(&listings, day, DEFAULT_LEVEL);
    let threads = model.threads();
    work(&Valuer { today: day, threads, admit: &admit, presentation: None, observe: None, value: &value })
}

/// The error of a table that was not valued. One that could not be written is the file of the output, not that of the cars.
pub fn failure(error: ValueError<onnx_model::Error>, output: &Path) -> anyhow::Error {
    match error {
        ValueError::Table(TableError { fault: Fault::Write(cause), .. }) => {
            anyhow!("{} cannot be written: {cause}{}", output.display(), files::advice_on(&cause))
        }
        error => error.into(),
    }
}

pub fn report(output: &Path, valued: u64, rows: u64, version: i64) -> Result<()> {
    line_on_file(
        output,
        format_args!("{}: {valued} of {rows} rows valued by model version {version}", output.display()),
    )?;
    Ok(())
}

pub fn report_unused(columns: &[impl AsRef<str>]) {
    if !columns.is_empty() {
        let columns: Vec<&str> = columns.iter().map(AsRef::as_ref).collect();
        err!("columns that were not used: {}", columns.join(", "));
    }
}

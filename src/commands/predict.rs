//! `probeg predict`: adds prices to a table, without a server.

use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use domain::{Column, Listing};
use files::AtomicFile;
use onnx_model::model::DEFAULT_LEVEL;
use tables::{Encoding, Limits, Options, Rejection, Source, Valuer, value_table};

use crate::context::{Context, today};
use crate::output::{err, line_on_file};
use crate::process::Process;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg predict cars.xlsx -o valued.xlsx")]
pub struct Arguments {
    /// An XLSX or CSV file of cars
    file: PathBuf,
    /// Where to write the table with prices
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// A version or an alias [default: the champion]
    #[arg(long, value_name = "VERSION")]
    model: Option<String>,
    /// The task, whose champion is the default [default: price]
    #[arg(long)]
    task: Option<String>,
    /// The encoding of a CSV file that is not UTF-8, such as windows-1251
    #[arg(long)]
    encoding: Option<Encoding>,
    /// Also value cars whose make the model does not know; their intervals are wide
    #[arg(long)]
    allow_unknown: bool,
}

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    ensure!(arguments.file.exists(), "{} does not exist", arguments.file.display());
    let context = Context::open_read_only(process)?;
    let (version, model) = context.model(arguments.model.as_deref(), arguments.task.as_deref())?;
    let market = model.signature().task.market.clone();
    let options = Options { limits: Limits::trusted(), encoding: arguments.encoding, market, ..Options::default() };
    let failed = || format!("{} cannot be written", arguments.output.display());
    let file = AtomicFile::create(&arguments.output).with_context(failed)?;
    let output = BufWriter::new(file.try_clone().with_context(failed)?);
    let source = Source::file(&arguments.file).cancelled_by(Arc::clone(context.stop.flag()));
    let allow_unknown = arguments.allow_unknown;
    let valued = context.compute(move || {
        let day = today();
        let refuse = |listing: &Listing| {
            let unknown = if allow_unknown { None } else { model.unknown_make(listing) };
            let stated = listing.text(Column::Brand).unwrap_or_default();
            unknown.map(|make| Rejection::unknown_make(stated, &make.to_string(), make.nearest))
        };
        let value = |listings: Vec<Listing>| model.value(&listings, day, DEFAULT_LEVEL);
        let valuer = Valuer {
            today: day,
            threads: model.threads(),
            refuse: &refuse,
            presentation: None,
            observe: None,
            value: &value,
        };
        Ok(value_table(source, output, options, &valuer)?)
    })?;
    file.finish().with_context(failed)?;
    line_on_file(
        &arguments.output,
        format_args!(
            "{}: {} of {} rows valued by model version {version}",
            arguments.output.display(),
            valued.counts.valued,
            valued.counts.rows
        ),
    )?;
    let unused = valued.header.unrecognized();
    if !unused.is_empty() {
        err!("columns that were not used: {}", unused.join(", "));
    }
    Ok(())
}

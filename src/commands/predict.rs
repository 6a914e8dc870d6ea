//! `probeg predict`: adds prices to a table, without a server.

mod cluster;
mod part;
mod valuation;

use std::io::BufWriter;

use anyhow::{Context as _, Result, ensure};
use files::AtomicFile;
use tables::value_table;

use crate::context::{Context, today};
use crate::process::Process;
pub use valuation::Arguments;
use valuation::{report, report_unused, with_valuer};

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    ensure!(arguments.file.exists(), "{} does not exist", arguments.file.display());
    arguments.encoding()?;
    match arguments.part {
        Some(part) => part::value(process, arguments, part),
        None if arguments.cluster.on.is_some() => cluster::predict(process, arguments),
        None => predict(process, arguments),
    }
}

fn predict(process: &Process, arguments: &Arguments) -> Result<()> {
    let context = Context::open_read_only(process)?;
    let (version, model) = context.model(arguments.model.as_deref(), arguments.task.as_deref())?;
    let failed = || format!("{} cannot be written", arguments.output.display());
    let file = AtomicFile::create(&arguments.output).with_context(failed)?;
    let output = BufWriter::new(file.try_clone().with_context(failed)?);
    let source = arguments.source(&context);
    let options = arguments.options(&model)?;
    let allow_unknown = arguments.allow_unknown;
    let valued = context.compute(move || {
        with_valuer(&model, today(), allow_unknown, |valuer| Ok(value_table(source, output, options, valuer)?))
    })?;
    file.finish().with_context(failed)?;
    report(&arguments.output, valued.counts.valued, valued.counts.rows, version)?;
    report_unused(&valued.header.unrecognized());
    Ok(())
}

//! `probeg predict`: adds prices to a table of a file or of a database, without a server.

mod cluster;
mod part;
mod query;
mod valuation;

use std::io::BufWriter;

use anyhow::{Context as _, Result, ensure};
use files::AtomicFile;
use tables::value_table;

use crate::context::{Context, today};
use crate::process::Process;
pub use valuation::Arguments;
use valuation::{failure, report, report_unused, with_valuer};

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    if let Some(part) = arguments.part {
        let count = arguments.parts.get();
        ensure!(part < count, "there are {count} parts, from 0 to {}", count - 1);
        arguments.check_program()?;
    }
    if let Some(table) = &arguments.query.into {
        return query::run(process, arguments, table);
    }
    let file = arguments.file()?;
    ensure!(file.exists(), "{} does not exist", file.display());
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
    let output = arguments.output()?;
    let failed = || format!("{} cannot be written", output.display());
    let file = AtomicFile::create(output).with_context(failed)?;
    let writer = BufWriter::new(file.try_clone().with_context(failed)?);
    let source = arguments.source(&context)?;
    let options = arguments.options(&model)?;
    let (allow_unknown, written) = (arguments.allow_unknown, output.to_owned());
    let valued = context.compute(move || {
        with_valuer(&model, today(), allow_unknown, |valuer| {
            value_table(source, writer, options, valuer).map_err(|error| failure(error, &written))
        })
    })?;
    file.finish().with_context(failed)?;
    report(output, valued.counts.valued, valued.counts.rows, version)?;
    report_unused(&valued.header.unrecognized());
    Ok(())
}

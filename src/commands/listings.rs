//! `probeg listings`: the stored listings of a split as CSV, to train a model elsewhere.

use std::io::BufWriter;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use domain::identity::Split;
use domain::{Column, Value};
use files::AtomicFile;
use storage::ListingChunk;
use training::stream::ListingStream;

use crate::context::Context;
use crate::output::line_on_file;
use crate::process::Process;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg listings --split train -o train.csv")]
pub struct Arguments {
    /// Which listings: a model for `probeg models import` may learn from those for training and validation, and must not see
    /// those for testing
    #[arg(long, default_value = "train")]
    split: SplitName,
    /// The task whose listings to write [default: price]
    #[arg(long)]
    task: Option<String>,
    /// The CSV file to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SplitName {
    Train,
    Validation,
    Test,
}

pub fn run(process: &Process, arguments: &Arguments) -> Result<()> {
    let context = Context::open(process)?;
    let split = match arguments.split {
        SplitName::Train => Split::Train,
        SplitName::Validation => Split::Validation,
        SplitName::Test => Split::Test,
    };
    let task = context.task(arguments.task.as_deref())?;
    let snapshot = context.snapshot(&task)?;
    let failed = || format!("{} cannot be written", arguments.output.display());
    let file = AtomicFile::create(&arguments.output).with_context(failed)?;
    let output = BufWriter::new(file.try_clone().with_context(failed)?);
    let (handle, stop) = (context.tokio.clone(), Arc::clone(context.stop.flag()));
    let rows = context.compute(move || {
        let mut stream = ListingStream::new(snapshot, 0, true, &handle, &stop)?;
        write_listings(&mut stream, split, task.target, csv::Writer::from_writer(output))
    })?;
    file.finish().with_context(failed)?;
    line_on_file(&arguments.output, format_args!("{}: {rows} listings", arguments.output.display()))?;
    Ok(())
}

/// Writes the descriptive columns, in the units that models expect, and the target; returns the number of listings.
fn write_listings(
    stream: &mut ListingStream<'_>,
    split: Split,
    target: Column,
    mut writer: csv::Writer<impl std::io::Write>,
) -> Result<usize> {
    let columns = Column::descriptive();
    writer.write_record(columns.iter().chain([&target]).map(|column| column.name()))?;
    let (mut rows, mut result) = (0, Ok(()));
    stream.scan(split, |chunk| {
        result = write_chunk(chunk, &mut writer);
        rows += chunk.len();
        Ok(result.is_ok())
    })?;
    result?;
    writer.flush()?;
    Ok(rows)
}

fn write_chunk(chunk: &ListingChunk, writer: &mut csv::Writer<impl std::io::Write>) -> csv::Result<()> {
    for row in 0..chunk.len() {
        let listing = chunk.listing(row);
        let cells = Column::descriptive().iter().map(|column| match listing.get(*column) {
            Some(Value::Text(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            Some(Value::Date(date)) => date.to_string(),
            None => String::new(),
        });
        writer.write_record(cells.chain([chunk.target(row).to_string()]))?;
    }
    Ok(())
}

//! A part of a CSV file that a cluster values: every so many batches of rows.

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use files::{AtomicFile, write_atomic};
use serde::{Deserialize, Serialize};
use tables::{Stripe, ValuedTable, value_stripe};

use super::valuation::{Arguments, failure, with_valuer};
use crate::context::{Context, today};
use crate::process::Process;

/// What a part has written, for putting the parts together. It is written last, so a part that has it is complete.
#[derive(Debug, Serialize, Deserialize)]
pub struct PartIndex {
    pub valued: u64,
    pub rows: u64,
    /// The columns that were not used.
    pub unused: Vec<String>,
    /// The size of each batch in bytes.
    pub sizes: Vec<u64>,
}

impl PartIndex {
    /// Reads the index of a part in a folder; `None` if the part is not complete.
    pub fn read(folder: &Path, part: usize) -> Result<Option<Self>> {
        let path = index_path(folder, part);
        if !path.exists() {
            return Ok(None);
        }
        let failed = || format!("{} cannot be read", path.display());
        Ok(Some(serde_json::from_slice(&std::fs::read(&path).with_context(failed)?).with_context(failed)?))
    }
}

/// The valued rows of a part in a folder.
pub fn rows_path(folder: &Path, part: usize) -> PathBuf {
    folder.join(format!("{part}.csv"))
}

fn index_path(folder: &Path, part: usize) -> PathBuf {
    folder.join(format!("{part}.json"))
}

/// Values a part of the file, and writes it to the folder of the output.
pub fn value(process: &Process, arguments: &Arguments, part: usize) -> Result<()> {
    let (folder, count) = (arguments.output()?, arguments.parts.get());
    let context = Context::open_read_only(process)?;
    let (version, model) = context.model(arguments.model.as_deref(), arguments.task.as_deref())?;
    // The other processors are for other parts.
    let model = model.with_threads(1);
    let path = rows_path(folder, part);
    let failed = || format!("{} cannot be written", path.display());
    let file = AtomicFile::create(&path).with_context(failed)?;
    let output = BufWriter::new(file.try_clone().with_context(failed)?);
    let source = arguments.source(&context)?;
    let options = arguments.options(&model)?;
    let written = path.clone();
    let (day, allow_unknown) = (arguments.day.unwrap_or_else(today), arguments.allow_unknown);
    let stripe = Stripe { index: part, count };
    let (ValuedTable { counts, header }, sizes) = context.compute(move || {
        with_valuer(&model, day, allow_unknown, |valuer| {
            value_stripe(source, output, options, valuer, stripe).map_err(|error| failure(error, &written))
        })
    })?;
    file.finish().with_context(failed)?;
    let unused = header.unrecognized().into_iter().map(str::to_owned).collect();
    let index = PartIndex { valued: counts.valued, rows: counts.rows, unused, sizes };
    let path = index_path(folder, part);
    write_atomic(&path, &serde_json::to_vec(&index)?)
        .with_context(|| format!("{} cannot be written", path.display()))?;
    super::valuation::report(&rows_path(folder, part), counts.valued, counts.rows, version)
}

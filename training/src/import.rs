//! Imports a file of listings atomically.

mod plausibility;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::NaiveDate;
use domain::{Column, PricedListing};
use storage::{Database, Import, ImportCounts};
use tables::{Encoding, Header, Limits, Options, Rejection, RejectsFile, Source, Table};
use tokio::sync::mpsc;

use crate::Error;
use plausibility::FileSample;
pub use plausibility::Implausible;

/// The result of an import.
#[derive(Clone, Debug)]
pub struct Imported {
    /// The counts of accepted rows.
    pub counts: ImportCounts,
    /// The number of rejected rows.
    pub rejected: u64,
    /// The first rejected row: its number and its rejections.
    pub first_rejected: Option<(u64, Vec<Rejection>)>,
    /// The headers of ignored columns.
    pub ignored: Vec<String>,
    /// A sentence for each column with more than one header.
    pub shared: Vec<String>,
}

/// The number of rows to send to the database together.
const BATCH_ROWS: usize = 4096;

/// The file of rejected rows, shared by several imports.
pub type Rejects = Arc<Mutex<RejectsFile>>;

/// How to read a file of listings.
#[derive(Clone, Debug)]
pub struct ImportOptions {
    /// The limits on the file.
    pub limits: Limits,
    /// The encoding of a CSV file; by default UTF-8.
    pub encoding: Option<Encoding>,
    /// Whether a file that does not seem to belong to the market is rejected.
    pub is_checked: bool,
}

/// Imports one file into the market of the database. Rejected rows are written to `rejects`; `on_rows` receives the number of rows read so far.
///
/// # Errors
/// The file cannot be read, has no valid rows, does not seem to belong to its market, or the database fails. Nothing is imported
/// then.
pub async fn import_file(
    database: &Database,
    path: &Path,
    options: ImportOptions,
    rejects: Rejects,
    today: NaiveDate,
    on_rows: &(dyn Fn(u64) + Sync),
) -> Result<Imported, Error> {
    let ImportOptions { limits, encoding, is_checked } = options;
    let options = Options {
        limits,
        encoding,
        target: Some(Column::Price),
        market: database.market().clone(),
        ..Options::default()
    };
    let mut sample = is_checked.then(FileSample::new);
    let (batches, mut received) = mpsc::channel(4);
    let source = path.to_owned();
    let reader = tokio::task::spawn_blocking(move || read_rows(source, options, &rejects, today, &batches));
    let mut import = None;
    let mut rows = 0;
    while let Some(batch) = received.recv().await {
        // The import starts with the first accepted row, so that a rejected file leaves no trace.
        let import = match &mut import {
            Some(import) => import,
            empty => empty.insert(Import::begin(database, &path.display().to_string()).await?),
        };
        import.write(&batch).await?;
        if let Some(sample) = &mut sample {
            for row in &batch {
                sample.offer(row);
            }
        }
        rows += batch.len() as u64;
        on_rows(rows);
    }
    let ReadSummary { header, rejected, first_rejected } = reader.await.map_err(|_| Error::ThreadStopped)??;
    let Some(import) = import else {
        return Err(Error::NothingToImport {
            file: path.to_owned(),
            rejected,
            first: describe(first_rejected.as_ref()),
        });
    };
    if let Some(sample) = sample {
        // Dropping the import discards its rows.
        sample
            .check(database.market())
            .map_err(|cause| Error::Implausible { file: path.to_owned(), cause: Box::new(cause) })?;
    }
    let counts = import.finish(rejected).await?;
    let ignored = header.unrecognized().into_iter().map(str::to_owned).collect();
    Ok(Imported { counts, rejected, first_rejected, ignored, shared: header.describe_shared() })
}

/// The result of the reader, apart from valid rows.
struct ReadSummary {
    header: Header,
    rejected: u64,
    first_rejected: Option<(u64, Vec<Rejection>)>,
}

fn read_rows(
    path: PathBuf,
    options: Options,
    rejects: &Rejects,
    today: NaiveDate,
    batches: &mpsc::Sender<Vec<PricedListing>>,
) -> Result<ReadSummary, Error> {
    let file = path.display().to_string();
    let mut table = Table::open(Source::file(path), options)?;
    let header = table.header().clone();
    let mut rejects = rejects.lock().unwrap_or_else(PoisonError::into_inner);
    let (mut rejected, mut first_rejected) = (0, None);
    let mut batch = Vec::with_capacity(BATCH_ROWS);
    for row in table.rows()? {
        let row = row?;
        match row.priced(&header, today) {
            Ok(listing) => batch.push(listing),
            Err(rejections) => {
                rejected += 1;
                rejects.write(&file, row.number(), &rejections)?;
                first_rejected.get_or_insert((row.number(), rejections));
            }
        }
        // The receiver is gone if it failed.
        if batch.len() == BATCH_ROWS
            && batches.blocking_send(std::mem::replace(&mut batch, Vec::with_capacity(BATCH_ROWS))).is_err()
        {
            break;
        }
    }
    if !batch.is_empty() {
        let _ = batches.blocking_send(batch);
    }
    rejects.publish()?;
    Ok(ReadSummary { header, rejected, first_rejected })
}

/// Describes a rejected row in a sentence.
#[must_use]
pub fn describe(rejected: Option<&(u64, Vec<Rejection>)>) -> String {
    let Some((row, rejections)) = rejected else { return "it has no rows below its header".to_owned() };
    let reasons: Vec<String> = rejections
        .iter()
        .map(|Rejection { column, value, reason, .. }| {
            let got = if value.is_empty() { String::new() } else { format!(" (got {value:?})") };
            format!("{column} {reason}{got}").trim_start().to_owned()
        })
        .collect();
    format!("row {row}: {}", reasons.join("; "))
}

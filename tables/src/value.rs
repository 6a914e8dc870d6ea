//! Valuing a table: the same table again, with prices beside its rows.

mod delimited;
mod package;
mod sheet;
mod xml;

use std::borrow::Cow;
use std::io::{Seek, Write};
use std::ops::AddAssign;

use chrono::NaiveDate;
use crossbeam_channel::{Receiver, Sender};
use domain::{Listing, Valuation};

use crate::error::{Fault, TableError};
use crate::header::Header;
use crate::row::{Rejection, Row};
use crate::source::Source;
use crate::table::{Content, Options, Rows, Table};

/// How many rows were valued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Rows that hold anything.
    pub rows: u64,
    /// Rows that have a price now.
    pub valued: u64,
}

/// Why a table was not valued.
#[derive(Debug, thiserror::Error)]
pub enum ValueError<E> {
    /// The table could not be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The valuation itself failed.
    #[error("{0}")]
    Value(E),
}

/// How the rows of a table are valued.
pub struct Valuing<'v, E> {
    /// The day of listings without one.
    pub today: NaiveDate,
    /// Threads in which a workbook's rows are valued, beside the one that reads them.
    pub threads: usize,
    /// Gives back a valuation for each listing, in order.
    pub value: &'v (dyn Fn(Vec<Listing>) -> Result<Vec<Valuation>, E> + Sync),
}

/// Writes the table of `source` to `output` in its own format (CSV.gz as CSV) with the columns
/// `predict_value`, `predict_low`, `predict_high` and `predict_status` behind its last one.
///
/// In a workbook nothing else changes: other sheets, formats, formulas and texts stay, byte for byte.
/// A row that cannot be valued says why in `predict_status`; an empty row stays empty.
///
/// # Errors
/// The table cannot be read or written, or `value` failed. `output` then holds nothing of use.
///
/// # Panics
/// `value` gives back another number of values than it was given listings.
pub fn value_table<E: Send>(
    source: Source<'_>,
    mut output: impl Write + Seek,
    options: Options,
    valuing: &Valuing<'_, E>,
) -> Result<Summary, ValueError<E>> {
    let mut table = Table::open(source, options)?;
    if let Content::Delimited { format, delimiter } = table.content {
        return delimited::value(&table, format, delimiter, &mut output, valuing);
    }
    value_workbook(&mut table, &mut output, valuing)
}

const COLUMNS: [&str; 4] = ["predict_value", "predict_low", "predict_high", "predict_status"];
/// The rows of a workbook that are valued together.
const BATCH: usize = 256;
/// Longest status, in characters.
const LONGEST_STATUS: usize = 500;

/// The columns of a sheet.
const EXCEL_COLUMNS: u32 = 16_384;

/// What is written beside a row.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// Price, lower and upper end.
    prices: Option<[f64; 3]>,
    status: Cow<'static, str>,
}

impl<E> Valuing<'_, E> {
    /// The outcomes of rows, in order, and how many of them were valued.
    fn outcomes(&self, header: &Header, rows: &[Row]) -> Result<(Vec<Outcome>, Summary), E> {
        let mut listings = Vec::with_capacity(rows.len());
        let mut rejected: Vec<Option<Vec<Rejection>>> = Vec::with_capacity(rows.len());
        for row in rows {
            match row.listing(header, self.today) {
                Ok(listing) => {
                    listings.push(listing);
                    rejected.push(None);
                }
                Err(rejections) => rejected.push(Some(rejections)),
            }
        }
        let expected = listings.len();
        let values = if expected == 0 { Vec::new() } else { (self.value)(listings)? };
        assert_eq!(values.len(), expected, "a value for each listing");
        let mut values = values.into_iter();
        let outcomes = rejected.into_iter().filter_map(|rejected| match rejected {
            Some(rejections) => Some(Outcome::rejected(&rejections)),
            None => values.next().map(|value| Outcome::valued(&value)),
        });
        Ok((outcomes.collect(), Summary { rows: rows.len() as u64, valued: expected as u64 }))
    }
}

impl AddAssign for Summary {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.valued += other.valued;
    }
}

impl Outcome {
    fn valued(valuation: &Valuation) -> Self {
        let notes: Vec<&str> = valuation.warnings.iter().map(|warning| warning.message.as_str()).collect();
        let status = if notes.is_empty() {
            Cow::Borrowed("ok")
        } else {
            Cow::Owned(shorten(format!("ok: {}", notes.join("; "))))
        };
        // Money is written without a fraction.
        Self { prices: Some([valuation.price, valuation.low, valuation.high].map(f64::round)), status }
    }

    fn rejected(rejections: &[Rejection]) -> Self {
        let reasons: Vec<String> = rejections.iter().map(Rejection::to_string).collect();
        Self { prices: None, status: Cow::Owned(shorten(reasons.join("; "))) }
    }
}

fn shorten(status: String) -> String {
    if status.chars().count() <= LONGEST_STATUS { status } else { status.chars().take(LONGEST_STATUS).collect() }
}

/// The new headers, each made unlike those that are there.
fn titles(header: &Header) -> [String; 4] {
    COLUMNS.map(|name| {
        let taken = |title: &str| header.headers.iter().any(|header| header.trim().eq_ignore_ascii_case(title));
        let numbered = (2..).map(|number| format!("{name} ({number})"));
        std::iter::once(name.to_owned()).chain(numbered).find(|title| !taken(title)).unwrap_or_default()
    })
}

/// Values the rows of a sheet first and adds the outcomes to its XML then, so that nothing but
/// them differs from the user's workbook.
fn value_workbook<E: Send>(
    table: &mut Table<'_>,
    output: &mut (impl Write + Seek),
    valuing: &Valuing<'_, E>,
) -> Result<Summary, ValueError<E>> {
    let header = table.header().clone();
    let source = table.source().clone();
    let failed = |fault: Fault| ValueError::Table(fault.in_file(source.name()));
    let mut rows = table.rows()?;
    let (outcomes, summary) = value_rows(&mut rows, &header, valuing)?;
    let first_column = rows.columns();
    drop(rows);
    if first_column + 4 > EXCEL_COLUMNS {
        return Err(failed(Fault::TooLarge("its sheet has no room for four more columns".to_owned())));
    }
    let Content::Workbook(workbook) = &table.content else { return Ok(summary) };
    let place = header.sheet.as_deref().and_then(|sheet| workbook.place_of(sheet)).unwrap_or_default();
    let additions = sheet::Additions::new(&header, first_column, outcomes);
    package::rewrite(&source, place, &additions, output).map_err(failed)?;
    Ok(summary)
}

/// An outcome beside the number of its row.
type Numbered = (u32, Outcome);

/// Values rows in threads, while this one reads on. The outcomes are in the order of the rows.
fn value_rows<E: Send>(
    rows: &mut Rows<'_, '_>,
    header: &Header,
    valuing: &Valuing<'_, E>,
) -> Result<(Vec<Numbered>, Summary), ValueError<E>> {
    let threads = valuing.threads.max(1);
    let (give, batches) = crossbeam_channel::bounded::<(usize, Vec<Row>)>(threads);
    let work = |batches: Receiver<(usize, Vec<Row>)>| -> Result<Vec<_>, E> {
        let value = |(place, rows): (usize, Vec<Row>)| {
            let (outcomes, summary) = valuing.outcomes(header, &rows)?;
            let numbers = rows.iter().map(|row| u32::try_from(row.number()).unwrap_or(u32::MAX));
            Ok((place, numbers.zip(outcomes).collect::<Vec<Numbered>>(), summary))
        };
        batches.iter().map(value).collect()
    };
    let results = std::thread::scope(|scope| {
        let start = |batches| scope.spawn(move || work(batches));
        let workers: Vec<_> = (0..threads).map(|_| start(batches.clone())).collect();
        // Those who take batches are all gone once each has failed.
        drop(batches);
        let read = give_batches(rows, &give);
        drop(give);
        let results: Vec<_> = workers.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        read.map(|()| results)
    })?;
    let mut batches = Vec::new();
    for result in results {
        // A panic of the caller's own goes on here.
        let result = result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        batches.extend(result.map_err(ValueError::Value)?);
    }
    batches.sort_unstable_by_key(|(place, ..)| *place);
    let mut summary = Summary::default();
    let mut outcomes = Vec::new();
    for (_, batch, part) in batches {
        summary += part;
        outcomes.extend(batch);
    }
    Ok((outcomes, summary))
}

/// Reads batches until the rows, or those who take them, come to an end.
fn give_batches(rows: &mut Rows<'_, '_>, give: &Sender<(usize, Vec<Row>)>) -> Result<(), TableError> {
    for place in 0.. {
        let batch = rows.take(BATCH).collect::<Result<Vec<Row>, _>>()?;
        if batch.is_empty() || give.send((place, batch)).is_err() {
            break;
        }
    }
    Ok(())
}

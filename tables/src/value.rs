//! Valuing a table: the same table again, with prices beside its rows.

mod delimited;
mod package;
mod sheet;
mod xml;

use std::borrow::Cow;
use std::collections::BTreeMap;
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
    mut output: impl Write + Seek + Send,
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

    fn batch(&self, header: &Header, rows: &[Row]) -> Batch<E> {
        let (outcomes, summary) = self.outcomes(header, rows)?;
        Ok((rows.iter().map(number).zip(outcomes).collect(), summary))
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

/// Values the rows of a sheet, and then reads its XML again to add the outcomes, so that nothing but
/// them differs from the user's workbook. Rows are valued in threads of their own meanwhile.
fn value_workbook<E: Send>(
    table: &mut Table<'_>,
    output: &mut (impl Write + Seek + Send),
    valuing: &Valuing<'_, E>,
) -> Result<Summary, ValueError<E>> {
    let header = table.header().clone();
    let source = table.source().clone();
    let failed = |fault: Fault| ValueError::Table(fault.in_file(source.name()));
    let (give, batches) = crossbeam_channel::bounded::<(usize, Vec<Row>)>(WAITING);
    let (answer, answers) = crossbeam_channel::unbounded();
    let work = |batches: Receiver<(usize, Vec<Row>)>, answer: Sender<_>| {
        // Nobody takes answers any more once the writing has failed.
        batches.iter().try_for_each(|(place, rows)| answer.send((place, valuing.batch(&header, &rows))).ok());
    };
    std::thread::scope(|scope| {
        for _ in 0..valuing.threads.max(1) {
            let (batches, answer) = (batches.clone(), answer.clone());
            scope.spawn(move || work(batches, answer));
        }
        drop((batches, answer));
        let mut rows = table.rows()?;
        let last_row = give_batches(&mut rows, &give)?;
        drop(give);
        let first_column = rows.columns();
        drop(rows);
        if first_column + 4 > EXCEL_COLUMNS {
            return Err(failed(Fault::TooLarge("its sheet has no room for four more columns".to_owned())));
        }
        let Content::Workbook(workbook) = &table.content else { return Ok(Summary::default()) };
        let place = header.sheet.as_deref().and_then(|sheet| workbook.place_of(sheet)).unwrap_or_default();
        let additions = sheet::Additions::new(&header, first_column, last_row);
        let mut outcomes = Outcomes::new(answers);
        let written = package::rewrite(&source, place, &additions, &mut outcomes, output);
        match outcomes.failure {
            Some(failure) => Err(ValueError::Value(failure)),
            None => written.map(|()| outcomes.summary).map_err(failed),
        }
    })
}

/// Batches that may wait to be valued: so many that a short sheet is read before it is valued, and can be written
/// meanwhile.
const WAITING: usize = 64;

/// Reads batches until the rows, or those who take them, come to an end. Returns the number of the last row.
fn give_batches(rows: &mut Rows<'_, '_>, give: &Sender<(usize, Vec<Row>)>) -> Result<Option<u32>, TableError> {
    let mut last = None;
    for place in 0.. {
        let batch = rows.take(BATCH).collect::<Result<Vec<Row>, _>>()?;
        let Some(row) = batch.last() else { break };
        last = Some(number(row));
        if give.send((place, batch)).is_err() {
            break;
        }
    }
    Ok(last)
}

fn number(row: &Row) -> u32 {
    u32::try_from(row.number()).unwrap_or(u32::MAX)
}

/// An outcome beside the number of its row.
type Numbered = (u32, Outcome);
/// What came of a batch.
type Batch<E> = Result<(Vec<Numbered>, Summary), E>;

/// The outcomes in the order of the rows, as they come.
struct Outcomes<E> {
    answers: Receiver<(usize, Batch<E>)>,
    /// Batches before which others are still missing.
    early: BTreeMap<usize, Vec<Numbered>>,
    next_batch: usize,
    batch: std::vec::IntoIter<Numbered>,
    summary: Summary,
    failure: Option<E>,
}

impl<E> Outcomes<E> {
    fn new(answers: Receiver<(usize, Batch<E>)>) -> Self {
        let (early, batch) = (BTreeMap::new(), Vec::new().into_iter());
        Self { answers, early, next_batch: 0, batch, summary: Summary::default(), failure: None }
    }
}

impl<E> Iterator for Outcomes<E> {
    type Item = Numbered;

    fn next(&mut self) -> Option<Numbered> {
        loop {
            if let Some(outcome) = self.batch.next() {
                return Some(outcome);
            }
            if let Some(batch) = self.early.remove(&self.next_batch) {
                self.batch = batch.into_iter();
                self.next_batch += 1;
                continue;
            }
            match self.answers.recv().ok()? {
                (place, Ok((batch, summary))) => {
                    self.summary += summary;
                    self.early.insert(place, batch);
                }
                (_, Err(failure)) => {
                    self.failure = Some(failure);
                    return None;
                }
            }
        }
    }
}

//! Valuing a table: the same table again, with prices beside its rows.

mod delimited;
mod package;
mod sheet;
mod xml;

use std::borrow::Cow;
use std::io::{Seek, Write};

use chrono::NaiveDate;
use domain::{Listing, Valuation};

use crate::error::{Fault, TableError};
use crate::header::Header;
use crate::row::{Rejection, Row};
use crate::source::Source;
use crate::table::{Content, Options, Table};

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

/// Writes the table of `source` to `output` in its own format (CSV.gz as CSV) with the columns
/// `predict_value`, `predict_low`, `predict_high` and `predict_status` behind its last one. `value`
/// is given up to 1,024 listings at a time and gives back one valuation for each, in order.
///
/// In a workbook nothing else changes: other sheets, formats, formulas and texts stay, byte for byte.
/// A row that cannot be valued says why in `predict_status`; an empty row stays empty.
///
/// # Errors
/// The table cannot be read or written, or `value` failed. `output` then holds nothing of use.
///
/// # Panics
/// `value` gives back another number of values than it was given listings.
pub fn value_table<E>(
    source: Source<'_>,
    mut output: impl Write + Seek,
    options: Options,
    today: NaiveDate,
    value: &mut dyn FnMut(Vec<Listing>) -> Result<Vec<Valuation>, E>,
) -> Result<Summary, ValueError<E>> {
    let mut table = Table::open(source, options)?;
    let valuing = Valuing { today, value, summary: Summary::default() };
    if let Content::Delimited { format, delimiter } = table.content {
        return delimited::value(&table, format, delimiter, &mut output, valuing);
    }
    value_workbook(&mut table, &mut output, valuing)
}

const COLUMNS: [&str; 4] = ["predict_value", "predict_low", "predict_high", "predict_status"];
/// The listings that are valued together.
const BATCH: usize = 1024;
/// Longest status, in characters.
const LONGEST_STATUS: usize = 2_000;

/// The columns of a sheet.
const EXCEL_COLUMNS: u32 = 16_384;

/// What is written beside a row.
#[derive(Debug, PartialEq)]
struct Outcome {
    /// Price, lower and upper end.
    prices: Option<[f64; 3]>,
    status: Cow<'static, str>,
}

/// The valuation of rows, a batch at a time.
struct Valuing<'v, E> {
    today: NaiveDate,
    value: &'v mut dyn FnMut(Vec<Listing>) -> Result<Vec<Valuation>, E>,
    summary: Summary,
}

impl<E> Valuing<'_, E> {
    /// The outcomes of rows, in order.
    fn value(&mut self, header: &Header, rows: &[Row]) -> Result<Vec<Outcome>, E> {
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
        self.summary.rows += rows.len() as u64;
        self.summary.valued += expected as u64;
        let mut values = values.into_iter();
        let outcomes = rejected.into_iter().filter_map(|rejected| match rejected {
            Some(rejections) => Some(Outcome::rejected(&rejections)),
            None => values.next().map(|value| Outcome::valued(&value)),
        });
        Ok(outcomes.collect())
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
fn value_workbook<E>(
    table: &mut Table<'_>,
    output: &mut (impl Write + Seek),
    mut valuing: Valuing<'_, E>,
) -> Result<Summary, ValueError<E>> {
    let header = table.header().clone();
    let source = table.source().clone();
    let failed = |fault: Fault| ValueError::Table(fault.in_file(source.name()));
    let mut outcomes: Vec<(u32, Outcome)> = Vec::new();
    let mut batch = Vec::with_capacity(BATCH);
    let mut rows = table.rows()?;
    loop {
        let row = rows.next().transpose()?;
        let ended = row.is_none();
        batch.extend(row);
        if batch.len() == BATCH || ended {
            let values = valuing.value(&header, &batch).map_err(ValueError::Value)?;
            let numbers = batch.drain(..).map(|row| u32::try_from(row.number()).unwrap_or(u32::MAX));
            outcomes.extend(numbers.zip(values));
        }
        if ended {
            break;
        }
    }
    let first_column = rows.columns();
    drop(rows);
    if first_column + 4 > EXCEL_COLUMNS {
        return Err(failed(Fault::TooLarge("its sheet has no room for four more columns".to_owned())));
    }
    let Content::Workbook(workbook) = &table.content else { return Ok(valuing.summary) };
    let place = header.sheet.as_deref().and_then(|sheet| workbook.place_of(sheet)).unwrap_or_default();
    let additions = sheet::Additions::new(&header, first_column, outcomes);
    package::rewrite(&source, place, &additions, output).map_err(failed)?;
    Ok(valuing.summary)
}

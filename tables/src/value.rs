//! Valuing a table: the same table again, with prices beside its rows.

mod delimited;
mod package;
mod pipeline;
mod splice;

use std::borrow::Cow;
use std::io::{Seek, Write};
use std::ops::AddAssign;

use chrono::NaiveDate;
use domain::{Listing, Valuation};

use crate::error::{Fault, TableError};
use crate::header::Header;
use crate::row::{Rejection, Row};
use crate::source::Source;
use crate::table::{Content, Options, Table};
use crate::workbook::Workbook;
use splice::Additions;

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
/// In a workbook the first visible sheet with the required headers is valued, and nothing else changes: other sheets,
/// formats, formulas and texts stay, byte for byte. A row that cannot be valued says why in `predict_status`; an empty
/// row stays empty.
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
/// Longest status, in characters.
const LONGEST_STATUS: usize = 500;

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

/// Values the sheet of a workbook: once it is known to be good, its XML is copied row by row, each with what was found for
/// it, so that nothing but that differs from the user's workbook.
fn value_workbook<E: Send>(
    table: &mut Table<'_>,
    output: &mut (impl Write + Seek + Send),
    valuing: &Valuing<'_, E>,
) -> Result<Summary, ValueError<E>> {
    let header = table.header().clone();
    let source = table.source().clone();
    let limits = table.options().limits.clone();
    let Content::Workbook { workbook, sheet } = &mut table.content else { return Ok(Summary::default()) };
    let additions =
        measure(workbook, *sheet, &header).map_err(|fault| ValueError::Table(fault.in_file(source.name())))?;
    let sheet = package::ValuedSheet { workbook, sheet: *sheet, header: &header, additions: &additions };
    package::write(&source, sheet, &limits, output, valuing).map_err(|stop| match stop {
        Stop::Fault(fault) => ValueError::Table(fault.in_file(source.name())),
        Stop::Value(error) => ValueError::Value(error),
    })
}

fn measure(workbook: &mut Workbook<'_>, sheet: usize, header: &Header) -> Result<Additions, Fault> {
    if workbook.has_macros() {
        let found = "a workbook with macros";
        return Err(Fault::NotATable { found, advice: "save it as .xlsx, without them" });
    }
    let row = u32::try_from(header.row).unwrap_or(u32::MAX);
    Additions::new(header, workbook.measure(sheet, row)?)
}

/// Why the valuing of a workbook ended before its end.
enum Stop<E> {
    Fault(Fault),
    Value(E),
}

impl<E> From<Fault> for Stop<E> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

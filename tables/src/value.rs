//! Values a table: writes a copy with prices added to its rows.

mod delimited;
mod edits;
mod outcome;
mod package;
mod pipeline;
mod presentation;
mod splice;
mod summary;

use std::io::{Seek, Write};

use crate::error::Fault;
use crate::header::Header;
use crate::source::Source;
use crate::table::{Content, Options, Table};
use crate::workbook::Workbook;
pub use delimited::Stripe;
use outcome::WorkbookError;
pub use outcome::{RowResult, ValueError, ValuedCounts, ValuedTable, Valuer};
use pipeline::ValuedSheet;
pub use presentation::Presentation;
use splice::Additions;

/// Writes the table of `source` to `output` in the same format (CSV.gz as CSV) with the columns
/// `predict_value`, `predict_low`, `predict_high` and `predict_status` appended.
///
/// In a workbook the first visible sheet with the required headers is valued. Everything else, such as other sheets,
/// formats and formulas, is copied byte for byte. If a row cannot be valued, `predict_status` says why; an empty row
/// stays empty.
///
/// With a [`Presentation`], a workbook is for people: the new columns have headers in the language of the sheet and formats,
/// prices are rounded to what the model knows, filters and tables that end before the new columns span them, and another sheet
/// has a summary, which also names the columns that were not used.
///
/// # Errors
/// The table cannot be read or written, or `value` failed. The output is then incomplete.
///
/// # Panics
/// `value` returns a different number of valuations than listings.
pub fn value_table<E: Send>(
    source: Source<'_>,
    mut output: impl Write + Seek + Send,
    options: Options,
    valuer: &Valuer<'_, E>,
) -> Result<ValuedTable, ValueError<E>> {
    let mut table = Table::open(source, options)?;
    let counts = if let Content::Delimited { format, delimiter } = table.content {
        delimited::value(&table, (format, delimiter), &mut output, valuer, None)?.0
    } else {
        value_workbook(&mut table, &mut output, valuer)?
    };
    Ok(ValuedTable { counts, header: table.header().clone() })
}

/// Writes a share of the batches of a CSV file as [`value_table`] writes all of them, with the size of each, so that the shares of
/// several processes can be put together.
///
/// # Errors
/// Those of [`value_table`]; also for a workbook.
pub fn value_stripe<E: Send>(
    source: Source<'_>,
    mut output: impl Write + Send,
    options: Options,
    valuer: &Valuer<'_, E>,
    stripe: Stripe,
) -> Result<(ValuedTable, Vec<u64>), ValueError<E>> {
    let table = Table::open(source, options)?;
    let Content::Delimited { format, delimiter } = table.content else {
        let fault = Fault::NotATable { found: "a workbook", advice: "only CSV files can be cut into parts" };
        return Err(ValueError::Table(fault.in_file(table.source().name())));
    };
    let (counts, sizes) = delimited::value(&table, (format, delimiter), &mut output, valuer, Some(stripe))?;
    Ok((ValuedTable { counts, header: table.header().clone() }, sizes))
}

/// Values the sheet of a workbook. After validation, its XML is copied row by row with the results added, so that
/// everything else stays the same.
fn value_workbook<E: Send>(
    table: &mut Table<'_>,
    output: &mut (impl Write + Seek + Send),
    valuer: &Valuer<'_, E>,
) -> Result<ValuedCounts, ValueError<E>> {
    let header = table.header().clone();
    let source = table.source().clone();
    let limits = table.options().limits.clone();
    let Content::Workbook { workbook, sheet } = &mut table.content else { return Ok(ValuedCounts::default()) };
    let presentation = valuer.presentation.map(|it| (it, it.language_of(&header)));
    let additions = plan_additions(workbook, *sheet, &header, valuer.presentation);
    let additions = additions.map_err(|fault| ValueError::Table(fault.in_file(source.name())))?;
    let sheet = ValuedSheet { workbook, sheet: *sheet, header: &header, additions };
    package::write(&source, sheet, presentation, &limits, output, valuer).map_err(|error| match error {
        WorkbookError::Fault(fault) => ValueError::Table(fault.in_file(source.name())),
        WorkbookError::Value(error) => ValueError::Value(error),
    })
}

fn plan_additions(
    workbook: &mut Workbook<'_>,
    sheet: usize,
    header: &Header,
    presentation: Option<&Presentation>,
) -> Result<Additions, Fault> {
    if workbook.has_macros() {
        let found = "a workbook with macros";
        return Err(Fault::NotATable { found, advice: "save it as .xlsx without macros" });
    }
    let row = u32::try_from(header.row).unwrap_or(u32::MAX);
    Additions::new(header, workbook.measure(sheet, row)?, presentation)
}

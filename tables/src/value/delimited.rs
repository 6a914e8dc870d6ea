//! Values a CSV file in batches of rows.

use std::io::Write;

use super::outcome::{RowOutcome, ValueError, ValuedCounts, Valuer, appended_headers};
use crate::delimited::{Delimited, Record};
use crate::error::Fault;
use crate::format::Format;
use crate::row::Row;
use crate::table::Table;

/// The number of rows to value together: enough for several threads.
const BATCH_ROWS: usize = 1024;

/// Writes the table with its outcomes as UTF-8, with a byte order mark if the table had one or another encoding, so that
/// Excel recognizes it.
pub(super) fn value<E>(
    table: &Table<'_>,
    format: Format,
    delimiter: u8,
    output: &mut impl Write,
    valuer: &Valuer<'_, E>,
) -> Result<ValuedCounts, ValueError<E>> {
    let failed = |fault: Fault| ValueError::Table(fault.in_file(table.source().name()));
    let options = table.options();
    let opened = Delimited::open(table.source(), format, delimiter, options.encoding, &options.limits);
    let mut records = opened.map_err(failed)?;
    if records.needs_byte_order_mark() {
        output.write_all("\u{feff}".as_bytes()).map_err(|error| failed(Fault::Write(error)))?;
    }
    let mut writer = Writer::new(table, delimiter, output);
    let mut batch = Vec::with_capacity(BATCH_ROWS);
    let mut counts = ValuedCounts::default();
    loop {
        let record = records.next_record().map_err(failed)?;
        let ended = record.is_none();
        batch.extend(record);
        if batch.len() == BATCH_ROWS || ended {
            counts += writer.write_batch(&mut batch, valuer)?;
        }
        if ended {
            break;
        }
    }
    writer.csv.flush().map_err(|error| failed(Fault::Write(error)))?;
    Ok(counts)
}

struct Writer<'t, 'a, W: Write> {
    table: &'t Table<'a>,
    csv: csv::Writer<W>,
    /// The number of the next line to write.
    next_line: u64,
}

impl<'t, 'a, W: Write> Writer<'t, 'a, W> {
    fn new(table: &'t Table<'a>, delimiter: u8, output: W) -> Self {
        let csv = csv::WriterBuilder::new().delimiter(delimiter).flexible(true).from_writer(output);
        Self { table, csv, next_line: 1 }
    }

    fn write_batch<E>(
        &mut self,
        records: &mut Vec<Record>,
        valuer: &Valuer<'_, E>,
    ) -> Result<ValuedCounts, ValueError<E>> {
        let header = self.table.header();
        let rows: Vec<Row> =
            records.iter().map(|record| Row::from_line(record.line, record.fields.clone(), header)).collect();
        let has_outcome = |row: &Row| row.number() > header.row && !row.is_empty();
        let batch: Vec<Row> = rows.iter().filter(|row| has_outcome(row)).cloned().collect();
        let (outcomes, counts) = valuer.value_rows(header, &batch).map_err(ValueError::Value)?;
        let mut outcomes = outcomes.into_iter();
        for (record, row) in records.drain(..).zip(&rows) {
            let outcome = if has_outcome(row) { outcomes.next() } else { None };
            self.write_row(&record, outcome.as_ref())
                .map_err(|error| Fault::Write(std::io::Error::other(error)).in_file(self.table.source().name()))?;
        }
        Ok(counts)
    }

    fn write_row(&mut self, record: &Record, outcome: Option<&RowOutcome>) -> Result<(), csv::Error> {
        let header = self.table.header();
        let width = header.headers.len();
        while self.next_line < record.line {
            self.csv.write_record(std::iter::repeat_n("", width + 4))?;
            self.next_line += 1;
        }
        self.next_line =
            record.line + 1 + record.fields.iter().map(|field| field.matches('\n').count() as u64).sum::<u64>();
        let padding = std::iter::repeat_n("", width.saturating_sub(record.fields.len()));
        let appended = match outcome {
            _ if record.line == header.row => appended_headers(header),
            Some(outcome) => outcome_fields(outcome),
            None => Default::default(),
        };
        let fields = record.fields.iter().chain(padding).chain(appended.iter().map(String::as_str));
        self.csv.write_record(fields)
    }
}

fn outcome_fields(outcome: &RowOutcome) -> [String; 4] {
    let [price, low, high] = outcome.prices.map_or(Default::default(), |prices| prices.map(|price| price.to_string()));
    [price, low, high, outcome.status.clone().into_owned()]
}

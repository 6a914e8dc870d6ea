//! Values a CSV file in batches of rows.

use std::io::Write;

use super::outcome::{RowOutcome, ValueError, ValuedCounts, Valuer, appended_headers};
use super::presentation::Presentation;
use crate::delimited::{Delimited, Record};
use crate::error::Fault;
use crate::format::Format;
use crate::row::Row;
use crate::table::Table;

/// The number of rows to value together: enough for several threads.
const BATCH_ROWS: usize = 1024;

/// A share of the batches of a table: those whose number leaves this remainder. The shares of several processes can be put
/// together in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stripe {
    /// The remainder, starting at 0.
    pub index: usize,
    /// The number of shares.
    pub count: usize,
}

/// Writes a share of the table with its outcomes as UTF-8, with a byte order mark if the table had one or another encoding, so
/// that Excel recognizes it. Of a share, also returns the size of each batch in the output.
pub(super) fn value<E>(
    table: &Table<'_>,
    (format, delimiter): (Format, u8),
    output: &mut impl Write,
    valuer: &Valuer<'_, E>,
    stripe: Option<Stripe>,
) -> Result<(ValuedCounts, Vec<u64>), ValueError<E>> {
    let has_sizes = stripe.is_some();
    let stripe = stripe.unwrap_or(Stripe { index: 0, count: 1 });
    let failed = |fault: Fault| ValueError::Table(fault.in_file(table.source().name()));
    let options = table.options();
    let opened = Delimited::open(table.source(), format, delimiter, options.encoding, &options.limits);
    let mut records = opened.map_err(failed)?;
    let mut output = Counted { output, bytes: 0 };
    if records.needs_byte_order_mark() && stripe.index == 0 {
        output.write_all("\u{feff}".as_bytes()).map_err(|error| failed(Fault::Write(error)))?;
    }
    let mut writer = Writer::new(table, delimiter, valuer.presentation, &mut output);
    let mut batch = Vec::with_capacity(BATCH_ROWS);
    let mut counts = ValuedCounts::default();
    let mut sizes = Vec::new();
    let mut written = 0;
    let mut has_ended = false;
    for number in 0.. {
        if number % stripe.count == stripe.index {
            while batch.len() < BATCH_ROWS && !has_ended {
                let record = records.next_record().map_err(failed)?;
                has_ended = record.is_none();
                batch.extend(record);
            }
            counts += writer.write_batch(&mut batch, valuer)?;
            if has_sizes {
                writer.csv.flush().map_err(|error| failed(Fault::Write(error)))?;
                let end = writer.csv.get_ref().bytes;
                sizes.push(end - written);
                written = end;
            }
        } else {
            for _ in 0..BATCH_ROWS {
                match records.skip_record().map_err(failed)? {
                    Some(line) => writer.next_line = line,
                    None => has_ended = true,
                }
            }
        }
        if has_ended {
            break;
        }
    }
    writer.csv.flush().map_err(|error| failed(Fault::Write(error)))?;
    Ok((counts, sizes))
}

/// Counts the bytes that are written.
struct Counted<W> {
    output: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.output.flush()
    }
}

struct Writer<'t, 'a, W: Write> {
    table: &'t Table<'a>,
    csv: csv::Writer<W>,
    /// The headers of the appended columns.
    appended: Vec<String>,
    /// The number of the next line to write.
    next_line: u64,
}

impl<'t, 'a, W: Write> Writer<'t, 'a, W> {
    fn new(table: &'t Table<'a>, delimiter: u8, presentation: Option<&Presentation>, output: W) -> Self {
        let csv = csv::WriterBuilder::new().delimiter(delimiter).flexible(true).from_writer(output);
        let appended = appended_headers(table.header(), presentation).into_iter().map(|(header, _)| header).collect();
        Self { table, csv, appended, next_line: 1 }
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
                .map_err(|error| write_failed(error).in_file(self.table.source().name()))?;
        }
        Ok(counts)
    }

    fn write_row(&mut self, record: &Record, outcome: Option<&RowOutcome>) -> Result<(), csv::Error> {
        let header = self.table.header();
        let width = header.headers.len();
        while self.next_line < record.line {
            self.csv.write_record(std::iter::repeat_n("", width + self.appended.len()))?;
            self.next_line += 1;
        }
        self.next_line =
            record.line + 1 + record.fields.iter().map(|field| field.matches('\n').count() as u64).sum::<u64>();
        let padding = std::iter::repeat_n("", width.saturating_sub(record.fields.len()));
        let appended = match outcome {
            _ if record.line == header.row => self.appended.clone(),
            Some(outcome) => outcome_fields(outcome, self.appended.len()),
            None => vec![String::new(); self.appended.len()],
        };
        let fields = record.fields.iter().chain(padding).chain(appended.iter().map(String::as_str));
        self.csv.write_record(fields)
    }
}

/// Keeps the kind of an I/O error, such as a full disk.
fn write_failed(error: csv::Error) -> Fault {
    let message = error.to_string();
    Fault::Write(match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        _ => std::io::Error::other(message),
    })
}

fn outcome_fields(outcome: &RowOutcome, count: usize) -> Vec<String> {
    let [price, low, high] = outcome.prices.map_or(Default::default(), |prices| prices.map(|price| price.to_string()));
    let difference = outcome.difference().map_or_else(String::new, |difference| difference.to_string());
    let mut fields = vec![price, low, high, outcome.status.clone().into_owned(), difference];
    fields.truncate(count);
    fields
}

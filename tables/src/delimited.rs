//! The rows of a CSV file with their line numbers.

use std::io::{Cursor, Read};

use csv::{ByteRecord, ReaderBuilder, StringRecord, Terminator};

use crate::encoding::{Encoding, looks_like_windows_1251};
use crate::error::Fault;
use crate::format::Format;
use crate::headings::{Headings, recognized};
use crate::limits::{Limits, MAX_HEADER_ROW};
use crate::source::Source;
use crate::text::Text;

/// A row of fields and the number of its first line.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) line: u64,
    pub(crate) fields: StringRecord,
}

/// The lines of a row.
struct Lines {
    first: u64,
    /// The line after the last one.
    end: u64,
}

/// The rows of a CSV file in order. Empty lines are skipped.
pub(crate) struct Delimited<'a> {
    reader: csv::Reader<Text<'a>>,
    bytes: ByteRecord,
    limits: Limits,
}

impl<'a> Delimited<'a> {
    pub(crate) fn open(
        source: &Source<'a>,
        format: Format,
        delimiter: u8,
        encoding: Option<Encoding>,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let text = Text::open(source, format, encoding, limits)?;
        Ok(Self { reader: reader(text, delimiter), bytes: ByteRecord::new(), limits: limits.clone() })
    }

    /// Whether the file has a byte order mark or an encoding other than UTF-8.
    pub(crate) fn needs_byte_order_mark(&self) -> bool {
        self.reader.get_ref().needs_byte_order_mark
    }

    pub(crate) fn next_record(&mut self) -> Result<Option<Record>, Fault> {
        let Some(Lines { first: line, .. }) = self.read_record()? else { return Ok(None) };
        let fields = self.decode(line)?;
        self.check_size(line, &fields)?;
        Ok(Some(Record { line, fields }))
    }

    /// Skips a row without checking it, and returns the number of the line after it.
    pub(crate) fn skip_record(&mut self) -> Result<Option<u64>, Fault> {
        Ok(self.read_record()?.map(|lines| lines.end))
    }

    fn read_record(&mut self) -> Result<Option<Lines>, Fault> {
        if !self.reader.read_byte_record(&mut self.bytes).map_err(from_csv)? {
            return Ok(None);
        }
        self.reader.get_mut().row_bytes = 0;
        // Every line ends with a line feed here, so a row spans one line more than it has line feeds. The position of the
        // reader before the row would be that of any blank lines above.
        let lines = self.bytes.as_slice().split(|byte| *byte == b'\n').count() as u64;
        let first = self.reader.position().line().saturating_sub(lines);
        Ok(Some(Lines { first, end: first + lines }))
    }

    fn decode(&mut self, line: u64) -> Result<StringRecord, Fault> {
        let mut bytes = std::mem::take(&mut self.bytes);
        trim_carriage_return(&mut bytes);
        StringRecord::from_byte_record(bytes).map_err(|error| {
            let bytes = error.into_byte_record();
            Fault::NotUtf8 { line, looks_like_windows_1251: looks_like_windows_1251(bytes.as_slice()) }
        })
    }

    fn check_size(&self, line: u64, fields: &StringRecord) -> Result<(), Fault> {
        let Limits { max_columns, max_text, .. } = self.limits;
        if fields.len() > max_columns {
            return Err(Fault::TooLarge(format!("line {line} has more than {max_columns} fields")));
        }
        let too_long = |field: &str| field.len() > max_text && field.chars().count() > max_text;
        if fields.iter().any(too_long) {
            let what = format!("line {line} has a field longer than {max_text} characters; is a quote unclosed?");
            return Err(Fault::TooLarge(what));
        }
        Ok(())
    }
}

/// The delimiter with which most headers are recognized.
pub(crate) fn detect_delimiter(
    source: &Source<'_>,
    format: Format,
    encoding: Option<Encoding>,
    limits: &Limits,
    headings: Headings<'_>,
) -> Result<u8, Fault> {
    const SAMPLE: u64 = 1 << 18;
    let mut sample = Vec::new();
    let text = Text::open(source, format, encoding, &Limits { max_inflated_bytes: u64::MAX, ..limits.clone() })?;
    text.take(SAMPLE).read_to_end(&mut sample).map_err(Fault::from_read)?;
    let mut best = (0, 0, b',');
    for delimiter in *b",;\t" {
        let (columns, fields) = score_delimiter(&sample, delimiter, headings);
        if (columns, fields) > (best.0, best.1) {
            best = (columns, fields, delimiter);
        }
    }
    Ok(best.2)
}

/// The numbers of recognized columns and of fields in the best of the first rows with a delimiter.
fn score_delimiter(sample: &[u8], delimiter: u8, headings: Headings<'_>) -> (usize, usize) {
    let mut reader = reader(Cursor::new(sample), delimiter);
    let max_rows = usize::try_from(MAX_HEADER_ROW).unwrap_or(usize::MAX);
    let rows = reader.byte_records().take(max_rows).filter_map(Result::ok);
    let counts = rows.map(|row| {
        let row = StringRecord::from_byte_record_lossy(row);
        (recognized(row.iter(), headings).count(), row.len())
    });
    counts.max().unwrap_or_default()
}

/// A CSV reader for lines that end with a line feed; [`trim_carriage_return`] handles the rest.
fn reader<R: Read>(input: R, delimiter: u8) -> csv::Reader<R> {
    ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .delimiter(delimiter)
        .terminator(Terminator::Any(b'\n'))
        .buffer_capacity(1 << 16)
        .from_reader(input)
}

fn trim_carriage_return(record: &mut ByteRecord) {
    let last = record.len().saturating_sub(1);
    if record.get(last).is_some_and(|field| field.ends_with(b"\r")) {
        let mut trimmed: ByteRecord = record.iter().take(last).collect();
        trimmed.push_field(&record[last][..record[last].len() - 1]);
        *record = trimmed;
    }
}

fn from_csv(error: csv::Error) -> Fault {
    let message = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Fault::from_read(error),
        _ => Fault::Damaged(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Options;

    fn rows(text: &str) -> Vec<(u64, Vec<String>)> {
        let source = Source::bytes("t", text.as_bytes());
        let mut delimited = Delimited::open(&source, Format::Csv, b',', None, &Limits::default()).unwrap();
        let mut rows = Vec::new();
        while let Some(record) = delimited.next_record().unwrap() {
            rows.push((record.line, record.fields.iter().map(str::to_owned).collect()));
        }
        rows
    }

    fn row(line: u64, fields: &[&str]) -> (u64, Vec<String>) {
        (line, fields.iter().map(|field| (*field).to_owned()).collect())
    }

    #[test]
    fn line_numbers_are_those_of_an_editor() {
        let expected = [row(1, &["a", "b"]), row(3, &["c\nc", "d"]), row(5, &["e", "f"])];
        assert_eq!(rows("a,b\n\n\"c\nc\",d\ne,f"), expected);
        let expected = [row(1, &["a", "b"]), row(2, &[""]), row(3, &["c\r\nc", "d"]), row(5, &["e", "f"])];
        assert_eq!(rows("a,b\r\n\r\n\"c\r\nc\",\"d\"\r\ne,f\r\n"), expected);
    }

    #[test]
    fn the_delimiter_is_detected_from_the_header() {
        for (text, delimiter) in [
            ("brand,year,mileage", b','),
            ("brand;year;mileage, km", b';'),
            ("Отчёт, март\nМарка\tГод\tПробег\n", b'\t'),
            ("a;b;c", b';'),
        ] {
            let source = Source::bytes("t", text.as_bytes());
            let options = Options::default();
            let detected = detect_delimiter(&source, Format::Csv, None, &options.limits, options.headings());
            assert_eq!(detected.unwrap(), delimiter, "{text}");
        }
    }

    #[test]
    fn an_unclosed_quote_is_reported() {
        let text = format!("a,b\n\"c,{}", "d\n".repeat(200_000));
        let source = Source::bytes("t", text.as_bytes());
        let mut delimited = Delimited::open(&source, Format::Csv, b',', None, &Limits::default()).unwrap();
        delimited.next_record().unwrap();
        let fault = delimited.next_record().unwrap_err();
        assert!(fault.to_string().contains("is a quote unclosed?"), "{fault}");
    }
}

//! Adds columns to the XML of a sheet. Everything else is copied verbatim.

use std::io::Write;
use std::ops::Range as ByteRange;

use quick_xml::Writer;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::QName;

use super::edits::Range;
use super::outcome::{RowOutcome, appended_headers};
use super::presentation::Presentation;
use crate::error::Fault;
use crate::header::Header;
use crate::workbook::{EXCEL_COLUMNS, Extent, SheetEvent, attribute, attributes, column_letters, is_xml_character};

/// The columns to add to a sheet.
pub(super) struct Additions {
    pub(super) headers: Vec<String>,
    /// The widths of the new columns.
    widths: Vec<u32>,
    /// The index of the format of amounts, if they have one.
    pub(super) money: Option<u32>,
    pub(super) header_row: u32,
    /// The index of the first of the new columns.
    pub(super) first_column: u32,
    last_row: u32,
    /// Whether a filter that ends before the new columns is extended over them.
    extends_filter: bool,
}

/// The maximum number of new columns.
const MAX_ADDITIONS: u32 = 5;

/// The maximum size of a row in bytes: it stays in memory until it is valued.
const MAX_ROW_BYTES: usize = 4 << 20;

impl Additions {
    /// The additions after the last column of a sheet.
    pub(super) fn new(header: &Header, extent: Extent, presentation: Option<&Presentation>) -> Result<Self, Fault> {
        if extent.columns + MAX_ADDITIONS > EXCEL_COLUMNS {
            return Err(Fault::TooLarge(format!("the sheet has no room for {MAX_ADDITIONS} more columns")));
        }
        let (headers, widths) = appended_headers(header, presentation).into_iter().unzip();
        let header_row = u32::try_from(header.row).unwrap_or(u32::MAX);
        Ok(Self {
            headers,
            widths,
            money: None,
            header_row,
            first_column: extent.columns,
            last_row: extent.last_row,
            extends_filter: presentation.is_some(),
        })
    }

    /// The number of new columns.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.headers.len()).unwrap_or(MAX_ADDITIONS)
    }

    fn last_column(&self) -> u32 {
        self.first_column + self.count() - 1
    }
}

/// The byte range in the copied XML that the outcome of a row replaces.
pub(super) struct Insertion {
    pub(super) row: u32,
    pub(super) bytes: ByteRange<usize>,
}

/// Copies the XML of a sheet and finds where the additions go.
pub(super) struct Splicer<'p> {
    additions: &'p Additions,
    /// The XML that has been copied and not yet taken.
    copied: Vec<u8>,
    /// The offset of the current row in it.
    row_start: usize,
    /// The namespace prefix of the rows with its colon, if any.
    prefix: String,
    /// The range that the additions to the row replace, once known: empty cells with only a format, or an empty range before
    /// the next cell.
    insertion: Option<ByteRange<usize>>,
    /// Whether the current cell is one that the additions replace.
    is_replacing: bool,
    has_headers: bool,
    /// The format of the last header cell, which the new headers get.
    format: Option<u32>,
    has_widths: bool,
    /// The number of the last column with a width, starting at 1.
    last_width: u32,
}

impl<'p> Splicer<'p> {
    pub(super) fn new(additions: &'p Additions) -> Self {
        Self {
            additions,
            copied: Vec::new(),
            row_start: 0,
            prefix: String::new(),
            insertion: None,
            is_replacing: false,
            has_headers: false,
            format: None,
            has_widths: false,
            last_width: 0,
        }
    }

    /// Copies an event of the sheet.
    pub(super) fn copy(&mut self, event: &Event<'_>, sheet_event: SheetEvent) -> Result<(), Fault> {
        match (sheet_event, event) {
            (SheetEvent::Outside(2 | 3), Event::Start(_) | Event::Empty(_) | Event::End(_))
                if !self.rewrite_outside(event, sheet_event) =>
            {
                return Ok(());
            }
            (SheetEvent::DataStart, Event::Start(tag) | Event::Empty(tag)) => {
                self.prefix = prefix_of(tag.name());
                if !self.has_widths {
                    self.write_new_widths();
                }
            }
            (SheetEvent::RowStart | SheetEvent::EmptyRow, Event::Start(tag) | Event::Empty(tag)) => {
                self.start_row(tag)?;
                // The optional `spans` would be wrong now.
                if attribute(tag, "spans").is_some() {
                    self.copy_replacing(tag, &["spans"], "", sheet_event == SheetEvent::EmptyRow);
                    return Ok(());
                }
            }
            (SheetEvent::CellStart(column), Event::Start(tag) | Event::Empty(tag)) => self.start_cell(tag, column),
            (SheetEvent::RowEnd, _) => {
                self.insertion.get_or_insert(self.copied.len()..self.copied.len());
            }
            _ => {}
        }
        self.write(event)?;
        let is_cell_complete = matches!(sheet_event, SheetEvent::CellEnd)
            || matches!((sheet_event, event), (SheetEvent::CellStart(_), Event::Empty(_)));
        if is_cell_complete
            && std::mem::take(&mut self.is_replacing)
            && let Some(insertion) = &mut self.insertion
        {
            insertion.end = self.copied.len();
        }
        if sheet_event == SheetEvent::RowEnd {
            self.row_start = self.copied.len();
        }
        if self.copied.len() - self.row_start > MAX_ROW_BYTES {
            return Err(Fault::TooLarge("a row of the sheet is larger than 4 MiB".to_owned()));
        }
        Ok(())
    }

    /// Takes the XML that has been copied so far.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.row_start = 0;
        std::mem::take(&mut self.copied)
    }

    /// The number of bytes that have been copied and not yet taken.
    pub(super) fn pending_bytes(&self) -> usize {
        self.copied.len()
    }

    /// Takes the insertion of the row that has just ended.
    pub(super) fn take_insertion(&mut self, row: u32) -> Insertion {
        Insertion { row, bytes: self.insertion.take().unwrap_or(self.copied.len()..self.copied.len()) }
    }

    /// Adds the new headers to the row that has just ended.
    pub(super) fn add_headers(&mut self) {
        let insertion = self.take_insertion(self.additions.header_row);
        let format = self.format.map_or(String::new(), |format| format!(" s=\"{format}\""));
        let mut cells = String::new();
        for (column, header) in (self.additions.first_column..).zip(&self.additions.headers) {
            cells += &self.text_cell(column, insertion.row, &format, header);
        }
        self.has_headers = true;
        self.copied.splice(insertion.bytes, cells.bytes());
        self.row_start = self.copied.len();
    }

    /// The XML of the cells of an outcome.
    pub(super) fn cells(&self, row: u32, outcome: &RowOutcome) -> String {
        let prefix = &self.prefix;
        let first = self.additions.first_column;
        let format = self.additions.money.map_or(String::new(), |format| format!(" s=\"{format}\""));
        let amount = |column: u32, amount: f64| {
            let letters = column_letters(column);
            format!("<{prefix}c r=\"{letters}{row}\"{format}><{prefix}v>{amount}</{prefix}v></{prefix}c>")
        };
        let mut cells = String::new();
        for (column, price) in (first..).zip(outcome.prices.iter().flatten()) {
            cells += &amount(column, *price);
        }
        cells += &self.text_cell(first + 3, row, "", &outcome.status);
        if let Some(difference) = outcome.difference().filter(|_| self.additions.count() > 4) {
            cells += &amount(first + 4, difference);
        }
        cells
    }

    fn text_cell(&self, column: u32, row: u32, format: &str, text: &str) -> String {
        text_cell(&self.prefix, &format!("{}{row}", column_letters(column)), format, text)
    }

    fn start_row(&mut self, tag: &BytesStart<'_>) -> Result<(), Fault> {
        if prefix_of(tag.name()) != self.prefix {
            return Err(Fault::Damaged("the rows of a sheet have different namespace prefixes".to_owned()));
        }
        (self.insertion, self.format, self.is_replacing) = (None, None, false);
        Ok(())
    }

    fn start_cell(&mut self, tag: &BytesStart<'_>, column: u32) {
        if column < self.additions.first_column {
            if self.has_headers {
                return;
            }
            self.format = attribute(tag, "s").and_then(|format| format.trim().parse().ok());
            return;
        }
        self.insertion.get_or_insert(self.copied.len()..self.copied.len());
        self.is_replacing = column <= self.additions.last_column();
    }

    /// Rewrites the dimension and the column widths, which precede the rows; true if the event is still to be copied.
    fn rewrite_outside(&mut self, event: &Event<'_>, sheet_event: SheetEvent) -> bool {
        let (name, is_empty) = match event {
            Event::Start(tag) => (tag.local_name().into_inner(), false),
            Event::Empty(tag) => (tag.local_name().into_inner(), true),
            Event::End(tag) => (tag.local_name().into_inner(), false),
            _ => return true,
        };
        match (sheet_event, event, name) {
            (SheetEvent::Outside(2), Event::Start(tag) | Event::Empty(tag), "dimension") => {
                let last = column_letters(self.additions.last_column());
                let reference = format!("ref=\"A1:{last}{}\"", self.additions.last_row);
                self.copy_replacing(tag, &["ref"], &reference, is_empty);
                false
            }
            // An empty list of widths is replaced.
            (SheetEvent::Outside(2), Event::Empty(_), "cols") => false,
            (SheetEvent::Outside(2), Event::Start(_), "cols") => {
                self.has_widths = true;
                true
            }
            (SheetEvent::Outside(2), Event::End(tag), "cols") => {
                self.write_widths(&prefix_of(tag.name()), self.last_width.saturating_add(1), u32::MAX);
                true
            }
            (SheetEvent::Outside(3), Event::Empty(tag), "col") => self.rewrite_width(tag),
            (SheetEvent::Outside(2), Event::Start(tag) | Event::Empty(tag), "autoFilter") => {
                let Additions { header_row, first_column, extends_filter, .. } = *self.additions;
                let range = attribute(tag, "ref").and_then(|range| Range::parse(&range)).filter(|_| extends_filter);
                let range = range.and_then(|range| range.extended(header_row, first_column, self.additions.count()));
                let Some(range) = range else { return true };
                self.copy_replacing(tag, &["ref"], &format!("ref=\"{range}\""), is_empty);
                false
            }
            _ => true,
        }
    }

    /// Keeps the new columns visible even if all columns to the right of the table are hidden; true if the event is still to
    /// be copied.
    fn rewrite_width(&mut self, tag: &BytesStart<'_>) -> bool {
        let number = |name| attribute(tag, name).and_then(|number| number.trim().parse::<u32>().ok());
        let (Some(min), Some(max)) = (number("min"), number("max")) else { return true };
        self.last_width = self.last_width.max(max);
        let (first, last) = (self.additions.first_column + 1, self.additions.last_column() + 1);
        let is_hidden = attribute(tag, "hidden").is_some_and(|hidden| matches!(hidden.trim(), "1" | "true" | "on"));
        if !is_hidden || max < first || min > last {
            return true;
        }
        self.copy_width(tag, min, first - 1);
        self.write_widths(&prefix_of(tag.name()), min, max);
        self.copy_width(tag, last + 1, max);
        false
    }

    /// Copies a width for the columns from `min` to `max`.
    fn copy_width(&mut self, tag: &BytesStart<'_>, min: u32, max: u32) {
        if min > max {
            return;
        }
        self.copy_replacing(tag, &["min", "max"], &format!("min=\"{min}\" max=\"{max}\""), true);
    }

    /// Copies a tag, with some attributes replaced by others.
    fn copy_replacing(&mut self, tag: &BytesStart<'_>, replaced: &[&str], replacement: &str, is_empty: bool) {
        let kept =
            attributes(tag).flatten().filter(|attribute| !replaced.contains(&attribute.name)).map(|kept| kept.raw);
        let attributes: String = std::iter::once(replacement)
            .chain(kept)
            .filter(|text| !text.is_empty())
            .flat_map(|text| [" ", text])
            .collect();
        let name = tag.name();
        let end = if is_empty { "/>" } else { ">" };
        self.copied.extend(format!("<{}{attributes}{end}", name.as_ref()).bytes());
    }

    fn write_new_widths(&mut self) {
        let prefix = self.prefix.clone();
        self.copied.extend(format!("<{prefix}cols>").bytes());
        self.write_widths(&prefix, 1, u32::MAX);
        self.copied.extend(format!("</{prefix}cols>").bytes());
    }

    /// Writes the widths of the new columns with numbers from `min` to `max`, starting at 1: widths must not overlap.
    fn write_widths(&mut self, prefix: &str, min: u32, max: u32) {
        let columns = (self.additions.first_column + 1..).zip(&self.additions.widths);
        for (column, width) in columns.filter(|(column, _)| (min..=max).contains(column)) {
            let range = format!("min=\"{column}\" max=\"{column}\"");
            self.copied.extend(format!("<{prefix}col {range} width=\"{width}\" customWidth=\"1\"/>").bytes());
        }
    }

    fn write(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        Writer::new(&mut self.copied).write_event(event.borrow()).map_err(Fault::Write)
    }
}

/// A cell with an inline string, which is never interpreted as a formula; `format` is the attribute with its format, if any.
pub(super) fn text_cell(prefix: &str, reference: &str, format: &str, text: &str) -> String {
    let text: String = text.chars().map(|c| if is_xml_character(c) { c } else { '\u{fffd}' }).collect();
    let text = escape(text);
    format!(
        "<{prefix}c r=\"{reference}\"{format} t=\"inlineStr\"><{prefix}is><{prefix}t xml:space=\"preserve\">{text}\
         </{prefix}t></{prefix}is></{prefix}c>"
    )
}

/// Writes XML with cells inserted.
pub(super) fn write_with_cells(
    output: &mut impl Write,
    xml: &[u8],
    cells: impl Iterator<Item = (ByteRange<usize>, String)>,
) -> Result<(), Fault> {
    let mut written = 0;
    for (range, cells) in cells {
        output.write_all(&xml[written..range.start]).map_err(Fault::Write)?;
        output.write_all(cells.as_bytes()).map_err(Fault::Write)?;
        written = range.end;
    }
    output.write_all(&xml[written..]).map_err(Fault::Write)
}

fn prefix_of(element: QName<'_>) -> String {
    element.prefix().map_or(String::new(), |prefix| format!("{}:", prefix.as_ref()))
}

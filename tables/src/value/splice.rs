//! Adding columns to the XML of a sheet. Everything else is copied verbatim.

use std::io::Write;
use std::ops::Range;

use quick_xml::Writer;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::QName;

use super::outcome::{RowOutcome, titles};
use crate::error::Fault;
use crate::header::Header;
use crate::workbook::{EXCEL_COLUMNS, Extent, Step, attribute, attributes, column_letters, is_xml_character};

/// The columns that are added to a sheet.
pub(super) struct Additions {
    titles: [String; 4],
    pub(super) header_row: u32,
    /// The first of the four new columns, counted from 0.
    first_column: u32,
    last_row: u32,
}

const WIDTHS: [u32; 4] = [15, 15, 15, 40];

/// The longest row, in bytes: it is held whole until it is valued.
const MAX_ROW: usize = 4 << 20;

impl Additions {
    /// The additions behind the last column of a sheet.
    pub(super) fn new(header: &Header, extent: Extent) -> Result<Self, Fault> {
        if extent.columns + 4 > EXCEL_COLUMNS {
            return Err(Fault::TooLarge("its sheet has no room for four more columns".to_owned()));
        }
        let header_row = u32::try_from(header.row).unwrap_or(u32::MAX);
        Ok(Self { titles: titles(header), header_row, first_column: extent.columns, last_row: extent.last_row })
    }

    fn last_column(&self) -> u32 {
        self.first_column + 3
    }
}

/// The range in the XML of a row that its outcome replaces.
pub(super) struct Place {
    /// The number of the row.
    pub(super) row: u32,
    pub(super) bytes: Range<usize>,
}

/// Copies the XML of a sheet, making room for the additions.
pub(super) struct Splicer<'p> {
    additions: &'p Additions,
    /// The XML copied so far and not yet taken, and the offset of the current row in it.
    copied: Vec<u8>,
    row_begins: usize,
    /// The namespace prefix of the rows with its colon, as some programs write one.
    prefix: String,
    /// Where the additions to the row go, once that is known: before the first cell behind them, or in the place of cells
    /// that have nothing but a format.
    place: Option<Range<usize>>,
    /// Whether a cell that the additions replace is open.
    yields: bool,
    has_titles: bool,
    /// The format of the last cell before the new columns, which the new headers get.
    format: Option<u32>,
    has_widths: bool,
    /// The last column, counted from 1, for which the sheet has a width.
    widths_until: u32,
}

impl<'p> Splicer<'p> {
    pub(super) fn new(additions: &'p Additions) -> Self {
        Self {
            additions,
            copied: Vec::new(),
            row_begins: 0,
            prefix: String::new(),
            place: None,
            yields: false,
            has_titles: false,
            format: None,
            has_widths: false,
            widths_until: 0,
        }
    }

    /// Copies an event of the sheet.
    pub(super) fn copy(&mut self, event: &Event<'_>, step: Step) -> Result<(), Fault> {
        match (step, event) {
            (Step::Outside(2 | 3), Event::Start(_) | Event::Empty(_) | Event::End(_))
                if !self.copy_outside(event, step) =>
            {
                return Ok(());
            }
            (Step::Data, Event::Start(tag) | Event::Empty(tag)) => {
                self.prefix = prefix_of(tag.name());
                if !self.has_widths {
                    self.begin_widths();
                }
            }
            (Step::Row | Step::EmptyRow, Event::Start(tag) | Event::Empty(tag)) => {
                self.begin_row(tag)?;
                // It tells the columns of a row; it is optional, and would be wrong now.
                if attribute(tag, "spans").is_some() {
                    self.copy_with(tag, &["spans"], "", step == Step::EmptyRow);
                    return Ok(());
                }
            }
            (Step::Cell(column), Event::Start(tag) | Event::Empty(tag)) => self.begin_cell(tag, column),
            (Step::RowEnd, _) => {
                self.place.get_or_insert(self.copied.len()..self.copied.len());
            }
            _ => {}
        }
        self.write(event)?;
        let is_whole = matches!(step, Step::CellEnd) || matches!((step, event), (Step::Cell(_), Event::Empty(_)));
        if is_whole
            && std::mem::take(&mut self.yields)
            && let Some(place) = &mut self.place
        {
            place.end = self.copied.len();
        }
        if step == Step::RowEnd {
            self.row_begins = self.copied.len();
        }
        if self.copied.len() - self.row_begins > MAX_ROW {
            return Err(Fault::TooLarge("a row of its sheet takes more than four megabytes".to_owned()));
        }
        Ok(())
    }

    /// What has been copied so far.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.row_begins = 0;
        std::mem::take(&mut self.copied)
    }

    /// How many bytes wait to be taken.
    pub(super) fn waiting(&self) -> usize {
        self.copied.len()
    }

    /// Where the outcome of the row goes that has just ended.
    pub(super) fn take_place(&mut self, row: u32) -> Place {
        Place { row, bytes: self.place.take().unwrap_or(self.copied.len()..self.copied.len()) }
    }

    /// Adds the new headers to the row that has just ended.
    pub(super) fn add_titles(&mut self) {
        let place = self.take_place(self.additions.header_row);
        let format = self.format.map_or(String::new(), |format| format!(" s=\"{format}\""));
        let mut cells = String::new();
        for (column, title) in (self.additions.first_column..).zip(&self.additions.titles) {
            cells += &self.text_cell(column, place.row, &format, title);
        }
        self.has_titles = true;
        self.copied.splice(place.bytes, cells.bytes());
        self.row_begins = self.copied.len();
    }

    /// The cells of an outcome.
    pub(super) fn cells(&self, row: u32, outcome: &RowOutcome) -> String {
        let prefix = &self.prefix;
        let columns = self.additions.first_column..;
        let price = |(column, price): (u32, &f64)| {
            let letters = column_letters(column);
            format!("<{prefix}c r=\"{letters}{row}\"><{prefix}v>{price}</{prefix}v></{prefix}c>")
        };
        let mut cells: Vec<String> = columns.zip(outcome.prices.iter().flatten()).map(price).collect();
        cells.push(self.text_cell(self.additions.last_column(), row, "", &outcome.status));
        cells.concat()
    }

    /// An inline text, which no program takes for a formula.
    fn text_cell(&self, column: u32, row: u32, format: &str, text: &str) -> String {
        let (prefix, letters) = (&self.prefix, column_letters(column));
        let text: String = text.chars().map(|c| if is_xml_character(c) { c } else { '\u{fffd}' }).collect();
        let text = escape(text);
        format!(
            "<{prefix}c r=\"{letters}{row}\"{format} t=\"inlineStr\"><{prefix}is><{prefix}t xml:space=\"preserve\">{text}\
             </{prefix}t></{prefix}is></{prefix}c>"
        )
    }

    fn begin_row(&mut self, tag: &BytesStart<'_>) -> Result<(), Fault> {
        if prefix_of(tag.name()) != self.prefix {
            return Err(Fault::Damaged("the rows of its sheet have several namespaces".to_owned()));
        }
        (self.place, self.format, self.yields) = (None, None, false);
        Ok(())
    }

    fn begin_cell(&mut self, tag: &BytesStart<'_>, column: u32) {
        if column < self.additions.first_column {
            if self.has_titles {
                return;
            }
            self.format = attribute(tag, "s").and_then(|format| format.trim().parse().ok());
            return;
        }
        self.place.get_or_insert(self.copied.len()..self.copied.len());
        self.yields = column <= self.additions.last_column();
    }

    /// Copies or changes what stands before the rows: the size of the sheet and the widths of its columns. True where
    /// there was nothing to change.
    fn copy_outside(&mut self, event: &Event<'_>, step: Step) -> bool {
        let (name, is_empty) = match event {
            Event::Start(tag) => (tag.local_name().into_inner(), false),
            Event::Empty(tag) => (tag.local_name().into_inner(), true),
            Event::End(tag) => (tag.local_name().into_inner(), false),
            _ => return true,
        };
        match (step, event, name) {
            (Step::Outside(2), Event::Start(tag) | Event::Empty(tag), "dimension") => {
                let last = column_letters(self.additions.last_column());
                let reference = format!("ref=\"A1:{last}{}\"", self.additions.last_row);
                self.copy_with(tag, &["ref"], &reference, is_empty);
                false
            }
            // An empty list of widths, which is replaced.
            (Step::Outside(2), Event::Empty(_), "cols") => false,
            (Step::Outside(2), Event::Start(_), "cols") => {
                self.has_widths = true;
                true
            }
            (Step::Outside(2), Event::End(tag), "cols") => {
                self.write_widths(&prefix_of(tag.name()), self.widths_until.saturating_add(1), u32::MAX);
                true
            }
            (Step::Outside(3), Event::Empty(tag), "col") => self.copy_width(tag),
            _ => true,
        }
    }

    /// The new columns must be visible, even if all columns to the right of the table are hidden.
    fn copy_width(&mut self, tag: &BytesStart<'_>) -> bool {
        let number = |name| attribute(tag, name).and_then(|number| number.trim().parse::<u32>().ok());
        let (Some(min), Some(max)) = (number("min"), number("max")) else { return true };
        self.widths_until = self.widths_until.max(max);
        let (first, last) = (self.additions.first_column + 1, self.additions.last_column() + 1);
        let is_hidden = attribute(tag, "hidden").is_some_and(|hidden| matches!(hidden.trim(), "1" | "true" | "on"));
        if !is_hidden || max < first || min > last {
            return true;
        }
        self.copy_width_of(tag, min, first - 1);
        self.write_widths(&prefix_of(tag.name()), min, max);
        self.copy_width_of(tag, last + 1, max);
        false
    }

    fn copy_width_of(&mut self, tag: &BytesStart<'_>, min: u32, max: u32) {
        if min > max {
            return;
        }
        self.copy_with(tag, &["min", "max"], &format!("min=\"{min}\" max=\"{max}\""), true);
    }

    /// Copies a tag, some of its attributes replaced by others.
    fn copy_with(&mut self, tag: &BytesStart<'_>, replaced: &[&str], by: &str, is_empty: bool) {
        let kept = attributes(tag).flatten().filter(|one| !replaced.contains(&one.name)).map(|one| one.raw);
        let attributes: String =
            std::iter::once(by).chain(kept).filter(|one| !one.is_empty()).flat_map(|one| [" ", one]).collect();
        let name = tag.name();
        let end = if is_empty { "/>" } else { ">" };
        self.copied.extend(format!("<{}{attributes}{end}", name.as_ref()).bytes());
    }

    fn begin_widths(&mut self) {
        let prefix = self.prefix.clone();
        self.copied.extend(format!("<{prefix}cols>").bytes());
        self.write_widths(&prefix, 1, u32::MAX);
        self.copied.extend(format!("</{prefix}cols>").bytes());
    }

    /// Writes the widths of the new columns among those from `min` to `max`, counted from 1: widths must not overlap.
    fn write_widths(&mut self, prefix: &str, min: u32, max: u32) {
        let columns = (self.additions.first_column + 1..).zip(WIDTHS);
        for (column, width) in columns.filter(|(column, _)| (min..=max).contains(column)) {
            let range = format!("min=\"{column}\" max=\"{column}\"");
            self.copied.extend(format!("<{prefix}col {range} width=\"{width}\" customWidth=\"1\"/>").bytes());
        }
    }

    fn write(&mut self, event: &Event<'_>) -> Result<(), Fault> {
        Writer::new(&mut self.copied).write_event(event.borrow()).map_err(Fault::Write)
    }
}

/// Writes XML with the outcomes in their places.
pub(super) fn write_with(
    output: &mut impl Write,
    xml: &[u8],
    cells: impl Iterator<Item = (Range<usize>, String)>,
) -> Result<(), Fault> {
    let mut written = 0;
    for (place, cells) in cells {
        output.write_all(&xml[written..place.start]).map_err(Fault::Write)?;
        output.write_all(cells.as_bytes()).map_err(Fault::Write)?;
        written = place.end;
    }
    output.write_all(&xml[written..]).map_err(Fault::Write)
}

fn prefix_of(element: QName<'_>) -> String {
    element.prefix().map_or(String::new(), |prefix| format!("{}:", prefix.as_ref()))
}

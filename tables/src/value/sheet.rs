//! Adding columns to the XML of a sheet. All that was there is written as it was read.

use std::io::{BufRead, Write};
use std::iter::Peekable;

use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::QName;
use quick_xml::{Reader, Writer};

use super::xml::{as_event, attribute, column_of, is_xml, prefix_of};
use super::{Numbered, titles};
use crate::error::Fault;
use crate::header::Header;
use crate::workbook::column_letters;
use crate::workbook::package::from_xml;

/// What is added to a sheet.
pub(super) struct Additions {
    titles: [String; 4],
    header_row: u32,
    /// The first of the four new columns, counted from 0.
    first_column: u32,
    /// The last row that an outcome stands in.
    last_row: u32,
}

const WIDTHS: [u32; 4] = [15, 15, 15, 40];

impl Additions {
    pub(super) fn new(header: &Header, columns: u32, last_row: Option<u32>) -> Self {
        let header_row = u32::try_from(header.row).unwrap_or(u32::MAX);
        let last_row = last_row.unwrap_or(header_row);
        Self { titles: titles(header), header_row, first_column: columns, last_row }
    }

    fn last_column(&self) -> u32 {
        self.first_column + 3
    }
}

/// Copies the XML of a sheet, the additions and the outcomes put in, which are numbered by their rows, from 1 and
/// rising.
pub(super) fn rewrite(
    input: impl BufRead,
    output: impl Write,
    additions: &Additions,
    outcomes: impl Iterator<Item = Numbered>,
) -> Result<(), Fault> {
    let mut xml = Reader::from_reader(input);
    xml.config_mut().check_end_names = false;
    let mut rewriter = Rewriter::new(Writer::new(output), additions, outcomes.peekable());
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        match xml.read_event_into(&mut buffer).map_err(from_xml)? {
            Event::Eof => break,
            event => rewriter.event(event)?,
        }
    }
    // The header and every outcome stand in rows that were met on the way.
    if rewriter.titles.is_none() && rewriter.outcomes.peek().is_none() {
        Ok(())
    } else {
        Err(Fault::Damaged("the rows of its sheet are not numbered in order".to_owned()))
    }
}

struct Rewriter<'p, W: Write, O: Iterator<Item = Numbered>> {
    writer: Writer<W>,
    additions: &'p Additions,
    /// Those that have not been written yet.
    outcomes: Peekable<O>,
    /// None once they have been written.
    titles: Option<&'p [String; 4]>,
    /// The row that is being read, counted from 1.
    row: u32,
    /// Whether the row has got what is added to it.
    row_is_done: bool,
    /// The column of the next cell without a reference, counted from 0.
    column: u32,
    /// The format of the last cell before the new columns, which the titles take over.
    style: Option<String>,
    /// Within a cell that makes room.
    skipping: bool,
    in_data: bool,
    /// The last column, counted from 1, for which the sheet has a width.
    widths_until: Option<u32>,
}

impl<'p, W: Write, O: Iterator<Item = Numbered>> Rewriter<'p, W, O> {
    fn new(writer: Writer<W>, additions: &'p Additions, outcomes: Peekable<O>) -> Self {
        Self {
            writer,
            additions,
            outcomes,
            titles: Some(&additions.titles),
            row: 1,
            row_is_done: false,
            column: 0,
            style: None,
            skipping: false,
            in_data: false,
            widths_until: None,
        }
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), Fault> {
        match &event {
            Event::Start(tag) => return self.open(tag, false),
            Event::Empty(tag) => return self.open(tag, true),
            Event::End(tag) => match (tag.local_name().as_ref(), self.in_data) {
                ("c", true) if self.skipping => {
                    self.skipping = false;
                    return Ok(());
                }
                ("row", true) => {
                    self.add(tag.name())?;
                    self.row += 1;
                }
                ("sheetData", true) => self.in_data = false,
                ("cols", false) => self.write_widths(tag.name())?,
                _ => {}
            },
            _ => {}
        }
        self.write(event)
    }

    fn open(&mut self, tag: &BytesStart<'_>, is_empty: bool) -> Result<(), Fault> {
        match (tag.local_name().as_ref(), self.in_data) {
            ("row", true) => return self.open_row(tag, is_empty),
            ("c", true) => return self.open_cell(tag, is_empty),
            ("dimension", false) => return self.write_dimension(tag, is_empty),
            ("col", false) => {
                let until = attribute(tag, "max").and_then(|max| max.parse().ok());
                self.widths_until = self.widths_until.max(until);
            }
            ("sheetData", false) => {
                self.in_data = !is_empty;
                self.write_new_widths(tag.name())?;
            }
            _ => {}
        }
        self.write(as_event(tag.borrow(), is_empty))
    }

    /// `spans` tells how far the cells of a row reach; it is never required, and would be wrong now.
    fn open_row(&mut self, tag: &BytesStart<'_>, is_empty: bool) -> Result<(), Fault> {
        if let Some(row) = attribute(tag, "r").and_then(|row| row.parse().ok()) {
            self.row = row;
        }
        (self.column, self.style, self.row_is_done) = (0, None, false);
        if attribute(tag, "spans").is_some() {
            let mut written = BytesStart::new(tag.name().as_ref().to_owned());
            let mut attributes = tag.attributes();
            let attributes = attributes.with_checks(false).filter_map(Result::ok);
            written.extend_attributes(attributes.filter(|attribute| attribute.key.as_ref() != "spans"));
            self.write(as_event(written, is_empty))?;
        } else {
            self.write(as_event(tag.borrow(), is_empty))?;
        }
        self.row = self.row.saturating_add(u32::from(is_empty));
        Ok(())
    }

    /// A cell that stands where the new columns go has nothing but a format, and makes room.
    fn open_cell(&mut self, tag: &BytesStart<'_>, is_empty: bool) -> Result<(), Fault> {
        let column = attribute(tag, "r").and_then(|reference| column_of(&reference)).unwrap_or(self.column);
        self.column = column.saturating_add(1);
        if column < self.additions.first_column {
            self.style = attribute(tag, "s");
        } else if column <= self.additions.last_column() {
            self.skipping = !is_empty;
            return Ok(());
        } else {
            self.add(tag.name())?;
        }
        self.write(as_event(tag.borrow(), is_empty))
    }

    /// Writes what is added to the row, once.
    fn add(&mut self, element: QName<'_>) -> Result<(), Fault> {
        if self.row_is_done {
            return Ok(());
        }
        self.row_is_done = true;
        let prefix = prefix_of(element);
        if let Some(titles) = self.titles.take_if(|_| self.row == self.additions.header_row) {
            let style = self.style.as_ref().map_or(String::new(), |style| format!(" s=\"{style}\""));
            for (place, title) in (0..).zip(titles) {
                self.write_text(&prefix, place, &style, title)?;
            }
        }
        let row = self.row;
        if let Some((_, outcome)) = self.outcomes.next_if(|(next, _)| *next == row) {
            for (place, price) in (0..).zip(outcome.prices.iter().flatten()) {
                let reference = self.reference(place);
                self.raw(&format!("<{prefix}c r=\"{reference}\"><{prefix}v>{price}</{prefix}v></{prefix}c>"))?;
            }
            self.write_text(&prefix, 3, "", &outcome.status)?;
        }
        Ok(())
    }

    /// A text in the cell itself, which no program takes for a formula.
    fn write_text(&mut self, prefix: &str, place: u32, style: &str, text: &str) -> Result<(), Fault> {
        let reference = self.reference(place);
        let text: String = text.chars().map(|c| if is_xml(c) { c } else { '\u{fffd}' }).collect();
        let text = escape(text);
        self.raw(&format!(
            "<{prefix}c r=\"{reference}\"{style} t=\"inlineStr\"><{prefix}is><{prefix}t xml:space=\"preserve\">{text}\
             </{prefix}t></{prefix}is></{prefix}c>"
        ))
    }

    fn reference(&self, place: u32) -> String {
        format!("{}{}", column_letters(self.additions.first_column + place), self.row)
    }

    fn write_dimension(&mut self, tag: &BytesStart<'_>, is_empty: bool) -> Result<(), Fault> {
        let last = column_letters(self.additions.last_column());
        let mut written = BytesStart::new(tag.name().as_ref().to_owned());
        written.push_attribute(("ref", format!("A1:{last}{}", self.additions.last_row).as_str()));
        self.write(as_event(written, is_empty))
    }

    fn write_new_widths(&mut self, element: QName<'_>) -> Result<(), Fault> {
        if self.widths_until.is_some() {
            return Ok(());
        }
        let prefix = prefix_of(element);
        self.raw(&format!("<{prefix}cols>"))?;
        self.write_widths(element)?;
        self.raw(&format!("</{prefix}cols>"))
    }

    /// Widths must not overlap, so that a sheet with widths for all its columns keeps them.
    fn write_widths(&mut self, element: QName<'_>) -> Result<(), Fault> {
        let first = self.additions.first_column + 1;
        if self.widths_until.is_some_and(|until| until >= first) {
            return Ok(());
        }
        let prefix = prefix_of(element);
        for (column, width) in (first..).zip(WIDTHS) {
            let range = format!("min=\"{column}\" max=\"{column}\"");
            self.raw(&format!("<{prefix}col {range} width=\"{width}\" customWidth=\"1\"/>"))?;
        }
        Ok(())
    }

    fn write(&mut self, event: Event<'_>) -> Result<(), Fault> {
        if self.skipping { Ok(()) } else { self.writer.write_event(event).map_err(Fault::Write) }
    }

    fn raw(&mut self, xml: &str) -> Result<(), Fault> {
        self.writer.get_mut().write_all(xml.as_bytes()).map_err(Fault::Write)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Outcome;
    use super::*;

    fn rewritten(xml: &str) -> Result<String, Fault> {
        let outcome = |prices, status: &'static str| Outcome { prices, status: status.into() };
        let additions =
            Additions { titles: ["p", "l", "h", "s"].map(str::to_owned), header_row: 2, first_column: 2, last_row: 5 };
        let mut outcomes = [(3, outcome(Some([5.0, 4.0, 6.0]), "ok")), (5, outcome(None, "a < b"))].into_iter();
        let mut output = Vec::new();
        rewrite(xml.as_bytes(), &mut output, &additions, &mut outcomes)?;
        Ok(String::from_utf8(output).unwrap())
    }

    #[test]
    fn all_else_stays_as_it_was() {
        let output = rewritten(
            "<?xml version=\"1.0\"?><worksheet><dimension ref=\"A1:B5\"/><sheetData>\
             <row r=\"1\" spans=\"1:2\"><c r=\"A1\" t=\"s\"><v>0</v></c></row>\
             <row r=\"2\" ht=\"20\"><c r=\"A2\" s=\"7\"/><c r=\"D2\" s=\"1\"/><c r=\"H2\" s=\"1\"/></row>\
             <row><c><f>B3&amp;\"x\"</f><v>1</v></c></row><row r=\"4\"/><row r=\"5\"></row></sheetData>\
             <mergeCells/></worksheet>",
        )
        .unwrap();
        let text = |reference: &str, style: &str, text: &str| {
            format!("<c r=\"{reference}\"{style} t=\"inlineStr\"><is><t xml:space=\"preserve\">{text}</t></is></c>")
        };
        let titles = ["C2", "D2", "E2", "F2"].iter().zip(["p", "l", "h", "s"]);
        let titles: String = titles.map(|(reference, title)| text(reference, " s=\"7\"", title)).collect();
        let widths = (3..).zip(WIDTHS).map(|(column, width)| {
            format!("<col min=\"{column}\" max=\"{column}\" width=\"{width}\" customWidth=\"1\"/>")
        });
        let expected = format!(
            "<?xml version=\"1.0\"?><worksheet><dimension ref=\"A1:F5\"/><cols>{}</cols><sheetData>\
             <row r=\"1\"><c r=\"A1\" t=\"s\"><v>0</v></c></row>\
             <row r=\"2\" ht=\"20\"><c r=\"A2\" s=\"7\"/>{titles}<c r=\"H2\" s=\"1\"/></row>\
             <row><c><f>B3&amp;\"x\"</f><v>1</v></c><c r=\"C3\"><v>5</v></c><c r=\"D3\"><v>4</v></c>\
             <c r=\"E3\"><v>6</v></c>{}</row><row r=\"4\"/><row r=\"5\">{}</row></sheetData><mergeCells/></worksheet>",
            widths.collect::<String>(),
            text("F3", "", "ok"),
            text("F5", "", "a &lt; b"),
        );
        assert_eq!(output, expected);
    }

    #[test]
    fn prefixes_and_widths_are_kept() {
        let output = rewritten(
            "<x:worksheet><x:cols><x:col min=\"1\" max=\"16384\" width=\"9\"/></x:cols><x:sheetData>\
             <x:row r=\"2\"></x:row><x:row r=\"3\"></x:row><x:row r=\"5\"></x:row></x:sheetData></x:worksheet>",
        )
        .unwrap();
        assert!(output.contains("<x:c r=\"C3\"><x:v>5</x:v></x:c>"), "{output}");
        assert_eq!(output.matches("<x:col ").count(), 1);
    }

    #[test]
    fn an_outcome_without_its_row_is_damage() {
        let xml = "<worksheet><sheetData><row r=\"2\"></row><row r=\"3\"></row></sheetData></worksheet>";
        assert!(matches!(rewritten(xml), Err(Fault::Damaged(_))));
    }
}

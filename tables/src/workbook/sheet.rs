//! The rows of a sheet as a stream, numbered as Excel numbers them.

use std::io::BufRead;

use calamine::{ExcelDateTime, ExcelDateTimeType};
use chrono::NaiveDate;
use quick_xml::events::{BytesStart, Event};

use super::cell::SheetCell;
use super::styles::Formats;
use super::text::{SharedTexts, Text};
use super::xml::{Xml, attribute, values};
use crate::error::Fault;
use crate::limits::Limits;

/// The size of a sheet.
pub(crate) const EXCEL_COLUMNS: u32 = 16_384;
const EXCEL_ROWS: u32 = 1_048_576;

/// What cells refer to.
#[derive(Clone, Copy)]
pub(crate) struct References<'w> {
    pub(crate) texts: &'w SharedTexts,
    pub(crate) formats: &'w Formats,
    pub(crate) is_1904: bool,
}

/// A row of a sheet.
#[derive(Debug, Default)]
pub(crate) struct SheetRow {
    /// Its number, from 1.
    pub(crate) number: u32,
    /// Its cells in the wanted columns, which are counted from 0.
    pub(crate) cells: Vec<(u32, SheetCell)>,
    /// Whether any of its cells holds more than blanks.
    pub(crate) is_filled: bool,
    /// How many columns its cells reach over, those that are only formatted left out.
    pub(crate) columns: u32,
}

/// Where in a sheet an event stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Before or behind the rows, at an element of this depth.
    Outside(usize),
    /// `sheetData` begins, or is empty.
    Data,
    /// Between two rows.
    BetweenRows,
    /// A row begins.
    Row,
    /// A row without a cell.
    EmptyRow,
    /// A cell begins, or is empty, in a column counted from 0.
    Cell(u32),
    /// Within a row, or within a cell.
    Within,
    /// A cell ends.
    CellEnd,
    /// A row ends.
    RowEnd,
    /// `sheetData` ends.
    DataEnd,
}

/// Reads a sheet.
pub(crate) struct SheetReader<R> {
    xml: Xml<R>,
    cursor: Cursor,
    limits: Limits,
}

impl<R: BufRead> SheetReader<R> {
    pub(crate) fn new(xml: Xml<R>, limits: &Limits) -> Self {
        Self { xml, cursor: Cursor::default(), limits: limits.clone() }
    }

    /// Reads up to the rows. Every event is shown to `observe`, here and below.
    pub(crate) fn begin(
        &mut self,
        mut observe: impl FnMut(&Event<'_>, Step) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        loop {
            let (event, depth) = self.xml.next()?;
            let step = self.cursor.follow(&event, depth)?;
            observe(&event, step)?;
            match (step, &event) {
                (Step::Data, _) => return Ok(()),
                (_, Event::Eof) => return Err(Fault::Damaged("one of its sheets has no data".to_owned())),
                _ => {}
            }
        }
    }

    /// The next row, with its cells in the `wanted` columns; `None` behind the last one.
    pub(crate) fn next_row(
        &mut self,
        references: References<'_>,
        wanted: &[bool],
        mut observe: impl FnMut(&Event<'_>, Step) -> Result<(), Fault>,
    ) -> Result<Option<SheetRow>, Fault> {
        let mut row = SheetRow::default();
        while self.cursor.inside != Inside::Nothing {
            let (event, depth) = self.xml.next()?;
            let step = self.cursor.follow(&event, depth)?;
            observe(&event, step)?;
            match step {
                Step::CellEnd => self.cursor.finish_cell(&mut row, references, wanted, &self.limits)?,
                Step::EmptyRow | Step::RowEnd => {
                    row.number = self.cursor.row;
                    return Ok(Some(row));
                }
                Step::Cell(_) if self.cursor.cells > self.limits.max_cells => {
                    return Err(Fault::TooLarge(format!("a sheet has more than {} cells", self.limits.max_cells)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Reads what stands behind the rows.
    pub(crate) fn finish(
        &mut self,
        mut observe: impl FnMut(&Event<'_>, Step) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        loop {
            let (event, depth) = self.xml.next()?;
            let step = self.cursor.follow(&event, depth)?;
            if event == Event::Eof {
                return Ok(());
            }
            observe(&event, step)?;
        }
    }

    /// Cells so far.
    pub(crate) fn cells(&self) -> u64 {
        self.cursor.cells
    }
}

/// How far a sheet has been read.
#[derive(Default)]
struct Cursor {
    inside: Inside,
    has_data: bool,
    /// The number of the last row, from 1.
    row: u32,
    /// The column of the next cell that does not name its own.
    column: u32,
    cell: OpenCell,
    cells: u64,
}

/// What is open, each within the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Inside {
    #[default]
    Nothing,
    Data,
    Row,
    Cell,
}

/// A cell as its XML streams by.
#[derive(Default)]
struct OpenCell {
    column: u32,
    kind: Kind,
    format: usize,
    is_formula: bool,
    has_value: bool,
    value: Text,
    /// A text that stands in the cell itself.
    has_inline: bool,
    inline: Text,
    open: CellPart,
}

/// The type of a cell, as its `t` says.
#[derive(Clone, Copy, Default, PartialEq)]
enum Kind {
    #[default]
    Number,
    Shared,
    Inline,
    Text,
    Bool,
    Error,
    Date,
    Unknown,
}

impl Kind {
    fn of(text: &str) -> Self {
        match text.trim() {
            "n" => Self::Number,
            "s" => Self::Shared,
            "inlineStr" => Self::Inline,
            "str" => Self::Text,
            "b" => Self::Bool,
            "e" => Self::Error,
            "d" => Self::Date,
            _ => Self::Unknown,
        }
    }
}

/// Which part of a cell is open.
#[derive(Clone, Copy, Default, PartialEq)]
enum CellPart {
    #[default]
    Nothing,
    Value,
    Inline,
}

impl Cursor {
    fn follow(&mut self, event: &Event<'_>, depth: usize) -> Result<Step, Fault> {
        match event {
            Event::Start(tag) => self.open(tag, event, depth, false),
            Event::Empty(tag) => self.open(tag, event, depth + 1, true),
            Event::End(_) => Ok(self.close(event, depth)),
            _ => Ok(self.pass(event, depth, depth)),
        }
    }

    /// Skips extensions, which matter to no cell, at an element of this depth.
    fn pass(&mut self, event: &Event<'_>, open: usize, depth: usize) -> Step {
        match self.inside {
            Inside::Nothing => Step::Outside(depth),
            Inside::Data => Step::BetweenRows,
            Inside::Row => Step::Within,
            Inside::Cell => {
                self.cell.look(event, open);
                Step::Within
            }
        }
    }

    /// Follows a tag that begins an element of this depth.
    fn open(&mut self, tag: &BytesStart<'_>, event: &Event<'_>, depth: usize, is_empty: bool) -> Result<Step, Fault> {
        match (depth, tag.local_name().as_ref(), self.inside) {
            (1, "worksheet", _) => Ok(Step::Outside(1)),
            (1, ..) => Err(Fault::Damaged("one of its sheets is not a worksheet".to_owned())),
            (2, "sheetData", _) => {
                if std::mem::replace(&mut self.has_data, true) {
                    return Err(Fault::Damaged("one of its sheets has its data twice".to_owned()));
                }
                self.begin(Inside::Data, is_empty);
                Ok(Step::Data)
            }
            (3, "row", Inside::Data) => {
                self.begin_row(tag)?;
                self.begin(Inside::Row, is_empty);
                Ok(if is_empty { Step::EmptyRow } else { Step::Row })
            }
            (4, "c", Inside::Row) => {
                self.begin_cell(tag)?;
                self.begin(Inside::Cell, is_empty);
                Ok(Step::Cell(self.cell.column))
            }
            (5, name, Inside::Cell) => {
                self.cell.begin_part(name, is_empty).map_err(|what| self.fault(what))?;
                Ok(Step::Within)
            }
            _ => Ok(self.pass(event, depth, depth)),
        }
    }

    fn begin(&mut self, inside: Inside, is_empty: bool) {
        if !is_empty {
            self.inside = inside;
        }
    }

    /// Follows the end of an element, so many others being open around it.
    fn close(&mut self, event: &Event<'_>, depth: usize) -> Step {
        let (inside, step) = match (depth, self.inside) {
            (1, Inside::Data) => (Inside::Nothing, Step::DataEnd),
            (2, Inside::Row) => (Inside::Data, Step::RowEnd),
            (3, Inside::Cell) => (Inside::Row, Step::CellEnd),
            (4, Inside::Cell) => {
                self.cell.open = CellPart::Nothing;
                (Inside::Cell, Step::Within)
            }
            _ => return self.pass(event, depth, depth + 1),
        };
        self.inside = inside;
        step
    }

    /// A row without a number follows the one before it, a cell without a reference likewise.
    fn begin_row(&mut self, tag: &BytesStart<'_>) -> Result<(), Fault> {
        let number = match attribute(tag, "r") {
            Some(number) => row_number(&number)
                .ok_or_else(|| Fault::Damaged(format!("a row of its sheet has the number {:?}", shorten(&number))))?,
            None => self.row + 1,
        };
        if number <= self.row {
            return Err(Fault::Damaged(format!("the rows of its sheet are out of order at row {number}")));
        }
        if number > EXCEL_ROWS {
            return Err(Fault::Damaged(format!("its sheet has more than {EXCEL_ROWS} rows")));
        }
        (self.row, self.column) = (number, 0);
        Ok(())
    }

    fn begin_cell(&mut self, tag: &BytesStart<'_>) -> Result<(), Fault> {
        self.cells += 1;
        let mut column = self.column;
        self.cell.clear();
        for (name, value) in values(tag) {
            match name {
                "r" => column = self.read_reference(&value)?,
                "s" => self.cell.format = value.trim().parse().unwrap_or_default(),
                "t" => self.cell.kind = Kind::of(&value),
                _ => {}
            }
        }
        if column >= EXCEL_COLUMNS {
            return Err(Fault::Damaged(format!("row {} of its sheet has too many cells", self.row)));
        }
        (self.cell.column, self.column) = (column, column + 1);
        Ok(())
    }

    /// The column of a cell in this row, behind those before it.
    fn read_reference(&self, reference: &str) -> Result<u32, Fault> {
        let (column, row) = cell_reference(reference)
            .ok_or_else(|| Fault::Damaged(format!("a cell in row {} is called {:?}", self.row, shorten(reference))))?;
        let name = || name(row, column);
        if row != self.row {
            return Err(Fault::Damaged(format!("its cell {} stands in row {}", name(), self.row)));
        }
        if column < self.column {
            return Err(Fault::Damaged(format!("the cells of its sheet are out of order at {}", name())));
        }
        Ok(column)
    }

    fn finish_cell(
        &mut self,
        row: &mut SheetRow,
        references: References<'_>,
        wanted: &[bool],
        limits: &Limits,
    ) -> Result<(), Fault> {
        let cell = &self.cell;
        if [&cell.value, &cell.inline].into_iter().any(|text| text.is_longer_than(limits.max_text)) {
            let what =
                format!("the cell {} holds more than {} characters", name(self.row, cell.column), limits.max_text);
            return Err(Fault::TooLarge(what));
        }
        if !cell.is_occupied() {
            return Ok(());
        }
        row.columns = cell.column + 1;
        let is_wanted = wanted.get(cell.column as usize) == Some(&true);
        let content = cell.read(references, is_wanted).map_err(|what| self.fault(what))?;
        row.is_filled |= !content.is_blank();
        if is_wanted {
            row.cells.push((cell.column, content));
        }
        Ok(())
    }

    fn fault(&self, what: &str) -> Fault {
        Fault::Damaged(format!("its cell {} {what}", name(self.row, self.cell.column)))
    }
}

impl OpenCell {
    fn clear(&mut self) {
        (self.kind, self.format, self.open) = Default::default();
        (self.is_formula, self.has_value, self.has_inline) = Default::default();
        self.value.clear();
        self.inline.clear();
    }

    fn begin_part(&mut self, name: &str, is_empty: bool) -> Result<(), &'static str> {
        let (is_there, open) = match name {
            "v" => (&mut self.has_value, CellPart::Value),
            "is" => (&mut self.has_inline, CellPart::Inline),
            "f" => (&mut self.is_formula, CellPart::Nothing),
            _ => return Ok(()),
        };
        self.open = if is_empty { CellPart::Nothing } else { open };
        if std::mem::replace(is_there, true) { Err("has two values") } else { Ok(()) }
    }

    fn look(&mut self, event: &Event<'_>, depth: usize) {
        match self.open {
            CellPart::Value if depth == 5 => self.value.push(event),
            CellPart::Inline => self.inline.look(event, depth),
            _ => {}
        }
    }

    /// Whether there is anything in it. A formula takes up its place even where its value is an empty text.
    fn is_occupied(&self) -> bool {
        self.is_formula || self.has_value || self.has_inline
    }

    /// Its content, or only whether it has any unless `is_wanted`.
    fn read(&self, references: References<'_>, is_wanted: bool) -> Result<SheetCell, &'static str> {
        let text = |text: &str| match text {
            "" => SheetCell::Empty,
            _ if !is_wanted => SheetCell::Unwanted,
            text => SheetCell::Text(text.to_owned()),
        };
        if self.has_inline && (self.kind == Kind::Inline || !self.has_value) {
            return Ok(text(&self.inline.read()));
        }
        let written = self.value.written();
        let cell = match self.kind {
            Kind::Unknown => return Err("is of a type that no workbook has"),
            Kind::Text if self.has_value => text(&self.value.read()),
            _ if written.is_empty() && self.is_formula => {
                SheetCell::Error("a formula without a computed value".to_owned())
            }
            _ if written.is_empty() => SheetCell::Empty,
            Kind::Shared => {
                let shared = written.parse().ok().and_then(|number| references.texts.get(number));
                text(shared.ok_or("refers to a text that is not there")?)
            }
            Kind::Text | Kind::Inline => text(&self.value.read()),
            Kind::Bool => text(if matches!(written, "1" | "true") { "TRUE" } else { "FALSE" }),
            Kind::Error => SheetCell::Error(self.value.read().into_owned()),
            Kind::Date => iso_date(written).map_or_else(|| text(written), SheetCell::Date),
            Kind::Number => match written.parse::<f64>() {
                Ok(number) => self.number(number, references),
                Err(_) => text(&self.value.read()),
            },
        };
        Ok(cell)
    }

    /// A day, unless the number stands for hours or for a time of day, or is none that a sheet knows.
    fn number(&self, number: f64, references: References<'_>) -> SheetCell {
        let is_date = (1.0..LAST_DAY).contains(&number) && references.formats.shows_date(self.format);
        let day = is_date.then(|| day(number, references.is_1904)).flatten();
        day.map_or(SheetCell::Number(number), SheetCell::Date)
    }
}

/// The day after the last one that a sheet can hold, 9999-12-31.
const LAST_DAY: f64 = 2_958_466.0;

fn day(number: f64, is_1904: bool) -> Option<NaiveDate> {
    // A moment before midnight is a rounded midnight.
    let moment = ExcelDateTime::new(number + 1e-8, ExcelDateTimeType::DateTime, is_1904).as_datetime()?;
    Some(moment.date())
}

/// A date as ISO 8601 writes it, with or without a time of day.
fn iso_date(text: &str) -> Option<NaiveDate> {
    let (day, rest) = text.split_at_checked(10)?;
    (rest.is_empty() || rest.starts_with('T')).then(|| NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()).flatten()
}

/// The number of a row, which has no sign.
fn row_number(text: &str) -> Option<u32> {
    let number: u32 = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()?;
    (1..=EXCEL_ROWS).contains(&number).then_some(number)
}

/// The column, from 0, and the row, from 1, of a reference such as `AB12`.
pub(crate) fn cell_reference(text: &str) -> Option<(u32, u32)> {
    let digits = text.find(|c: char| !c.is_ascii_alphabetic())?;
    let (letters, row) = text.split_at(digits);
    if !(1..=3).contains(&letters.len()) {
        return None;
    }
    let value = |letter: u8| u32::from(letter.to_ascii_uppercase() - b'A') + 1;
    let column = letters.bytes().fold(0, |column, letter| column * 26 + value(letter)) - 1;
    Some((column, row_number(row)?)).filter(|_| column < EXCEL_COLUMNS)
}

/// The letters of a column counted from 0.
pub(crate) fn column_letters(column: u32) -> String {
    let mut letters = Vec::new();
    let mut rest = column + 1;
    while rest > 0 {
        rest -= 1;
        letters.push(char::from(b'A' + (rest % 26) as u8));
        rest /= 26;
    }
    letters.iter().rev().collect()
}

/// The name of a cell such as `B2`, its row counted from 1 and its column from 0.
pub(crate) fn name(row: u32, column: u32) -> String {
    format!("{}{row}", column_letters(column))
}

/// An excerpt of a file's text for a message.
fn shorten(text: &str) -> String {
    text.chars().take(20).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(inside: &str) -> Result<Vec<SheetRow>, Fault> {
        let xml = format!("<worksheet><sheetData>{inside}</sheetData></worksheet>");
        let texts = "<sst><si><t>Kia</t></si><si><t> </t></si></sst>";
        let texts = SharedTexts::read(&mut Xml::new(texts.as_bytes(), "t.xml", 9)?, &Limits::default())?;
        let styles = "<styleSheet><cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/></cellXfs></styleSheet>";
        let formats = Formats::read(&mut Xml::new(styles.as_bytes(), "s.xml", 9)?)?;
        let references = References { texts: &texts, formats: &formats, is_1904: false };
        let mut reader = SheetReader::new(Xml::new(xml.as_bytes(), "a.xml", 1_000_000)?, &Limits::default());
        reader.begin(|_, _| Ok(()))?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row(references, &[true; 30], |_, _| Ok(()))? {
            rows.push(row);
        }
        reader.finish(|_, _| Ok(()))?;
        Ok(rows)
    }

    fn cell(xml: &str) -> SheetCell {
        let row = rows(&format!("<row>{xml}</row>")).unwrap().remove(0);
        row.cells.into_iter().next().map_or(SheetCell::Empty, |(_, cell)| cell)
    }

    #[test]
    fn rows_and_cells_are_counted_as_excel_does() {
        let found = rows(
            "<row/><row><c><v>1</v></c><c r=\"C2\"><v>2</v></c><c><v>3</v></c></row>\
             <row r=\"7\"/><!-- --><row> <c/><c r=\"aa8\"><v>4</v></c></row>",
        )
        .unwrap();
        let places: Vec<_> =
            found.iter().map(|row| (row.number, row.cells.iter().map(|(c, _)| *c).collect())).collect();
        let expected: [(u32, Vec<u32>); 4] = [(1, vec![]), (2, vec![0, 2, 3]), (7, vec![]), (8, vec![26])];
        assert_eq!(places, expected);
        assert_eq!(found[3].columns, 27);
    }

    #[test]
    fn cells_in_ambiguous_places_are_damage() {
        for (xml, what) in [
            ("<row r=\"2\"/><row r=\"2\"/>", "rows of its sheet are out of order at row 2"),
            ("<row r=\"3\"/><row r=\"2\"/>", "rows of its sheet are out of order at row 2"),
            ("<row r=\"4294967298\"/>", "has the number \"4294967298\""),
            ("<row r=\"1048577\"/>", "has the number \"1048577\""),
            ("<row r=\"+1\"/>", "has the number \"+1\""),
            ("<row r=\"0\"/>", "has the number \"0\""),
            ("<row r=\"1048576\"/><row/>", "more than 1048576 rows"),
            ("<row r=\"2\"><c r=\"A3\"/></row>", "cell A3 stands in row 2"),
            ("<row><c r=\"B1\"/><c r=\"A1\"/></row>", "out of order at A1"),
            ("<row><c r=\"B1\"/><c r=\"B1\"/></row>", "out of order at B1"),
            ("<row><c r=\"XFE1\"/></row>", "is called \"XFE1\""),
            ("<row><c r=\"$A$1\"/></row>", "is called \"$A$1\""),
            ("<row><c r=\"\"/></row>", "is called \"\""),
            ("<row><c r=\"A4294967297\"/></row>", "is called"),
            ("<row><c r=\"XFD1\"/><c/></row>", "row 1 of its sheet has too many cells"),
            ("<row><c t=\"s\"><v>2</v></c></row>", "cell A1 refers to a text that is not there"),
            ("<row><c t=\"s\"><v>-1</v></c></row>", "cell A1 refers to a text that is not there"),
            ("<row><c t=\"x\"><v>2</v></c></row>", "cell A1 is of a type that no workbook has"),
            ("<row><c><v>2</v><v>3</v></c></row>", "cell A1 has two values"),
            ("</sheetData><sheetData>", "has its data twice"),
        ] {
            let error = rows(xml).unwrap_err();
            assert!(matches!(error, Fault::Damaged(_)) && error.to_string().contains(what), "{xml}: {error}");
        }
    }

    #[test]
    fn values_are_read_whatever_they_are_written_as() {
        let text = |text: &str| SheetCell::Text(text.to_owned());
        let error = |text: &str| SheetCell::Error(text.to_owned());
        let date = |year, month, day| SheetCell::Date(NaiveDate::from_ymd_opt(year, month, day).unwrap());
        for (xml, expected) in [
            ("<c><v>1</v></c>", SheetCell::Number(1.0)),
            ("<c t=\"n\"><v> 1.5e3 </v></c>", SheetCell::Number(1500.0)),
            ("<c><v><![CDATA[2018]]></v></c>", SheetCell::Number(2018.0)),
            ("<c><v>20<!-- -->1&#56;</v></c>", SheetCell::Number(2018.0)),
            ("<c><v>a &lt; b</v></c>", text("a < b")),
            ("<c t=\"s\"><v> 0 </v></c>", text("Kia")),
            ("<c t=\"s\"><v>1</v></c>", SheetCell::Empty),
            ("<c t=\"s\"><v/></c>", SheetCell::Empty),
            ("<c t=\"str\"><f>A2</f><v>a_x000D_</v></c>", text("a")),
            ("<c t=\"str\"><f>A2</f><v></v></c>", SheetCell::Empty),
            ("<c><f>A2</f></c>", error("a formula without a computed value")),
            ("<c><f/><v/></c>", error("a formula without a computed value")),
            ("<c t=\"inlineStr\"><is><r><t>K</t></r><r><t>ia</t></r><rPh><t>x</t></rPh></is></c>", text("Kia")),
            ("<c t=\"inlineStr\"><v>no</v><is><t>Kia</t></is></c>", text("Kia")),
            ("<c><is><t>Kia</t></is></c>", text("Kia")),
            ("<c t=\"b\"><v>1</v></c>", text("TRUE")),
            ("<c t=\"e\"><v>#SPILL!</v></c>", error("#SPILL!")),
            ("<c t=\"d\"><v>2026-03-17T00:00:00</v></c>", date(2026, 3, 17)),
            ("<c t=\"d\"><v>T12:00</v></c>", text("T12:00")),
            ("<c s=\"1\"><v>46098.25</v></c>", date(2026, 3, 17)),
            ("<c s=\"1\"><v>46097.9999999999</v></c>", date(2026, 3, 17)),
            ("<c s=\"1\"><v>0.25</v></c>", SheetCell::Number(0.25)),
            ("<c s=\"1\"><v>2958466</v></c>", SheetCell::Number(2_958_466.0)),
            ("<c s=\"9\"><v>46098</v></c>", SheetCell::Number(46_098.0)),
            ("<c><extLst><v>1</v></extLst></c>", SheetCell::Empty),
        ] {
            assert_eq!(cell(xml), expected, "{xml}");
        }
    }

    #[test]
    fn columns_have_letters() {
        for (column, letters) in [(0, "A"), (25, "Z"), (26, "AA"), (701, "ZZ"), (702, "AAA"), (16_383, "XFD")] {
            assert_eq!(column_letters(column), letters);
            assert_eq!(cell_reference(&format!("{letters}7")), Some((column, 7)));
        }
    }
}

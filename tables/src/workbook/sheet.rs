//! Streams the rows of a sheet, with Excel's row numbers.

mod cell_reader;
mod cursor;
mod reference;

use std::io::BufRead;

use quick_xml::events::Event;

pub(crate) use cell_reader::References;
pub(crate) use cursor::SheetEvent;
pub(crate) use reference::{EXCEL_COLUMNS, cell_name, cell_reference, column_letters};

use super::cell::SheetRow;
use super::xml::XmlReader;
use crate::error::Fault;
use crate::limits::Limits;
use cursor::{Cursor, Scope};

/// Reads a sheet row by row.
pub(crate) struct SheetReader<R> {
    xml: XmlReader<R>,
    cursor: Cursor,
    limits: Limits,
}

impl<R: BufRead> SheetReader<R> {
    pub(crate) fn new(xml: XmlReader<R>, limits: &Limits) -> Self {
        Self { xml, cursor: Cursor::default(), limits: limits.clone() }
    }

    /// Reads up to the first row. Here and below, every event is passed to `observe`.
    pub(crate) fn start(
        &mut self,
        mut observe: impl FnMut(&Event<'_>, SheetEvent) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        loop {
            let (event, depth) = self.xml.next()?;
            let sheet_event = self.cursor.advance(&event, depth)?;
            observe(&event, sheet_event)?;
            match (sheet_event, &event) {
                (SheetEvent::DataStart, _) => return Ok(()),
                (_, Event::Eof) => return Err(Fault::Damaged("a sheet has no data".to_owned())),
                _ => {}
            }
        }
    }

    /// The next row with its cells in the `selected` columns; `None` after the last row.
    pub(crate) fn next_row(
        &mut self,
        references: References<'_>,
        selected: &[bool],
        mut observe: impl FnMut(&Event<'_>, SheetEvent) -> Result<(), Fault>,
    ) -> Result<Option<SheetRow>, Fault> {
        let mut row = SheetRow::default();
        while self.cursor.scope != Scope::Outside {
            let (event, depth) = self.xml.next()?;
            let sheet_event = self.cursor.advance(&event, depth)?;
            observe(&event, sheet_event)?;
            match sheet_event {
                SheetEvent::CellEnd => self.cursor.finish_cell(&mut row, references, selected, &self.limits)?,
                SheetEvent::EmptyRow | SheetEvent::RowEnd => {
                    row.number = self.cursor.row;
                    return Ok(Some(row));
                }
                SheetEvent::CellStart(_) if self.cursor.cells > self.limits.max_cells => {
                    return Err(Fault::TooLarge(format!("a sheet has more than {} cells", self.limits.max_cells)));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// Reads the rest of the sheet after the rows.
    pub(crate) fn finish(
        &mut self,
        mut observe: impl FnMut(&Event<'_>, SheetEvent) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        loop {
            let (event, depth) = self.xml.next()?;
            let sheet_event = self.cursor.advance(&event, depth)?;
            if event == Event::Eof {
                return Ok(());
            }
            observe(&event, sheet_event)?;
        }
    }

    /// The number of cells so far.
    pub(crate) fn cells(&self) -> u64 {
        self.cursor.cells
    }
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;
    use crate::workbook::cell::SheetCell;
    use crate::workbook::styles::Formats;
    use crate::workbook::text::SharedTexts;

    fn rows(data: &str) -> Result<Vec<SheetRow>, Fault> {
        let xml = format!("<worksheet><sheetData>{data}</sheetData></worksheet>");
        let texts = "<sst><si><t>Kia</t></si><si><t> </t></si></sst>";
        let texts = SharedTexts::read(&mut XmlReader::new(texts.as_bytes(), "t.xml", 9)?, &Limits::default())?;
        let styles = "<styleSheet><cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"14\"/></cellXfs></styleSheet>";
        let formats = Formats::read(&mut XmlReader::new(styles.as_bytes(), "s.xml", 9)?)?;
        let references = References { texts: &texts, formats: &formats, uses_1904_dates: false };
        let mut reader = SheetReader::new(XmlReader::new(xml.as_bytes(), "a.xml", 1_000_000)?, &Limits::default());
        reader.start(|_, _| Ok(()))?;
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
    fn rows_and_cells_are_numbered_as_in_excel() {
        let found = rows(
            "<row/><row><c><v>1</v></c><c r=\"C2\"><v>2</v></c><c><v>3</v></c></row>\
             <row r=\"7\"/><!-- --><row> <c/><c r=\"aa8\"><v>4</v></c></row>",
        )
        .unwrap();
        let positions: Vec<_> =
            found.iter().map(|row| (row.number, row.cells.iter().map(|(c, _)| *c).collect())).collect();
        let expected: [(u32, Vec<u32>); 4] = [(1, vec![]), (2, vec![0, 2, 3]), (7, vec![]), (8, vec![26])];
        assert_eq!(positions, expected);
        assert_eq!(found[3].columns, 27);
    }

    #[test]
    fn ambiguous_rows_and_cells_are_rejected() {
        for (xml, what) in [
            ("<row r=\"2\"/><row r=\"2\"/>", "rows are out of order at row 2"),
            ("<row r=\"3\"/><row r=\"2\"/>", "rows are out of order at row 2"),
            ("<row r=\"4294967298\"/>", "invalid row number \"4294967298\""),
            ("<row r=\"1048577\"/>", "invalid row number \"1048577\""),
            ("<row r=\"+1\"/>", "invalid row number \"+1\""),
            ("<row r=\"0\"/>", "invalid row number \"0\""),
            ("<row r=\"1048576\"/><row/>", "more than 1048576 rows"),
            ("<row r=\"2\"><c r=\"A3\"/></row>", "cell A3 is in row 2"),
            ("<row><c r=\"B1\"/><c r=\"A1\"/></row>", "out of order at A1"),
            ("<row><c r=\"B1\"/><c r=\"B1\"/></row>", "out of order at B1"),
            ("<row><c r=\"XFE1\"/></row>", "invalid cell reference \"XFE1\""),
            ("<row><c r=\"$A$1\"/></row>", "invalid cell reference \"$A$1\""),
            ("<row><c r=\"\"/></row>", "invalid cell reference \"\""),
            ("<row><c r=\"A4294967297\"/></row>", "invalid cell reference"),
            ("<row><c r=\"XFD1\"/><c/></row>", "row 1 has too many cells"),
            ("<row><c t=\"s\"><v>2</v></c></row>", "cell A1 refers to a missing shared string"),
            ("<row><c t=\"s\"><v>-1</v></c></row>", "cell A1 refers to a missing shared string"),
            ("<row><c t=\"x\"><v>2</v></c></row>", "cell A1 has an unknown type"),
            ("<row><c><v>2</v><v>3</v></c></row>", "cell A1 has two values"),
            ("</sheetData><sheetData>", "more than one sheetData element"),
        ] {
            let error = rows(xml).unwrap_err();
            assert!(matches!(error, Fault::Damaged(_)) && error.to_string().contains(what), "{xml}: {error}");
        }
    }

    #[test]
    fn values_of_all_cell_types_are_read() {
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
}

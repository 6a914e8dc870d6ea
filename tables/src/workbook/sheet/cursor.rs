//! The position in the XML of a sheet.

use quick_xml::events::{BytesStart, Event};

use super::cell_reader::{CellPart, CellReader, CellType, References};
use super::reference::{EXCEL_COLUMNS, EXCEL_ROWS, cell_name, cell_reference, row_number};
use crate::error::Fault;
use crate::limits::Limits;
use crate::workbook::cell::SheetRow;
use crate::workbook::xml::{attribute, values};

/// The meaning of an XML event in a sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SheetEvent {
    /// Before or after `sheetData`, at an element of this depth.
    Outside(usize),
    /// `sheetData` starts, or is empty.
    DataStart,
    /// Between rows.
    BetweenRows,
    /// A row starts.
    RowStart,
    /// A row without cells.
    EmptyRow,
    /// A cell with this column index starts, or is empty.
    CellStart(u32),
    /// Anything else within a row or a cell.
    Within,
    /// A cell ends.
    CellEnd,
    /// A row ends.
    RowEnd,
    /// `sheetData` ends.
    DataEnd,
}

/// The position in a sheet.
#[derive(Default)]
pub(super) struct Cursor {
    pub(super) scope: Scope,
    has_data: bool,
    /// The number of the last row.
    pub(super) row: u32,
    /// The column index of the next cell, unless it has a reference.
    next_column: u32,
    cell: CellReader,
    /// The number of cells so far.
    pub(super) cells: u64,
}

/// The innermost open element.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Scope {
    #[default]
    Outside,
    Data,
    Row,
    Cell,
}

impl Cursor {
    /// Moves past an event.
    pub(super) fn advance(&mut self, event: &Event<'_>, depth: usize) -> Result<SheetEvent, Fault> {
        match event {
            Event::Start(tag) => self.start_element(tag, event, depth, false),
            Event::Empty(tag) => self.start_element(tag, event, depth + 1, true),
            Event::End(_) => Ok(self.end_element(event, depth)),
            _ => Ok(self.observe_other(event, depth, depth)),
        }
    }

    /// Handles an event that is not part of the row and cell structure, at an element of this depth.
    fn observe_other(&mut self, event: &Event<'_>, open_elements: usize, depth: usize) -> SheetEvent {
        match self.scope {
            Scope::Outside => SheetEvent::Outside(depth),
            Scope::Data => SheetEvent::BetweenRows,
            Scope::Row => SheetEvent::Within,
            Scope::Cell => {
                self.cell.observe(event, open_elements);
                SheetEvent::Within
            }
        }
    }

    /// Handles the start of an element of this depth.
    fn start_element(
        &mut self,
        tag: &BytesStart<'_>,
        event: &Event<'_>,
        depth: usize,
        is_empty: bool,
    ) -> Result<SheetEvent, Fault> {
        match (depth, tag.local_name().as_ref(), self.scope) {
            (1, "worksheet", _) => Ok(SheetEvent::Outside(1)),
            (1, ..) => Err(Fault::Damaged("a sheet is not a worksheet".to_owned())),
            (2, "sheetData", _) => {
                if std::mem::replace(&mut self.has_data, true) {
                    return Err(Fault::Damaged("a sheet has more than one sheetData element".to_owned()));
                }
                self.enter(Scope::Data, is_empty);
                Ok(SheetEvent::DataStart)
            }
            (3, "row", Scope::Data) => {
                self.start_row(tag)?;
                self.enter(Scope::Row, is_empty);
                Ok(if is_empty { SheetEvent::EmptyRow } else { SheetEvent::RowStart })
            }
            (4, "c", Scope::Row) => {
                self.start_cell(tag)?;
                self.enter(Scope::Cell, is_empty);
                Ok(SheetEvent::CellStart(self.cell.column))
            }
            (5, name, Scope::Cell) => {
                self.cell.start_part(name, is_empty).map_err(|what| self.fault(what))?;
                Ok(SheetEvent::Within)
            }
            _ => Ok(self.observe_other(event, depth, depth)),
        }
    }

    fn enter(&mut self, scope: Scope, is_empty: bool) {
        if !is_empty {
            self.scope = scope;
        }
    }

    /// Handles the end of an element; `depth` elements are still open.
    fn end_element(&mut self, event: &Event<'_>, depth: usize) -> SheetEvent {
        let (scope, sheet_event) = match (depth, self.scope) {
            (1, Scope::Data) => (Scope::Outside, SheetEvent::DataEnd),
            (2, Scope::Row) => (Scope::Data, SheetEvent::RowEnd),
            (3, Scope::Cell) => (Scope::Row, SheetEvent::CellEnd),
            (4, Scope::Cell) => {
                self.cell.open_part = CellPart::Other;
                (Scope::Cell, SheetEvent::Within)
            }
            _ => return self.observe_other(event, depth, depth + 1),
        };
        self.scope = scope;
        sheet_event
    }

    /// A row without a number follows the previous row, and a cell without a reference the previous cell.
    fn start_row(&mut self, tag: &BytesStart<'_>) -> Result<(), Fault> {
        let number = match attribute(tag, "r") {
            Some(number) => row_number(&number)
                .ok_or_else(|| Fault::Damaged(format!("a row has the invalid row number {:?}", shorten(&number))))?,
            None => self.row + 1,
        };
        if number <= self.row {
            return Err(Fault::Damaged(format!("the rows are out of order at row {number}")));
        }
        if number > EXCEL_ROWS {
            return Err(Fault::Damaged(format!("a sheet has more than {EXCEL_ROWS} rows")));
        }
        (self.row, self.next_column) = (number, 0);
        Ok(())
    }

    fn start_cell(&mut self, tag: &BytesStart<'_>) -> Result<(), Fault> {
        self.cells += 1;
        let mut column = self.next_column;
        self.cell.clear();
        for (name, value) in values(tag) {
            match name {
                "r" => column = self.read_column(&value)?,
                "s" => self.cell.format = value.trim().parse().unwrap_or_default(),
                "t" => self.cell.cell_type = CellType::parse(&value),
                _ => {}
            }
        }
        if column >= EXCEL_COLUMNS {
            return Err(Fault::Damaged(format!("row {} has too many cells", self.row)));
        }
        (self.cell.column, self.next_column) = (column, column + 1);
        Ok(())
    }

    /// The column index of a cell in the current row, which must be after the previous cell.
    fn read_column(&self, reference: &str) -> Result<u32, Fault> {
        let (column, row) = cell_reference(reference).ok_or_else(|| {
            Fault::Damaged(format!(
                "a cell in row {} has the invalid cell reference {:?}",
                self.row,
                shorten(reference)
            ))
        })?;
        let name = || cell_name(row, column);
        if row != self.row {
            return Err(Fault::Damaged(format!("cell {} is in row {}", name(), self.row)));
        }
        if column < self.next_column {
            return Err(Fault::Damaged(format!("the cells are out of order at {}", name())));
        }
        Ok(column)
    }

    /// Adds the cell that has just ended to the row.
    pub(super) fn finish_cell(
        &mut self,
        row: &mut SheetRow,
        references: References<'_>,
        selected: &[bool],
        limits: &Limits,
    ) -> Result<(), Fault> {
        let cell = &self.cell;
        if [&cell.value, &cell.inline].into_iter().any(|text| text.is_longer_than(limits.max_text)) {
            let name = cell_name(self.row, cell.column);
            let what = format!("cell {name} has more than {} characters", limits.max_text);
            return Err(Fault::TooLarge(what));
        }
        if !cell.has_content() {
            return Ok(());
        }
        row.columns = cell.column + 1;
        let is_selected = selected.get(cell.column as usize) == Some(&true);
        let content = cell.read(references, is_selected).map_err(|what| self.fault(what))?;
        row.is_filled |= !content.is_blank();
        if is_selected {
            row.cells.push((cell.column, content));
        }
        Ok(())
    }

    fn fault(&self, what: &str) -> Fault {
        Fault::Damaged(format!("cell {} {what}", cell_name(self.row, self.cell.column)))
    }
}

/// An excerpt of a file's text for a message.
fn shorten(text: &str) -> String {
    text.chars().take(20).collect()
}

//! An XLSX workbook: its container checked, its sheets read a row at a time.

mod container;
mod markup;
pub(crate) mod package;

pub use container::inflated_size;
pub(crate) use container::{check_directory, from_zip};

use calamine::{DataRef, ExcelDateTime, Reader, SheetType, Xlsx, XlsxCellReader, XlsxError};

use domain::column::LONGEST_TEXT;

use crate::error::Fault;
use crate::header::{Candidate, SEARCHED_ROWS, Search};
use crate::limits::Limits;
use crate::row::SheetCell;
use crate::source::{Source, Stream};

/// A workbook whose container is within the limits.
pub(crate) struct Workbook<'a> {
    xlsx: Xlsx<Stream<'a>>,
    limits: Limits,
}

/// Cells that are looked at in search of a header, over all sheets.
const SEARCHED_CELLS: u64 = 100_000;

/// A row of a sheet, counted from 0, with its cells from the first column on.
pub(crate) type SheetRow = (u32, Vec<SheetCell>);

impl<'a> Workbook<'a> {
    pub(crate) fn open(source: &Source<'a>, limits: &Limits) -> Result<Self, Fault> {
        container::check(source.open()?, limits)?;
        let stream = source.open()?;
        let xlsx = Fault::guard(|| Xlsx::new(stream).map_err(from_xlsx))?;
        Ok(Self { xlsx, limits: limits.clone() })
    }

    /// The place of a sheet among all sheets of the workbook.
    pub(crate) fn place_of(&self, sheet: &str) -> Option<usize> {
        self.xlsx.sheets_metadata().iter().position(|other| other.name == sheet)
    }

    /// The first sheet in which the required columns are found, or else the row of headers that
    /// comes nearest.
    pub(crate) fn find_header(&mut self) -> Result<(Option<String>, Candidate), Fault> {
        let sheets = self.xlsx.sheets_metadata().iter().filter(|sheet| sheet.typ == SheetType::WorkSheet);
        let names: Vec<String> = sheets.map(|sheet| sheet.name.clone()).collect();
        let mut nearest = Search::default();
        let mut cells = 0;
        for name in names {
            let mut search = Search::default();
            if self.search(&name, &mut search, &mut cells)? {
                return Ok((Some(name), search.into_best()));
            }
            if cells > SEARCHED_CELLS {
                break;
            }
            if search.recognised() > nearest.recognised() || nearest.is_unused() {
                nearest = search;
            }
        }
        Ok((None, nearest.into_best()))
    }

    fn search(&mut self, sheet: &str, search: &mut Search, cells_read: &mut u64) -> Result<bool, Fault> {
        let mut rows = self.rows(sheet, None)?;
        rows.limits.max_cells = rows.limits.max_cells.min(SEARCHED_CELLS);
        let before = *cells_read;
        while let Some((row, cells)) = rows.next_row()? {
            *cells_read = before + rows.cells_read;
            let number = u64::from(row) + 1;
            if number > SEARCHED_ROWS || *cells_read > SEARCHED_CELLS {
                break;
            }
            let headers: Vec<String> = cells.iter().map(SheetCell::header).collect();
            if search.look(number, &headers.iter().map(String::as_str)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All rows of a sheet that hold a value, from the top, with what they hold in the `wanted` columns, or in all.
    pub(crate) fn rows(&mut self, sheet: &str, wanted: Option<Vec<bool>>) -> Result<SheetRows<'_, 'a>, Fault> {
        let limits = self.limits.clone();
        let cells = Fault::guard(|| self.xlsx.worksheet_cells_reader(sheet).map_err(from_xlsx))?;
        Ok(SheetRows { cells, limits, wanted, pending: None, cells_read: 0, next_row: 0, columns: 0, ended: false })
    }
}

/// The rows of a sheet as they stream by.
pub(crate) struct SheetRows<'w, 'a> {
    cells: XlsxCellReader<'w, Stream<'a>>,
    limits: Limits,
    wanted: Option<Vec<bool>>,
    pending: Option<(u32, u32, SheetCell)>,
    cells_read: u64,
    next_row: u32,
    columns: u32,
    ended: bool,
}

impl SheetRows<'_, '_> {
    /// The next row that holds a value.
    pub(crate) fn next_row(&mut self) -> Result<Option<SheetRow>, Fault> {
        Fault::guard(|| self.read_row())
    }

    fn read_row(&mut self) -> Result<Option<SheetRow>, Fault> {
        let Some((row, column, cell)) = self.next_value()? else { return Ok(None) };
        if row < self.next_row {
            return Err(Fault::Damaged(format!("the rows of its sheet are out of order at row {}", row + 1)));
        }
        self.next_row = row + 1;
        let mut cells = Vec::new();
        put(&mut cells, column, cell);
        while let Some((other, column, cell)) = self.next_value()? {
            if other != row {
                self.pending = Some((other, column, cell));
                break;
            }
            put(&mut cells, column, cell);
        }
        Ok(Some((row, cells)))
    }

    /// How many columns the rows so far reach over.
    pub(crate) fn columns(&self) -> u32 {
        self.columns
    }

    fn next_value(&mut self) -> Result<Option<(u32, u32, SheetCell)>, Fault> {
        if self.pending.is_some() || self.ended {
            return Ok(self.pending.take());
        }
        while let Some(record) = self.cells.next_cell_with_formula_metadata().map_err(from_xlsx)? {
            self.cells_read += 1;
            if self.cells_read > self.limits.max_cells {
                return Err(Fault::TooLarge(format!("a sheet has more than {} cells", self.limits.max_cells)));
            }
            let is_formula = record.formula.is_some();
            let (row, column) = record.pos;
            let is_wanted = self.wanted.as_ref().is_none_or(|wanted| wanted.get(column as usize) == Some(&true));
            let cell = read_cell(&record.value, is_formula, is_wanted);
            // A formula takes up its place even where its value is an empty text.
            if cell == SheetCell::Empty && !is_formula {
                continue;
            }
            check(&self.limits, row, column, &record.value)?;
            self.columns = self.columns.max(column + 1);
            return Ok(Some((row, column, cell)));
        }
        self.ended = true;
        Ok(None)
    }
}

fn check(limits: &Limits, row: u32, column: u32, value: &DataRef<'_>) -> Result<(), Fault> {
    let Limits { max_rows, max_columns, max_text, .. } = *limits;
    if u64::from(row) >= max_rows || column as usize >= max_columns {
        let what = format!("the cell {} lies beyond {max_columns} columns and {max_rows} rows", name(row, column));
        return Err(Fault::TooLarge(what));
    }
    let text = match value {
        DataRef::String(text) => text.as_str(),
        DataRef::SharedString(text) => text,
        _ => "",
    };
    if text.len() > max_text && text.chars().count() > max_text {
        let what = format!("the cell {} holds more than {max_text} characters", name(row, column));
        return Err(Fault::TooLarge(what));
    }
    Ok(())
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

fn name(row: u32, column: u32) -> String {
    format!("{}{}", column_letters(column.min(1 << 24)), u64::from(row) + 1)
}

/// Columns are within the limits here, so that a row never grows beyond them.
fn put(cells: &mut Vec<SheetCell>, column: u32, cell: SheetCell) {
    let place = column as usize;
    if cells.len() <= place {
        cells.resize(place + 1, SheetCell::Empty);
    }
    cells[place] = cell;
}

/// The content of a cell, of which nobody wants more than that there is one unless `is_wanted`.
fn read_cell(value: &DataRef<'_>, is_formula: bool, is_wanted: bool) -> SheetCell {
    let text = |text: &str| match text.trim_end() {
        "" => SheetCell::Empty,
        _ if !is_wanted => SheetCell::Unwanted,
        // What is longer is refused for its length, all of which nobody needs for that.
        text => SheetCell::Text(text.chars().take(LONGEST_TEXT + 1).collect()),
    };
    match value {
        DataRef::Empty if is_formula => SheetCell::Error("a formula without a computed value".to_owned()),
        DataRef::Empty => SheetCell::Empty,
        DataRef::String(string) | DataRef::DateTimeIso(string) | DataRef::DurationIso(string) => text(string),
        DataRef::SharedString(string) => text(string),
        DataRef::Bool(value) => text(if *value { "TRUE" } else { "FALSE" }),
        DataRef::Error(error) => SheetCell::Error(error.to_string()),
        DataRef::DateTime(time) => read_time(time),
        #[expect(clippy::cast_precision_loss, reason = "a sheet's numbers are floats to begin with")]
        DataRef::Int(number) => SheetCell::Number(*number as f64),
        DataRef::Float(number) => SheetCell::Number(*number),
    }
}

/// The day after the last one that a sheet can hold, 9999-12-31.
const LAST_DAY: f64 = 2_958_466.0;

/// A day, unless the number stands for hours or for a time of day, or is none that a sheet knows.
fn read_time(time: &ExcelDateTime) -> SheetCell {
    let number = time.as_f64();
    let is_day = time.is_datetime() && (1.0..LAST_DAY).contains(&number);
    let day = is_day.then(|| time.as_datetime()).flatten();
    day.map_or(SheetCell::Number(number), |day| SheetCell::Date(day.date()))
}

fn from_xlsx(error: XlsxError) -> Fault {
    match error {
        XlsxError::Io(error) => Fault::from_read(error),
        XlsxError::Zip(error) => container::from_zip(error),
        other => Fault::Damaged(format!("it is no workbook that can be read ({other})")),
    }
}

//! The rows and cells of a sheet.

use chrono::NaiveDate;
use domain::Cell;

/// The content of a cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum SheetCell {
    #[default]
    Empty,
    Text(String),
    Number(f64),
    Date(NaiveDate),
    Error(String),
    /// Any content in a column that is not selected.
    Ignored,
}

impl SheetCell {
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(text) => text.trim().is_empty(),
            Self::Number(_) | Self::Date(_) | Self::Error(_) | Self::Ignored => false,
        }
    }

    /// The text of the cell, as a header.
    pub(crate) fn header(&self) -> String {
        self.as_cell().display().into_owned()
    }

    pub(crate) fn as_cell(&self) -> Cell<'_> {
        match self {
            Self::Empty | Self::Ignored => Cell::Empty,
            Self::Text(text) => Cell::Text(text),
            Self::Number(number) => Cell::Number(*number),
            Self::Date(date) => Cell::Date(*date),
            Self::Error(error) => Cell::Error(error),
        }
    }
}

/// A row of a sheet.
#[derive(Debug, Default)]
pub(crate) struct SheetRow {
    /// The row number, starting at 1.
    pub(crate) number: u32,
    /// The cells in the selected columns, with their column indices.
    pub(crate) cells: Vec<(u32, SheetCell)>,
    /// Whether any cell is not blank.
    pub(crate) is_filled: bool,
    /// The number of columns up to the last cell with content; cells with only a format are ignored.
    pub(crate) columns: u32,
}

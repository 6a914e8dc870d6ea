//! A cell of a sheet.

use chrono::NaiveDate;
use domain::Cell;

/// A cell of a sheet with its content.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum SheetCell {
    #[default]
    Empty,
    Text(String),
    Number(f64),
    Date(NaiveDate),
    Error(String),
    /// Something in a column that means nothing.
    Unwanted,
}

impl SheetCell {
    pub(crate) fn is_blank(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Text(text) => text.trim().is_empty(),
            Self::Number(_) | Self::Date(_) | Self::Error(_) | Self::Unwanted => false,
        }
    }

    /// The cell as a header.
    pub(crate) fn header(&self) -> String {
        self.as_cell().display().into_owned()
    }

    pub(crate) fn as_cell(&self) -> Cell<'_> {
        match self {
            Self::Empty | Self::Unwanted => Cell::Empty,
            Self::Text(text) => Cell::Text(text),
            Self::Number(number) => Cell::Number(*number),
            Self::Date(date) => Cell::Date(*date),
            Self::Error(error) => Cell::Error(error),
        }
    }
}

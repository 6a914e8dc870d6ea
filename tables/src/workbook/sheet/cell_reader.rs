//! A cell of a sheet while it is being read.

use calamine::{ExcelDateTime, ExcelDateTimeType};
use chrono::NaiveDate;
use quick_xml::events::Event;

use crate::workbook::cell::SheetCell;
use crate::workbook::styles::Formats;
use crate::workbook::text::{SharedTexts, Text};

/// The parts of a workbook that cells refer to.
#[derive(Clone, Copy)]
pub(crate) struct References<'w> {
    pub(crate) texts: &'w SharedTexts,
    pub(crate) formats: &'w Formats,
    pub(crate) uses_1904_dates: bool,
}

/// The current cell.
#[derive(Default)]
pub(super) struct CellReader {
    pub(super) column: u32,
    pub(super) cell_type: CellType,
    pub(super) format: usize,
    is_formula: bool,
    has_value: bool,
    pub(super) value: Text,
    has_inline: bool,
    /// The inline string.
    pub(super) inline: Text,
    pub(super) open_part: CellPart,
}

/// The type of a cell, from its `t` attribute.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum CellType {
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

impl CellType {
    pub(super) fn parse(text: &str) -> Self {
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

/// The open child element of a cell.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) enum CellPart {
    #[default]
    Other,
    Value,
    Inline,
}

impl CellReader {
    pub(super) fn clear(&mut self) {
        (self.cell_type, self.format, self.open_part) = Default::default();
        (self.is_formula, self.has_value, self.has_inline) = Default::default();
        self.value.clear();
        self.inline.clear();
    }

    /// Handles the start of a child element.
    pub(super) fn start_part(&mut self, name: &str, is_empty: bool) -> Result<(), &'static str> {
        let (is_present, part) = match name {
            "v" => (&mut self.has_value, CellPart::Value),
            "is" => (&mut self.has_inline, CellPart::Inline),
            "f" => (&mut self.is_formula, CellPart::Other),
            _ => return Ok(()),
        };
        self.open_part = if is_empty { CellPart::Other } else { part };
        if std::mem::replace(is_present, true) { Err("has two values") } else { Ok(()) }
    }

    /// Handles an event within the cell; `depth` elements are open after it.
    pub(super) fn observe(&mut self, event: &Event<'_>, depth: usize) {
        match self.open_part {
            CellPart::Value if depth == 5 => self.value.push(event),
            CellPart::Inline => self.inline.observe(event, depth),
            _ => {}
        }
    }

    /// Whether the cell has content. A formula counts even if its value is empty.
    pub(super) fn has_content(&self) -> bool {
        self.is_formula || self.has_value || self.has_inline
    }

    /// The content; only whether there is any, unless the column is selected.
    pub(super) fn read(&self, references: References<'_>, is_selected: bool) -> Result<SheetCell, &'static str> {
        let text = |text: &str| match text {
            "" => SheetCell::Empty,
            _ if !is_selected => SheetCell::Ignored,
            text => SheetCell::Text(text.to_owned()),
        };
        if self.has_inline && (self.cell_type == CellType::Inline || !self.has_value) {
            return Ok(text(&self.inline.read()));
        }
        let raw = self.value.raw();
        let cell = match self.cell_type {
            CellType::Unknown => return Err("has an unknown type"),
            CellType::Text if self.has_value => text(&self.value.read()),
            _ if raw.is_empty() && self.is_formula => SheetCell::Error("a formula without a computed value".to_owned()),
            _ if raw.is_empty() => SheetCell::Empty,
            CellType::Shared => {
                let shared = raw.parse().ok().and_then(|number| references.texts.get(number));
                text(shared.ok_or("refers to a missing shared string")?)
            }
            CellType::Text | CellType::Inline => text(&self.value.read()),
            CellType::Bool => text(if matches!(raw, "1" | "true") { "TRUE" } else { "FALSE" }),
            CellType::Error => SheetCell::Error(self.value.read().into_owned()),
            CellType::Date => iso_date(raw).map_or_else(|| text(raw), SheetCell::Date),
            CellType::Number => match raw.parse::<f64>() {
                Ok(number) => self.number(number, references),
                Err(_) => text(&self.value.read()),
            },
        };
        Ok(cell)
    }

    /// A date if the format is a date format and the number is a valid date; a fraction of a day is a time of day.
    fn number(&self, number: f64, references: References<'_>) -> SheetCell {
        let is_date = (1.0..END_OF_DATES).contains(&number) && references.formats.shows_date(self.format);
        let date = is_date.then(|| date(number, references.uses_1904_dates)).flatten();
        date.map_or(SheetCell::Number(number), SheetCell::Date)
    }
}

/// The serial number of the day after 9999-12-31, the last date in Excel.
const END_OF_DATES: f64 = 2_958_466.0;

fn date(number: f64, uses_1904_dates: bool) -> Option<NaiveDate> {
    // A time just before midnight is a rounding error.
    let date_time = ExcelDateTime::new(number + 1e-8, ExcelDateTimeType::DateTime, uses_1904_dates).as_datetime()?;
    Some(date_time.date())
}

/// Parses an ISO 8601 date with an optional time, which is ignored.
fn iso_date(text: &str) -> Option<NaiveDate> {
    let (day, rest) = text.split_at_checked(10)?;
    (rest.is_empty() || rest.starts_with('T')).then(|| NaiveDate::parse_from_str(day, "%Y-%m-%d").ok()).flatten()
}

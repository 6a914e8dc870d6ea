//! A row of a table, and how it becomes a listing.

use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate};
use csv::StringRecord;
use domain::column::MAX_TEXT_CHARS;
use domain::synonyms::canonical;
use domain::{Cell, Column, Listing, PricedListing, Problem, Reason, Value, cell};

use crate::header::{Header, may_differ};
use crate::workbook::{SheetCell, SheetRow};

/// One row below the headers.
#[derive(Clone, Debug)]
pub struct Row {
    number: u64,
    cells: Cells,
}

#[derive(Clone, Debug)]
enum Cells {
    /// The fields of a line, and how many there may be.
    Line(StringRecord, RangeInclusive<usize>),
    /// The cells of a sheet that mean something, each with its column.
    Sheet(Vec<(u32, SheetCell)>),
}

/// Why a row was not taken: one of its cells, or the row as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// The name of the column; empty for the row as a whole.
    pub column: &'static str,
    /// The value as it was given.
    pub value: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Row {
    pub(crate) fn of_line(line: u64, fields: StringRecord, header: &Header) -> Self {
        Self { number: line, cells: Cells::Line(fields, header.width()) }
    }

    pub(crate) fn of_sheet(row: SheetRow) -> Self {
        Self { number: row.number.into(), cells: Cells::Sheet(row.cells) }
    }

    /// The row of the sheet, or the line on which the row begins, counted from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The cell in a place counted from 0; beyond the last one cells are empty.
    #[must_use]
    pub fn cell(&self, place: usize) -> Cell<'_> {
        match &self.cells {
            Cells::Line(fields, _) => fields.get(place).map_or(Cell::Empty, Cell::Text),
            Cells::Sheet(cells) => {
                let cell = cells.iter().find(|(column, _)| *column as usize == place);
                cell.map_or(Cell::Empty, |(_, cell)| cell.as_cell())
            }
        }
    }

    /// Whether there is nothing in the row but blanks. Of a sheet, only rows that hold something are read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.cells {
            Cells::Line(fields, _) => fields.iter().all(|field| field.trim().is_empty()),
            Cells::Sheet(_) => false,
        }
    }

    /// The car, to be valued as of its own date or another.
    ///
    /// # Errors
    /// Everything that is wrong with the row.
    pub fn listing(&self, header: &Header, today: NaiveDate) -> Result<Listing, Vec<Rejection>> {
        self.check_width().map_err(|rejection| vec![rejection])?;
        let mut rejections = Vec::new();
        let mut cells = Vec::with_capacity(Column::ALL.len());
        for (column, places) in header.columns().filter(|(column, _)| *column != Column::Price) {
            match self.agreed_cell(header, column, places, today) {
                Ok(cell) => cells.push((column, cell)),
                Err(rejection) => rejections.push(rejection),
            }
        }
        let listing = Listing::from_cells(cells, today);
        let problems = listing.as_ref().err().into_iter().flatten();
        let told: Vec<&str> = rejections.iter().map(|rejection| rejection.column).collect();
        let untold = problems.filter(|problem| !told.contains(&problem.column.name())).cloned();
        let untold: Vec<Rejection> = untold.map(Rejection::from).collect();
        rejections.extend(untold);
        listing.ok().filter(|_| rejections.is_empty()).ok_or(rejections)
    }

    /// The car with its asking price.
    ///
    /// # Errors
    /// Everything that is wrong with the row, a missing price included.
    pub fn priced(&self, header: &Header, today: NaiveDate) -> Result<PricedListing, Vec<Rejection>> {
        let mut rejections = Vec::new();
        let listing = keep(self.listing(header, today), &mut rejections);
        let price = keep(self.price(header, today).map_err(|rejection| vec![rejection]), &mut rejections);
        let car_group = keep(self.label(header.car_group(), "car_group").map_err(|r| vec![r]), &mut rejections);
        let source = keep(self.label(header.source(), "source").map_err(|r| vec![r]), &mut rejections);
        match (listing, price, car_group, source) {
            (Some(listing), Some(price), Some(car_group), Some(source)) => {
                Ok(PricedListing { listing, price, car_group, source })
            }
            _ => Err(rejections),
        }
    }

    fn price(&self, header: &Header, today: NaiveDate) -> Result<f64, Rejection> {
        let (column, year) = (Column::Price, today.year());
        let places = header.columns().find(|(other, _)| *other == column).map(|(_, places)| places);
        let cell = self.agreed_cell(header, column, places.unwrap_or_default(), today)?;
        match cell::parse_cell(column, &cell, year)? {
            Some(Value::Number(price)) => Ok(price),
            _ => Err(Problem { column, value: String::new(), reason: Reason::Missing }.into()),
        }
    }

    /// The cell of a column: where there are several, the first one that says anything. What the others say must be
    /// the same, as nobody could tell which is right.
    fn agreed_cell(
        &self,
        header: &Header,
        column: Column,
        places: &[usize],
        today: NaiveDate,
    ) -> Result<Cell<'_>, Rejection> {
        if let [place] = places {
            return Ok(self.cell(*place));
        }
        let read = |place: &usize| cell::parse_cell(column, &self.cell(*place), today.year());
        let mut filled = places.iter().filter(|place| !matches!(read(place), Ok(None)));
        let Some(first) = filled.next() else { return Ok(Cell::Empty) };
        let cell = self.cell(*first);
        let Ok(value) = read(first) else { return Ok(cell) };
        if may_differ(column) {
            return Ok(cell);
        }
        let differs = |place: &&usize| {
            read(place).map(|value| value.map(canonical_value(column)))
                != Ok(value.clone().map(canonical_value(column)))
        };
        match filled.find(differs) {
            None => Ok(cell),
            Some(other) => Err(Rejection {
                column: column.name(),
                value: format!("{} / {}", cell.display(), self.cell(*other).display()),
                reason: format!(
                    "differs between the columns {:?} and {:?}",
                    header.headers[*first], header.headers[*other]
                ),
            }),
        }
    }

    /// A text that is kept as it is; `None` where the cell or the column is empty.
    fn label(&self, place: Option<usize>, column: &'static str) -> Result<Option<String>, Rejection> {
        let Some(place) = place else { return Ok(None) };
        let cell = self.cell(place);
        let text = cell.display();
        let text = text.trim();
        let reason = if matches!(cell, Cell::Error(_)) {
            Reason::NoValue
        } else if text.contains('\0') {
            Reason::NotAText
        } else if text.chars().count() > MAX_TEXT_CHARS {
            Reason::TooLong
        } else {
            return Ok((!text.is_empty()).then(|| text.to_owned()));
        };
        Err(Rejection { column, value: text.chars().take(60).collect(), reason: reason.to_string() })
    }

    /// A line with more or fewer fields than the header has cells in the wrong columns. Empty
    /// fields behind the last header are harmless.
    fn check_width(&self) -> Result<(), Rejection> {
        let Cells::Line(fields, width) = &self.cells else { return Ok(()) };
        let used = (0..fields.len()).rfind(|place| !fields[*place].trim().is_empty()).map_or(0, |last| last + 1);
        if fields.len() >= *width.start() && used <= *width.end() {
            return Ok(());
        }
        let reason = format!("the row has {} fields, the header has {}", fields.len(), width.end());
        Err(Rejection { column: "", value: String::new(), reason })
    }
}

impl From<Problem> for Rejection {
    fn from(problem: Problem) -> Self {
        Self { column: problem.column.name(), value: problem.value, reason: problem.reason.to_string() }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.column.is_empty() {
            write!(f, "{} ", self.column)?;
        }
        f.write_str(&self.reason)?;
        if self.value.is_empty() { Ok(()) } else { write!(f, " (got {:?})", self.value) }
    }
}

/// A value in the form in which it is compared.
fn canonical_value(column: Column) -> impl Fn(Value) -> Value {
    move |value| match value {
        Value::Text(text) => Value::Text(canonical(column, &text)),
        other => other,
    }
}

fn keep<T>(result: Result<T, Vec<Rejection>>, rejections: &mut Vec<Rejection>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(found) => {
            rejections.extend(found);
            None
        }
    }
}

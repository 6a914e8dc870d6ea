//! A row of a table, and its conversion to a listing.

use std::ops::RangeInclusive;

use chrono::{Datelike, NaiveDate};
use csv::StringRecord;
use domain::column::MAX_TEXT_CHARS;
use domain::message::{self, Argument, Arguments, Topic};
use domain::{Cell, Column, Language, Listing, Market, PricedListing, Problem, Reading, Reason, Targets, Value, cell};

use crate::car::year_of_car;
use crate::header::{Header, may_differ};
use crate::workbook::{SheetCell, SheetRow};

/// A row below the header.
#[derive(Clone, Debug)]
pub struct Row {
    number: u64,
    cells: Cells,
}

#[derive(Clone, Debug)]
enum Cells {
    /// The fields of a line, and the range of their number.
    Line(StringRecord, RangeInclusive<usize>),
    /// The cells of a sheet in recognized columns, with their column indices.
    Sheet(Vec<(u32, SheetCell)>),
}

/// The reason why a row was rejected: one of its cells or the whole row.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejection {
    /// The name of the column; empty for the whole row.
    pub column: &'static str,
    /// The value as written.
    pub value: String,
    /// A stable identifier of the reason for programs.
    pub code: &'static str,
    /// What is wrong with it, in English.
    pub reason: String,
    /// What its message is made of.
    pub arguments: Arguments,
}

impl Rejection {
    /// A make that the model does not know; `reason` says so in English.
    #[must_use]
    pub fn unknown_make(make: &str, reason: &str, nearest: Option<String>) -> Self {
        let column = Column::Brand.name();
        // The description begins with the name of the column, as does that of a rejection.
        let reason = reason.strip_prefix(column).unwrap_or(reason).trim_start().to_owned();
        let arguments = nearest.map(|nearest| ("nearest", Argument::Quoted(nearest))).into_iter().collect();
        Self { column, value: make.to_owned(), code: "unknown_brand", reason, arguments }
    }

    /// The rejection in a language.
    #[must_use]
    pub fn text(&self, language: Language) -> String {
        if language == Language::English {
            return self.to_string();
        }
        // In a table nobody can add a parameter to a request.
        let code = if self.code == "unknown_brand" { "unknown_make" } else { self.code };
        let reason = message::text(Topic::Field, code, &self.arguments, language);
        let label = Column::from_name(self.column).map_or(self.column, |column| language.of_both(column.label()));
        match (label, self.value.as_str()) {
            ("", _) => reason,
            (label, "") => format!("{label}: {reason}"),
            (label, value) => format!("{label} «{value}»: {reason}"),
        }
    }
}

impl Row {
    pub(crate) fn from_line(line: u64, fields: StringRecord, header: &Header) -> Self {
        Self { number: line, cells: Cells::Line(fields, header.width()) }
    }

    pub(crate) fn from_sheet(row: SheetRow) -> Self {
        Self { number: row.number.into(), cells: Cells::Sheet(row.cells) }
    }

    /// The row number in the sheet, or the number of its first line.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The cell at a column index; empty after the last column.
    #[must_use]
    pub fn cell(&self, index: usize) -> Cell<'_> {
        match &self.cells {
            Cells::Line(fields, _) => fields.get(index).map_or(Cell::Empty, Cell::Text),
            Cells::Sheet(cells) => {
                let cell = cells.iter().find(|(column, _)| *column as usize == index);
                cell.map_or(Cell::Empty, |(_, cell)| cell.as_cell())
            }
        }
    }

    /// The number of columns up to the last cell.
    pub(crate) fn width(&self) -> usize {
        match &self.cells {
            Cells::Line(fields, _) => fields.len(),
            Cells::Sheet(cells) => cells.last().map_or(0, |(column, _)| *column as usize + 1),
        }
    }

    /// Whether the row is blank. Blank rows of a sheet are not read at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.cells {
            Cells::Line(fields, _) => fields.iter().all(|field| field.trim().is_empty()),
            Cells::Sheet(_) => false,
        }
    }

    /// The listing, which is valued as of its own date or `today`.
    ///
    /// # Errors
    /// All rejections of the row.
    pub fn listing(&self, header: &Header, today: NaiveDate) -> Result<Listing, Vec<Rejection>> {
        self.check_width().map_err(|rejection| vec![rejection])?;
        let reading = Reading { market: &header.market, year: today.year() };
        let mut rejections = Vec::new();
        let mut values = Vec::with_capacity(Column::ALL.len());
        for (column, indices) in header.columns().filter(|(column, _)| !Column::TARGETS.contains(column)) {
            match self.resolve(header, column, indices, reading) {
                Ok(value) => values.push((column, value)),
                Err(rejection) => rejections.push(rejection),
            }
        }
        if let Some(index) = header.cars_with_years() {
            values.push((Column::Year, Ok(year_of_car(&self.cell(index).display(), reading))));
        }
        let listing = Listing::from_values(values);
        let problems = listing.as_ref().err().into_iter().flatten();
        let reported: Vec<&str> = rejections.iter().map(|rejection| rejection.column).collect();
        let others = problems.filter(|problem| !reported.contains(&problem.column.name())).cloned();
        let others: Vec<Rejection> = others.map(Rejection::from).collect();
        rejections.extend(others);
        listing.ok().filter(|_| rejections.is_empty()).ok_or(rejections)
    }

    /// The listing with its targets.
    ///
    /// # Errors
    /// All rejections of the row; a missing price is one.
    pub fn priced(&self, header: &Header, today: NaiveDate) -> Result<PricedListing, Vec<Rejection>> {
        let mut rejections = Vec::new();
        let listing = collect_rejections(self.listing(header, today), &mut rejections);
        let mut target = |column, is_required| {
            let target = self.target(header, column, is_required, today).map_err(|rejection| vec![rejection]);
            collect_rejections(target, &mut rejections)
        };
        let price = target(Column::Price, true);
        let sale_price = target(Column::SalePrice, false);
        let days_listed = target(Column::DaysListed, false);
        let car_group =
            collect_rejections(self.label(header.car_group(), "car_group").map_err(|r| vec![r]), &mut rejections);
        let source = collect_rejections(self.label(header.source(), "source").map_err(|r| vec![r]), &mut rejections);
        match (listing, price.flatten(), sale_price, days_listed, car_group, source) {
            (Some(listing), Some(price), Some(sale_price), Some(days_listed), Some(car_group), Some(source)) => {
                let targets = Targets { price, sale_price, days_listed };
                Ok(PricedListing { listing, targets, car_group, source })
            }
            _ => Err(rejections),
        }
    }

    /// The listing and its value of a target column.
    ///
    /// # Errors
    /// All rejections of the row; a missing target is one.
    pub fn labelled(
        &self,
        header: &Header,
        target: Column,
        today: NaiveDate,
    ) -> Result<(Listing, f64), Vec<Rejection>> {
        let mut rejections = Vec::new();
        let listing = collect_rejections(self.listing(header, today), &mut rejections);
        let target = self.target(header, target, true, today).map_err(|rejection| vec![rejection]);
        match (listing, collect_rejections(target, &mut rejections).flatten()) {
            (Some(listing), Some(target)) => Ok((listing, target)),
            _ => Err(rejections),
        }
    }

    /// The value of a target column.
    pub(crate) fn target(
        &self,
        header: &Header,
        column: Column,
        is_required: bool,
        today: NaiveDate,
    ) -> Result<Option<f64>, Rejection> {
        let reading = Reading { market: &header.market, year: today.year() };
        let indices = header.columns().find(|(other, _)| *other == column).map(|(_, indices)| indices);
        match self.resolve(header, column, indices.unwrap_or_default(), reading)?? {
            Some(Value::Number(number)) => Ok(Some(number)),
            _ if is_required => Err(Problem { column, value: String::new(), reason: Reason::Missing }.into()),
            _ => Ok(None),
        }
    }

    /// The value of a column. If it has several headers, this is that of the first nonempty cell, and the others must agree with
    /// it.
    fn resolve(
        &self,
        header: &Header,
        column: Column,
        indices: &[usize],
        reading: Reading<'_>,
    ) -> Result<Result<Option<Value>, Problem>, Rejection> {
        let read = |index: &usize| cell::parse_cell_in(column, &self.cell(*index), header.unit(*index), reading);
        if let [index] = indices {
            return Ok(read(index));
        }
        let mut filled = indices.iter().filter(|index| !matches!(read(index), Ok(None)));
        let Some(first) = filled.next() else { return Ok(Ok(None)) };
        let Ok(value) = read(first) else { return Ok(read(first)) };
        if may_differ(column) {
            return Ok(Ok(value));
        }
        let canonical = canonical_value(column, reading.market);
        let differs =
            |index: &&usize| read(index).map(|value| value.map(&canonical)) != Ok(value.clone().map(&canonical));
        match filled.find(differs) {
            None => Ok(Ok(value)),
            Some(other) => Err(Rejection {
                column: column.name(),
                code: "contradictory",
                arguments: vec![
                    ("first", Argument::Quoted(header.headers[*first].clone())),
                    ("second", Argument::Quoted(header.headers[*other].clone())),
                ],
                value: format!("{} / {}", self.cell(*first).display(), self.cell(*other).display()),
                reason: format!(
                    "differs between the columns {:?} and {:?}",
                    header.headers[*first], header.headers[*other]
                ),
            }),
        }
    }

    /// A text that is stored as is; `None` if the cell or the column is missing.
    fn label(&self, index: Option<usize>, column: &'static str) -> Result<Option<String>, Rejection> {
        let Some(index) = index else { return Ok(None) };
        let cell = self.cell(index);
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
        Err(Rejection {
            column,
            value: text.chars().take(60).collect(),
            code: reason.code(),
            reason: reason.to_string(),
            arguments: reason.arguments(),
        })
    }

    /// Rejects a line with more or fewer fields than the header, since they may be in the wrong columns. Empty fields after
    /// the last header are harmless.
    fn check_width(&self) -> Result<(), Rejection> {
        let Cells::Line(fields, width) = &self.cells else { return Ok(()) };
        let used = (0..fields.len()).rfind(|index| !fields[*index].trim().is_empty()).map_or(0, |last| last + 1);
        if fields.len() >= *width.start() && used <= *width.end() {
            return Ok(());
        }
        let reason = format!("the row has {} fields, the header has {}", fields.len(), width.end());
        let arguments = vec![
            ("found", Argument::Plain(fields.len().to_string())),
            ("expected", Argument::Plain(width.end().to_string())),
        ];
        Err(Rejection { column: "", value: String::new(), code: "field_count", reason, arguments })
    }
}

impl From<Problem> for Rejection {
    fn from(problem: Problem) -> Self {
        let Problem { column, value, reason } = problem;
        let (code, arguments) = (reason.code(), reason.arguments());
        Self { column: column.name(), value, code, reason: reason.to_string(), arguments }
    }
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.column.is_empty() {
            write!(f, "{} ", self.column)?;
        }
        f.write_str(&self.reason)?;
        // Some reasons begin with the value.
        let is_named = self.value.is_empty() || self.reason.starts_with(&format!("{:?}", self.value));
        if is_named { Ok(()) } else { write!(f, " (got {:?})", self.value) }
    }
}

/// Converts a value to the form in which it is compared.
fn canonical_value(column: Column, market: &Market) -> impl Fn(Value) -> Value {
    move |value| match value {
        Value::Text(text) => Value::Text(market.canonical(column, &text)),
        other => other,
    }
}

/// Returns the value, or adds the rejections to those of the row.
fn collect_rejections<T>(result: Result<T, Vec<Rejection>>, rejections: &mut Vec<Rejection>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(found) => {
            rejections.extend(found);
            None
        }
    }
}

//! Values rows, and describes the outcome of each.

use std::borrow::Cow;
use std::ops::AddAssign;

use chrono::NaiveDate;
use domain::fold::fold;
use domain::{Column, Language, Listing, Valuation};

use super::presentation::{Presentation, rounded};

use crate::error::{Fault, TableError};
use crate::header::Header;
use crate::row::{Rejection, Row};

/// The numbers of rows of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ValuedCounts {
    /// Rows that are not empty.
    pub rows: u64,
    /// Rows with a price.
    pub valued: u64,
}

/// A valued table.
#[derive(Clone, Debug, PartialEq)]
pub struct ValuedTable {
    /// The numbers of rows.
    pub counts: ValuedCounts,
    /// The header, which says which columns were used.
    pub header: Header,
}

/// Why a table was not valued.
#[derive(Debug, thiserror::Error)]
pub enum ValueError<E> {
    /// The table could not be read or written.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The valuation itself failed.
    #[error("{0}")]
    Value(E),
}

/// The result of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct RowResult {
    /// The number of the row or line.
    pub row: u64,
    /// The make, model and year of the car, as written.
    pub car: String,
    /// The price and the lower and upper end of its interval; `None` if the row was not valued.
    pub prices: Option<[f64; 3]>,
    /// The listed value of the target, if it is to be compared.
    pub listed: Option<f64>,
    /// What is written as the status of the row.
    pub status: String,
}

/// Values the rows of a table.
pub struct Valuer<'v, E> {
    /// The date of listings without one.
    pub today: NaiveDate,
    /// The number of threads that value the rows of a workbook, besides the reading thread.
    pub threads: usize,
    /// May correct a listing, such as its spelling of a make, and returns the reason why it is not to be valued, if there is one, which
    /// becomes the status of the row.
    pub admit: &'v (dyn Fn(&mut Listing) -> Option<Rejection> + Sync),
    /// How results are written for people; by default for programs.
    pub presentation: Option<&'v Presentation>,
    /// Returns a valuation for each listing, in order.
    pub value: &'v (dyn Fn(Vec<Listing>) -> Result<Vec<Valuation>, E> + Sync),
    /// Receives the results of rows, in no order.
    pub observe: Option<&'v (dyn Fn(Vec<RowResult>) + Sync)>,
}

/// The appended columns for programs, with their widths.
const COLUMNS: [(&str, u32); 4] =
    [("predict_value", 15), ("predict_low", 15), ("predict_high", 15), ("predict_status", 40)];
/// The maximum length of a status in characters.
const MAX_STATUS_CHARS: usize = 500;
/// The maximum length of each part of the name of a car in characters.
const MAX_NAME_CHARS: usize = 40;

/// The outcome of a row, written to the appended columns.
#[derive(Debug, PartialEq)]
pub(super) struct RowOutcome {
    /// The price and the lower and upper end of its interval.
    pub(super) prices: Option<[f64; 3]>,
    /// The listed value of the target, if it is to be compared.
    pub(super) listed: Option<f64>,
    pub(super) status: Cow<'static, str>,
}

impl<E> Valuer<'_, E> {
    /// Values rows. Returns their outcomes in order, and the numbers of rows.
    pub(super) fn value_rows(&self, header: &Header, rows: &[Row]) -> Result<(Vec<RowOutcome>, ValuedCounts), E> {
        let language = self.presentation.map_or(Language::English, |presentation| presentation.language_of(header));
        let mut listings = Vec::with_capacity(rows.len());
        let mut rejected: Vec<Result<Option<f64>, RowOutcome>> = Vec::with_capacity(rows.len());
        let mut cars = Vec::new();
        for row in rows {
            if self.observe.is_some() {
                cars.push((row.number(), car_name(header, row)));
            }
            rejected.push(self.read_row(header, row, language).map(|listing| {
                listings.push(listing);
                let target = self.presentation.map(|presentation| presentation.target);
                target.and_then(|target| row.target(header, target, false, self.today).ok().flatten())
            }));
        }
        let expected = listings.len();
        let values = if expected == 0 { Vec::new() } else { (self.value)(listings)? };
        assert_eq!(values.len(), expected, "one valuation per listing");
        let mut values = values.into_iter();
        let outcomes = rejected.into_iter().filter_map(|rejected| match rejected {
            Ok(listed) => {
                values.next().map(|value| RowOutcome::valued(value, listed, self.presentation.is_some(), language))
            }
            Err(rejected) => Some(rejected),
        });
        let outcomes: Vec<RowOutcome> = outcomes.collect();
        if let Some(observe) = self.observe {
            let result = |((row, car), outcome): ((u64, String), &RowOutcome)| {
                let (prices, listed, status) = (outcome.prices, outcome.listed, outcome.status.clone().into_owned());
                RowResult { row, car, prices, listed, status }
            };
            observe(cars.into_iter().zip(&outcomes).map(result).collect());
        }
        Ok((outcomes, ValuedCounts { rows: rows.len() as u64, valued: expected as u64 }))
    }

    /// The listing to value, or the outcome of a row that is not valued.
    fn read_row(&self, header: &Header, row: &Row, language: Language) -> Result<Listing, RowOutcome> {
        let rejected = |rejections: &[Rejection]| {
            let reasons: Vec<String> = rejections.iter().map(|rejection| rejection.text(language)).collect();
            RowOutcome::rejected(reasons.join("; "))
        };
        let mut listing = row.listing(header, self.today).map_err(|rejections| rejected(&rejections))?;
        match (self.admit)(&mut listing) {
            None => Ok(listing),
            Some(rejection) => Err(rejected(&[rejection])),
        }
    }
}

impl AddAssign for ValuedCounts {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.valued += other.valued;
    }
}

impl RowOutcome {
    /// The listed value minus the estimate.
    pub(super) fn difference(&self) -> Option<f64> {
        let [price, ..] = self.prices?;
        Some(self.listed? - price)
    }

    fn valued(valuation: Valuation, listed: Option<f64>, is_for_people: bool, language: Language) -> Self {
        let prices = [valuation.price, valuation.low, valuation.high];
        let ok = language.of_both(("ок", "ok"));
        let notes: Vec<String> =
            valuation.warnings.into_iter().map(|warning| warning.in_language(language).message).collect();
        let status = if notes.is_empty() {
            Cow::Borrowed(ok)
        } else {
            Cow::Owned(truncate_status(format!("{ok}: {}", notes.join("; "))))
        };
        let prices = if is_for_people { rounded(prices) } else { prices.map(f64::round) };
        Self { prices: Some(prices), listed, status }
    }

    fn rejected(reason: String) -> Self {
        Self { prices: None, listed: None, status: Cow::Owned(truncate_status(reason)) }
    }
}

/// The make, model and year of a row as written, for people to find it.
fn car_name(header: &Header, row: &Row) -> String {
    let part = |wanted: Column| {
        let (_, indices) = header.columns().find(|(column, _)| *column == wanted)?;
        let text = row.cell(*indices.first()?).display().trim().chars().take(MAX_NAME_CHARS).collect::<String>();
        (!text.is_empty()).then_some(text)
    };
    [Column::Brand, Column::Model, Column::Year].into_iter().filter_map(part).collect::<Vec<_>>().join(" ")
}

fn truncate_status(status: String) -> String {
    if status.chars().count() <= MAX_STATUS_CHARS { status } else { status.chars().take(MAX_STATUS_CHARS).collect() }
}

/// The headers of the appended columns, with the width of each in characters.
pub(super) fn appended_headers(header: &Header, presentation: Option<&Presentation>) -> Vec<(String, u32)> {
    let headers = match presentation {
        Some(presentation) => {
            let has_listed = header.columns().any(|(column, _)| column == presentation.target);
            presentation.headers(presentation.language_of(header), has_listed)
        }
        None => COLUMNS.map(|(name, width)| (name.to_owned(), width)).to_vec(),
    };
    headers.into_iter().map(|(name, width)| (free_header(header, &name), width)).collect()
}

/// A header, numbered if the table already has one with the same name.
fn free_header(header: &Header, name: &str) -> String {
    let taken = |title: &str| header.headers.iter().any(|header| fold(header) == fold(title));
    let numbered = (2..).map(|number| format!("{name} ({number})"));
    std::iter::once(name.to_owned()).chain(numbered).find(|title| !taken(title)).unwrap_or_default()
}

/// Why the valuation of a workbook failed.
pub(super) enum WorkbookError<E> {
    Fault(Fault),
    Value(E),
}

impl<E> From<Fault> for WorkbookError<E> {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

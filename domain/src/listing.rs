//! A listing: one car, advertised on one day.

use chrono::{Datelike, NaiveDate};

use crate::cell::{self, Cell};
use crate::column::Column;
use crate::market::{Market, Reading};
use crate::problem::{Problem, Reason};
use crate::value::Value;

const WIDTH: usize = Column::ALL.len() - Column::TARGETS.len();

/// A car as described by a listing, without its price. Any column may be missing; [`Listing::from_cells`] checks that
/// the required ones are present.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listing {
    values: [Option<Value>; WIDTH],
}

impl Listing {
    /// Parses and validates cells as written in a market. Columns without a cell are missing; the targets are ignored.
    ///
    /// # Errors
    /// All invalid cells and missing required columns.
    pub fn from_cells<'a>(
        cells: impl IntoIterator<Item = (Column, Cell<'a>)>,
        market: &Market,
        today: NaiveDate,
    ) -> Result<Self, Vec<Problem>> {
        let reading = Reading { market, year: today.year() };
        let cells = cells.into_iter().filter(|(column, _)| !Column::TARGETS.contains(column));
        Self::from_values(cells.map(|(column, cell)| (column, cell::parse_cell(column, &cell, reading))))
    }

    /// Collects parsed cells.
    ///
    /// # Errors
    /// All invalid cells and missing required columns.
    pub fn from_values(
        values: impl IntoIterator<Item = (Column, Result<Option<Value>, Problem>)>,
    ) -> Result<Self, Vec<Problem>> {
        let mut listing = Self::default();
        let mut problems = Vec::new();
        for (column, value) in values {
            match value {
                Ok(value) => listing.set(column, value),
                Err(problem) => problems.push(problem),
            }
        }
        for column in Column::REQUIRED {
            let reported = problems.iter().any(|problem| problem.column == column);
            if listing.get(column).is_none() && !reported {
                problems.push(Problem { column, value: String::new(), reason: Reason::Missing });
            }
        }
        if problems.is_empty() { Ok(listing) } else { Err(problems) }
    }

    /// The value of a column, if present. A listing has no targets.
    #[must_use]
    pub fn get(&self, column: Column) -> Option<&Value> {
        self.values.get(column as usize)?.as_ref()
    }

    /// Sets a validated value. A target is ignored.
    pub fn set(&mut self, column: Column, value: Option<Value>) {
        if let Some(slot) = self.values.get_mut(column as usize) {
            *slot = value;
        }
    }

    /// The text of a text column, if present.
    #[must_use]
    pub fn text(&self, column: Column) -> Option<&str> {
        match self.get(column) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// The number of a number column, if present.
    #[must_use]
    pub fn number(&self, column: Column) -> Option<f64> {
        match self.get(column) {
            Some(Value::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// The day of the listing, if present.
    #[must_use]
    pub fn date(&self) -> Option<NaiveDate> {
        match self.get(Column::ListingDate) {
            Some(Value::Date(date)) => Some(*date),
            _ => None,
        }
    }

    /// The same listing with its numbers in the units of a market instead of the stored ones.
    #[must_use]
    pub fn in_units_of(&self, market: &Market) -> Self {
        let mut shown = self.clone();
        if let Some(mileage) = self.number(Column::Mileage) {
            shown.set(Column::Mileage, Some(Value::Number(market.to_shown(Column::Mileage, mileage))));
        }
        shown
    }

    /// The same listing, dated `today` if it has no date.
    #[must_use]
    pub fn with_default_date(mut self, today: NaiveDate) -> Self {
        if self.date().is_none() {
            self.set(Column::ListingDate, Some(Value::Date(today)));
        }
        self
    }
}

/// What models predict of a listing, in the units of its market.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Targets {
    /// The asking price, positive.
    pub price: f64,
    /// What the car was sold for, if known.
    pub sale_price: Option<f64>,
    /// For how many days it was listed, if known.
    pub days_listed: Option<f64>,
}

impl Targets {
    /// Only an asking price.
    #[must_use]
    pub fn price(price: f64) -> Self {
        Self { price, sale_price: None, days_listed: None }
    }
}

/// A listing with its asking price.
#[derive(Clone, Debug, PartialEq)]
pub struct PricedListing {
    /// The car.
    pub listing: Listing,
    /// What models predict of it.
    pub targets: Targets,
    /// The `car_group` of the row, if any; relisted cars share one.
    pub car_group: Option<String>,
    /// Where the row came from; never a feature.
    pub source: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn today() -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 11, 22).unwrap()
    }

    #[test]
    fn cells_become_a_listing() {
        let listing = Listing::from_cells(
            [
                (Column::Brand, Cell::Text(" LADA (ВАЗ) ")),
                (Column::Year, Cell::Number(1995.0)),
                (Column::Mileage, Cell::Text("96 000 км")),
                (Column::OwnersCount, Cell::Text("4 и более")),
            ],
            Market::russia(),
            today(),
        )
        .unwrap();
        assert_eq!(listing.text(Column::Brand), Some("LADA (ВАЗ)"));
        assert_eq!(listing.number(Column::Mileage), Some(96_000.0));
        assert_eq!(listing.number(Column::OwnersCount), Some(4.0));
        assert_eq!(listing.clone().with_default_date(today()).date(), Some(today()));
    }

    #[test]
    fn every_problem_is_reported_once() {
        let problems = Listing::from_cells(
            [(Column::Year, Cell::Text("two thousand")), (Column::Mileage, Cell::Number(-1.0))],
            Market::russia(),
            today(),
        )
        .unwrap_err();
        let columns: Vec<_> = problems.iter().map(|problem| problem.column).collect();
        assert_eq!(columns, [Column::Year, Column::Mileage, Column::Brand]);
    }
}

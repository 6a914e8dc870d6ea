//! The row of headers: which column of the table means which column of a listing.

use std::ops::RangeInclusive;

use domain::Column;
use domain::fold::fold_header;

use crate::error::Fault;

/// Within so many rows from the top the headers must stand.
pub(crate) const SEARCHED_ROWS: u64 = 100;

/// What the columns of a table mean.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The sheet of a workbook; `None` for CSV.
    pub sheet: Option<String>,
    /// The row or line in which the headers stand, counted from 1.
    pub row: u64,
    /// The headers as they are written, from the first column on.
    pub headers: Vec<String>,
    meanings: Vec<Meaning>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    Column(Column),
    CarGroup,
    Source,
    Nothing,
}

impl Header {
    /// The columns of a listing that the table has, each with its place from 0.
    pub fn columns(&self) -> impl Iterator<Item = (usize, Column)> {
        self.meanings.iter().enumerate().filter_map(|(place, meaning)| match meaning {
            Meaning::Column(column) => Some((place, *column)),
            _ => None,
        })
    }

    /// The place of the column that says which rows are the same car.
    #[must_use]
    pub fn car_group(&self) -> Option<usize> {
        self.meanings.iter().position(|meaning| *meaning == Meaning::CarGroup)
    }

    /// The place of the column that says where a row came from.
    #[must_use]
    pub fn source(&self) -> Option<usize> {
        self.meanings.iter().position(|meaning| *meaning == Meaning::Source)
    }

    /// The headers that mean nothing here: an import leaves these columns out.
    #[must_use]
    pub fn unrecognised(&self) -> Vec<&str> {
        let headers = self.headers.iter().zip(&self.meanings);
        let unknown = headers.filter(|(header, meaning)| **meaning == Meaning::Nothing && !header.trim().is_empty());
        unknown.map(|(header, _)| header.as_str()).collect()
    }

    /// For each column whether it means anything.
    pub(crate) fn wanted(&self) -> Vec<bool> {
        self.meanings.iter().map(|meaning| *meaning != Meaning::Nothing).collect()
    }

    /// How many fields a line may have: up to the last header that is not empty, up to the last.
    pub(crate) fn width(&self) -> RangeInclusive<usize> {
        let named = self.headers.iter().rposition(|header| !header.trim().is_empty());
        named.map_or(0, |last| last + 1)..=self.headers.len()
    }

    /// Reads a row of headers.
    pub(crate) fn new(found: Candidate, sheet: Option<String>, price_required: bool) -> Result<Self, Fault> {
        let meanings: Vec<Meaning> = found.headers.iter().map(|header| meaning(header)).collect();
        let header = Self { sheet, row: found.row, headers: found.headers, meanings };
        header.check_missing(price_required)?;
        header.check_twice()?;
        Ok(header)
    }

    fn check_missing(&self, price_required: bool) -> Result<(), Fault> {
        let present: Vec<Column> = self.columns().map(|(_, column)| column).collect();
        let required = Column::REQUIRED.into_iter().chain(price_required.then_some(Column::Price));
        let missing: Vec<Column> = required.filter(|column| !present.contains(column)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let found = self.headers.iter().filter(|header| !header.trim().is_empty()).cloned().collect();
        Err(Fault::MissingColumns { missing, found })
    }

    fn check_twice(&self) -> Result<(), Fault> {
        for (place, meaning) in self.meanings.iter().enumerate() {
            let column = match meaning {
                Meaning::Column(column) => column.name(),
                Meaning::CarGroup => CAR_GROUP,
                Meaning::Source => SOURCE,
                Meaning::Nothing => continue,
            };
            if let Some(earlier) = self.meanings[..place].iter().position(|other| other == meaning) {
                let (first, second) = (self.headers[earlier].clone(), self.headers[place].clone());
                return Err(Fault::SameColumn { column, first, second });
            }
        }
        Ok(())
    }
}

const CAR_GROUP: &str = "car_group";
const SOURCE: &str = "source";

/// A row that may be the headers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) row: u64,
    pub(crate) headers: Vec<String>,
}

/// The search for the row of headers from the top of a table downwards.
#[derive(Debug, Default)]
pub(crate) struct Search {
    best: Candidate,
    recognised: usize,
}

impl Search {
    /// Looks at a row; true once the required columns are found and the search is over.
    pub(crate) fn look<'a>(&mut self, row: u64, headers: &(impl Iterator<Item = &'a str> + Clone)) -> bool {
        let columns: Vec<Column> = recognised(headers.clone()).collect();
        let count = columns.len();
        if count > self.recognised || self.best.headers.is_empty() {
            self.recognised = count;
            self.best = Candidate { row, headers: headers.clone().map(str::to_owned).collect() };
        }
        Column::REQUIRED.iter().all(|required| columns.contains(required))
    }

    /// Whether no row was looked at.
    pub(crate) fn is_unused(&self) -> bool {
        self.best.headers.is_empty()
    }

    /// How many headers the best row has that are known.
    pub(crate) fn recognised(&self) -> usize {
        self.recognised
    }

    /// The row in which most headers were known.
    pub(crate) fn into_best(self) -> Candidate {
        self.best
    }
}

/// The columns that headers mean, unknown headers passed over.
pub(crate) fn recognised<'a>(headers: impl Iterator<Item = &'a str>) -> impl Iterator<Item = Column> {
    headers.filter_map(|header| match meaning(header) {
        Meaning::Column(column) => Some(column),
        _ => None,
    })
}

fn meaning(header: &str) -> Meaning {
    // A long text is no header, and folding it would take its time.
    if header.len() > 200 || header.trim().is_empty() {
        return Meaning::Nothing;
    }
    let folded = fold_header(header);
    if folded == fold_header(CAR_GROUP) {
        Meaning::CarGroup
    } else if folded == SOURCE {
        Meaning::Source
    } else {
        Column::from_header(header).map_or(Meaning::Nothing, Meaning::Column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(headers: &[&str], price_required: bool) -> Result<Header, Fault> {
        let headers = headers.iter().map(|header| (*header).to_owned()).collect();
        Header::new(Candidate { row: 1, headers }, None, price_required)
    }

    #[test]
    fn columns_are_recognised_in_both_languages() {
        let header = header(&["Марка", "note", "ГОД выпуска", "mileage", "Car Group", "source", ""], false).unwrap();
        let columns: Vec<_> = header.columns().collect();
        assert_eq!(columns, [(0, Column::Brand), (2, Column::Year), (3, Column::Mileage)]);
        assert_eq!((header.car_group(), header.source()), (Some(4), Some(5)));
        assert_eq!(header.unrecognised(), ["note"]);
    }

    #[test]
    fn a_missing_column_is_told_with_its_headers() {
        let message = header(&["brand", "год", "km"], false).unwrap_err().to_string();
        assert_eq!(
            message,
            "no column for mileage (its header may be mileage / пробег / пробег, км / пробег (км)); \
             the headers found in the first 100 rows are brand, год, km"
        );
        let message = header(&["brand", "year", "mileage"], true).unwrap_err().to_string();
        assert!(message.starts_with("no column for price"), "{message}");
    }

    #[test]
    fn two_headers_of_one_column_are_refused() {
        let message = header(&["brand", "year", "mileage", "Регион", "город"], false).unwrap_err().to_string();
        assert_eq!(
            message,
            "the headers \"Регион\" and \"город\" both mean the column region; rename or remove one of them"
        );
    }
}

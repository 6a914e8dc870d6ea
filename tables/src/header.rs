//! The row of headers: which column of the table means which column of a listing.

use std::ops::RangeInclusive;

use domain::Column;
use domain::fold::fold_header;

use crate::error::Fault;

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
    columns: Vec<(Column, Vec<usize>)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Meaning {
    Column(Column),
    CarGroup,
    Source,
    Nothing,
}

impl Header {
    /// The columns of a listing that the table has, each with its place from 0, or its places where several headers
    /// mean it: that of the most specific header first.
    pub fn columns(&self) -> impl Iterator<Item = (Column, &[usize])> {
        self.columns.iter().map(|(column, places)| (*column, places.as_slice()))
    }

    /// A sentence for each column of a listing that several headers mean.
    #[must_use]
    pub fn shared(&self) -> Vec<String> {
        let shared = self.columns().filter(|(_, places)| places.len() > 1);
        let sentence = |(column, places): (Column, &[usize])| {
            let names: Vec<String> = places.iter().map(|place| format!("{:?}", self.headers[*place].trim())).collect();
            let name = column.name();
            let rule = if may_differ(column) { "the first that is filled counts" } else { "they must agree" };
            format!("{} all mean {name}: {rule}", names.join(", "))
        };
        shared.map(sentence).collect()
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

    /// The headers that are not recognised: an import ignores these columns.
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
        let columns = places(&found.headers, &meanings);
        let header = Self { sheet, row: found.row, headers: found.headers, meanings, columns };
        header.check_missing(price_required)?;
        if price_required {
            header.check_twice()?;
        }
        Ok(header)
    }

    fn check_missing(&self, price_required: bool) -> Result<(), Fault> {
        let present: Vec<Column> = self.columns().map(|(column, _)| column).collect();
        let required = Column::REQUIRED.into_iter().chain(price_required.then_some(Column::Price));
        let missing: Vec<Column> = required.filter(|column| !present.contains(column)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let found = self.headers.iter().filter(|header| !header.trim().is_empty()).cloned().collect();
        Err(Fault::MissingColumns { missing, found })
    }

    /// Two columns for the source or the car group are ambiguous.
    fn check_twice(&self) -> Result<(), Fault> {
        for (place, meaning) in self.meanings.iter().enumerate() {
            let column = match meaning {
                Meaning::CarGroup => CAR_GROUP,
                Meaning::Source => SOURCE,
                Meaning::Column(_) | Meaning::Nothing => continue,
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

/// Whether two headers of the column say different things that are both right: a city lies in a region.
pub(crate) fn may_differ(column: Column) -> bool {
    column == Column::Region
}

/// The places of each column, in the order in which the columns come first.
fn places(headers: &[String], meanings: &[Meaning]) -> Vec<(Column, Vec<usize>)> {
    let mut columns: Vec<(Column, Vec<usize>)> = Vec::new();
    for (place, meaning) in meanings.iter().enumerate() {
        let Meaning::Column(column) = meaning else { continue };
        match columns.iter_mut().find(|(other, _)| other == column) {
            Some((_, places)) => places.push(place),
            None => columns.push((*column, vec![place])),
        }
    }
    for (column, places) in &mut columns {
        places.sort_by_key(|place| column.header_rank(&headers[*place]));
    }
    columns
}

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
    // A long text is not a header, and folding it would be slow.
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
        assert_eq!(columns, [(Column::Brand, &[0][..]), (Column::Year, &[2]), (Column::Mileage, &[3])]);
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
    fn headers_of_one_column_come_by_how_much_they_say() {
        let header =
            header(&["город", "brand", "год", "mileage", "Регион", "YEAR", "Цена", "Стоимость"], false).unwrap();
        let columns: Vec<_> = header.columns().collect();
        let expected: [(Column, &[usize]); 5] = [
            (Column::Region, &[4, 0]),
            (Column::Brand, &[1]),
            (Column::Year, &[5, 2]),
            (Column::Mileage, &[3]),
            (Column::Price, &[6, 7]),
        ];
        assert_eq!(columns, expected);
        assert_eq!(
            header.shared()[..2],
            [
                "\"Регион\", \"город\" all mean region: the first that is filled counts",
                "\"YEAR\", \"год\" all mean year: they must agree"
            ]
        );
    }

    #[test]
    fn two_columns_of_groups_are_refused_where_groups_matter() {
        let headers = ["brand", "year", "mileage", "price", "car_group", "Car Group"];
        let message = header(&headers, true).unwrap_err().to_string();
        assert_eq!(
            message,
            "the headers \"car_group\" and \"Car Group\" both mean the column car_group; rename or remove one of them"
        );
        assert!(header(&headers, false).is_ok());
    }
}

//! The header: which column of the table is which column of a listing.

use std::ops::RangeInclusive;

use domain::heading::Heading;
use domain::{Column, Market};

use crate::error::Fault;
use crate::headings::{CAR_GROUP, Headings, Meaning, SOURCE, meanings};
use crate::search::Candidate;

/// The header of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// The sheet of a workbook; `None` for CSV.
    pub sheet: Option<String>,
    /// The number of its row or line.
    pub row: u64,
    /// The headers as written, starting at the first column.
    pub headers: Vec<String>,
    /// How the table is read.
    pub market: Market,
    meanings: Vec<Meaning>,
    columns: Vec<(Column, Vec<usize>)>,
}

impl Header {
    /// The columns of a listing that the table has, each with the indices of its headers, the most specific one first.
    pub fn columns(&self) -> impl Iterator<Item = (Column, &[usize])> {
        self.columns.iter().map(|(column, indices)| (*column, indices.as_slice()))
    }

    /// The unit in the header at an index.
    #[must_use]
    pub fn unit(&self, index: usize) -> Option<&str> {
        match self.meanings.get(index) {
            Some(Meaning::Column(heading)) => heading.unit.as_deref(),
            _ => None,
        }
    }

    /// A sentence for each column with more than one header.
    #[must_use]
    pub fn describe_shared(&self) -> Vec<String> {
        let shared = self.columns().filter(|(_, indices)| indices.len() > 1);
        let sentence = |(column, indices): (Column, &[usize])| {
            let names: Vec<String> = indices.iter().map(|index| format!("{:?}", self.headers[*index].trim())).collect();
            let name = column.name();
            let rule = if may_differ(column) { "the first nonempty one is used" } else { "they must agree" };
            format!("{} all denote {name}: {rule}", names.join(", "))
        };
        shared.map(sentence).collect()
    }

    /// The index of the column that identifies listings of the same car.
    #[must_use]
    pub fn car_group(&self) -> Option<usize> {
        self.meanings.iter().position(|meaning| *meaning == Meaning::CarGroup)
    }

    /// The index of the column with the source of the row.
    #[must_use]
    pub fn source(&self) -> Option<usize> {
        self.meanings.iter().position(|meaning| *meaning == Meaning::Source)
    }

    /// The unrecognized headers, whose columns are ignored.
    #[must_use]
    pub fn unrecognized(&self) -> Vec<&str> {
        let headers = self.headers.iter().zip(&self.meanings);
        let unknown = headers.filter(|(header, meaning)| **meaning == Meaning::Unknown && !header.trim().is_empty());
        unknown.map(|(header, _)| header.as_str()).collect()
    }

    /// For each column, whether it is recognized.
    pub(crate) fn selected(&self) -> Vec<bool> {
        self.meanings.iter().map(|meaning| *meaning != Meaning::Unknown).collect()
    }

    /// The range of the number of fields in a line: up to the last nonempty header, or up to the last header.
    pub(crate) fn width(&self) -> RangeInclusive<usize> {
        let named = self.headers.iter().rposition(|header| !header.trim().is_empty());
        named.map_or(0, |last| last + 1)..=self.headers.len()
    }

    /// Rejects a header without a required column. `target` is required besides those of a listing.
    pub(crate) fn check(&self, target: Option<Column>) -> Result<(), Fault> {
        self.check_missing(target)?;
        if target.is_some() { self.check_duplicates() } else { Ok(()) }
    }
    /// Interprets a candidate row as the header.
    pub(crate) fn new(candidate: Candidate, sheet: Option<String>, headings: Headings<'_>) -> Self {
        let mut meanings: Vec<Meaning> = meanings(candidate.headers.iter().map(String::as_str), headings).collect();
        forget_other_cars(&mut meanings);
        let columns = column_indices(&meanings);
        let market = headings.market.clone();
        Self { sheet, row: candidate.row, headers: candidate.headers, market, meanings, columns }
    }

    /// The column of a listing that a header denotes.
    pub(crate) fn column(&self, index: usize) -> Option<Column> {
        match self.meanings.get(index) {
            Some(Meaning::Column(heading)) => Some(heading.column),
            _ => None,
        }
    }

    /// The required columns that the table lacks.
    pub(crate) fn missing(&self) -> Vec<Column> {
        Column::REQUIRED.into_iter().filter(|required| !self.has(*required)).collect()
    }

    fn has(&self, required: Column) -> bool {
        self.has_column(required) || (required == Column::Year && self.cars_with_years().is_some())
    }

    fn has_column(&self, wanted: Column) -> bool {
        self.columns().any(|(column, _)| column == wanted)
    }

    /// The index of a column of cars in a table without years, which may be there too: "Kia Rio 2018".
    pub(crate) fn cars_with_years(&self) -> Option<usize> {
        let cars = self.meanings.iter().position(Meaning::is_of_cars);
        cars.filter(|_| !self.has_column(Column::Year))
    }

    fn check_missing(&self, target: Option<Column>) -> Result<(), Fault> {
        // Only a model knows which words of "Kia Rio" are the make, and an import has none.
        let has_makes = target.is_none() || !self.meanings.iter().any(Meaning::is_of_cars);
        let is_missing = |column: &Column| !self.has(*column) || (*column == Column::Brand && !has_makes);
        let missing: Vec<Column> = Column::REQUIRED.into_iter().chain(target).filter(is_missing).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let found = self.headers.iter().filter(|header| !header.trim().is_empty()).cloned().collect();
        let accepted = |column: &Column| {
            let headers = self.market.headers(*column).iter().map(String::as_str);
            let names = std::iter::once(column.name()).chain(headers).take(MAX_NAMED_HEADERS);
            (*column, names.collect::<Vec<_>>().join(" / "))
        };
        Err(Fault::MissingColumns { missing: missing.iter().map(accepted).collect(), found })
    }

    /// Rejects more than one column for the source or the car group.
    fn check_duplicates(&self) -> Result<(), Fault> {
        for (index, meaning) in self.meanings.iter().enumerate() {
            let column = match meaning {
                Meaning::CarGroup => CAR_GROUP,
                Meaning::Source => SOURCE,
                Meaning::Column(_) | Meaning::Unknown => continue,
            };
            if let Some(earlier) = self.meanings[..index].iter().position(|other| other == meaning) {
                let (first, second) = (self.headers[earlier].clone(), self.headers[index].clone());
                return Err(Fault::DuplicateColumn { column, first, second });
            }
        }
        Ok(())
    }
}

/// The number of accepted headers that an error names.
const MAX_NAMED_HEADERS: usize = 4;

/// Whether several headers of the column may have different values: a city is in a region.
pub(crate) fn may_differ(column: Column) -> bool {
    column == Column::Region
}

/// Forgets headers above makes with their models if another column has the makes: "Автомобиль" beside "Марка".
fn forget_other_cars(meanings: &mut [Meaning]) {
    let rank = |meaning: &Meaning| match meaning {
        Meaning::Column(heading) if heading.column == Column::Brand => Some(heading.rank),
        _ => None,
    };
    let Some(best) = meanings.iter().filter_map(rank).min() else { return };
    let mut is_found = false;
    for meaning in meanings {
        let is_other = match meaning {
            Meaning::Column(heading) => heading.is_of_cars() && (heading.rank > best || is_found),
            _ => false,
        };
        is_found |= rank(meaning) == Some(best);
        if is_other {
            *meaning = Meaning::Unknown;
        }
    }
}

/// The indices of each column, in the order in which the columns first occur.
fn column_indices(meanings: &[Meaning]) -> Vec<(Column, Vec<usize>)> {
    let mut columns: Vec<(Column, Vec<(usize, usize)>)> = Vec::new();
    for (index, meaning) in meanings.iter().enumerate() {
        let Meaning::Column(Heading { column, rank, .. }) = meaning else { continue };
        match columns.iter_mut().find(|(other, _)| other == column) {
            Some((_, ranked)) => ranked.push((*rank, index)),
            None => columns.push((*column, vec![(*rank, index)])),
        }
    }
    let by_rank = |(column, mut ranked): (Column, Vec<(usize, usize)>)| {
        ranked.sort_unstable();
        (column, ranked.into_iter().map(|(_, index)| index).collect())
    };
    columns.into_iter().map(by_rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::Mapping;

    fn header(headers: &[&str], price_required: bool) -> Result<Header, Fault> {
        let headers = headers.iter().map(|header| (*header).to_owned()).collect();
        let target = price_required.then_some(Column::Price);
        let headings = Headings { market: Market::russia(), mapping: &Mapping::default() };
        let header = Header::new(Candidate { row: 1, headers }, None, headings);
        header.check(target).map(|()| header)
    }

    #[test]
    fn columns_are_recognized_in_both_languages() {
        let header = header(&["Марка", "note", "ГОД выпуска", "mileage", "Car Group", "source", ""], false).unwrap();
        let columns: Vec<_> = header.columns().collect();
        assert_eq!(columns, [(Column::Brand, &[0][..]), (Column::Year, &[2]), (Column::Mileage, &[3])]);
        assert_eq!((header.car_group(), header.source()), (Some(4), Some(5)));
        assert_eq!(header.unrecognized(), ["note"]);
    }

    #[test]
    fn a_missing_column_is_reported_with_its_headers() {
        let message = header(&["brand", "год", "km"], false).unwrap_err().to_string();
        assert_eq!(
            message,
            "missing required column mileage (accepted headers: mileage / пробег / пробег авто / одометр); \
             the headers found in the first 100 rows are brand, год, km"
        );
        let message = header(&["brand", "year", "mileage"], true).unwrap_err().to_string();
        assert!(message.starts_with("missing required column price"), "{message}");
    }

    #[test]
    fn headers_of_a_column_are_ordered_by_specificity() {
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
            header.describe_shared()[..2],
            [
                "\"Регион\", \"город\" all denote region: the first nonempty one is used",
                "\"YEAR\", \"год\" all denote year: they must agree"
            ]
        );
    }

    #[test]
    fn a_column_of_cars_has_the_makes_unless_another_one_does() {
        let brand = |headers: &[&str]| {
            let header = header(headers, false).unwrap();
            let indices = header.columns().find(|(column, _)| *column == Column::Brand).unwrap().1.to_vec();
            (indices, header.unrecognized().into_iter().map(str::to_owned).collect::<Vec<_>>())
        };
        assert_eq!(brand(&["Марка, модель", "Год", "Пробег"]), (vec![0], Vec::new()));
        assert_eq!(brand(&["Автомобиль", "Марка", "Год", "Пробег"]), (vec![1], vec!["Автомобиль".to_owned()]));
        assert_eq!(brand(&["ТС", "Наименование", "Год", "Пробег"]), (vec![1], vec!["ТС".to_owned()]));
        // An import has no model that could tell the make from the model.
        let message = header(&["Автомобиль", "Год", "Пробег", "Цена"], true).unwrap_err().to_string();
        assert!(message.contains("brand"), "{message}");
    }

    #[test]
    fn duplicate_car_groups_are_rejected_in_an_import() {
        let headers = ["brand", "year", "mileage", "price", "car_group", "Car Group"];
        let message = header(&headers, true).unwrap_err().to_string();
        assert_eq!(
            message,
            "the headers \"car_group\" and \"Car Group\" both denote the column car_group; rename or remove one of them"
        );
        assert!(header(&headers, false).is_ok());
    }
}

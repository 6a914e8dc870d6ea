//! The search for the header, which may have two rows.

use domain::Column;
use domain::heading::Heading;

use crate::headings::{Headings, Meaning, meaning, recognized};

/// A row that may be the header.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Candidate {
    pub(crate) row: u64,
    pub(crate) headers: Vec<String>,
}

/// A top-down search for the header, which may have two rows: groups such as "Engine" above, and "Volume" and "Power" below.
#[derive(Debug)]
pub(crate) struct Search<'m> {
    headings: Headings<'m>,
    best: Candidate,
    recognized: usize,
    /// Whether the best row has the required columns.
    is_complete: bool,
    /// The row inspected last.
    above: Candidate,
}

impl<'m> Search<'m> {
    pub(crate) fn new(headings: Headings<'m>) -> Self {
        let (best, above) = (Candidate::default(), Candidate::default());
        Self { headings, best, recognized: 0, is_complete: false, above }
    }

    /// Inspects a row; true if the search has ended: with the row after the first one that has the required columns, which may be the
    /// lower row of the same header.
    pub(crate) fn inspect<'a>(&mut self, row: u64, headers: &(impl Iterator<Item = &'a str> + Clone)) -> bool {
        let was_complete = self.is_complete;
        let mut headers: Vec<String> = headers.clone().map(str::to_owned).collect();
        let width = headers.len().max(self.headings.mapping.last_place());
        headers.resize(width, String::new());
        let candidate = Candidate { row, headers };
        if !was_complete {
            self.consider(candidate.clone());
        }
        if self.above.row + 1 == row && !self.above.headers.is_empty() {
            self.consider(self.above.with_lower_row(&candidate, self.headings));
        }
        self.above = candidate;
        was_complete
    }

    fn consider(&mut self, candidate: Candidate) {
        let columns: Vec<Column> = recognized(candidate.headers.iter().map(String::as_str), self.headings).collect();
        if columns.len() > self.recognized || self.best.headers.is_empty() {
            self.recognized = columns.len();
            self.is_complete = Column::REQUIRED.iter().all(|required| columns.contains(required));
            self.best = candidate;
        }
    }

    /// Whether a row has the required columns.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether no row has been inspected.
    pub(crate) fn is_empty(&self) -> bool {
        self.best.headers.is_empty()
    }

    /// The number of recognized headers in the best row.
    pub(crate) fn recognized(&self) -> usize {
        self.recognized
    }

    /// The row with the most recognized headers.
    pub(crate) fn into_candidate(self) -> Candidate {
        self.best
    }
}

impl Candidate {
    /// The header that consists of this row and the one below. A header of this row stands for the empty ones to its right too, since
    /// of merged cells only the first has a text.
    fn with_lower_row(&self, lower: &Self, headings: Headings<'_>) -> Self {
        let mut group = "";
        let columns = self.headers.len().max(lower.headers.len());
        let headers = (0..columns).map(|index| {
            let [upper, own] = [self, lower].map(|row| row.headers.get(index).map_or("", |header| header.trim()));
            if !upper.is_empty() {
                group = upper;
            }
            if own.is_empty() {
                return upper.to_owned();
            }
            let both = format!("{group} {own}");
            let is_column = |header: &str| matches!(meaning(index, header, headings), Meaning::Column(_));
            // A price means something else in a group such as "Purchase".
            let is_money = Heading::of(own, headings.market).is_some_and(|heading| heading.column.is_money());
            let is_own = is_column(own) && (group.is_empty() || !is_money);
            if is_own && !is_column(&both) || group.is_empty() { own.to_owned() } else { both }
        });
        Self { row: lower.row, headers: headers.collect() }
    }
}

#[cfg(test)]
mod tests {
    use domain::Market;

    use super::*;
    use crate::header::Header;
    use crate::mapping::Mapping;

    fn search(rows: &[&[&str]]) -> Candidate {
        let mapping = Mapping::default();
        let mut search = Search::new(Headings { market: Market::russia(), mapping: &mapping });
        for (number, row) in (1..).zip(rows) {
            if search.inspect(number, &row.iter().copied()) {
                break;
            }
        }
        search.into_candidate()
    }

    #[test]
    fn a_header_may_have_two_rows() {
        let above = ["Автомобиль", "", "", "Пробег, км", "Двигатель", "", "Цена", "", "Цвет"];
        let below = ["Марка", "Модель", "Год", "", "Объём, л", "Мощность", "закупки", "продажи", ""];
        let car = ["Kia", "Rio", "2018", "83000", "1.6", "123", "900000", "1200000", "белый"];
        let found = search(&[&["Склад на 1 марта"], &above, &below, &car]);
        assert_eq!(found.row, 3);
        let headings = Headings { market: Market::russia(), mapping: &Mapping::default() };
        let header = Header::new(found, None, headings);
        let columns: Vec<_> = header.columns().map(|(column, indices)| (column.name(), indices.to_vec())).collect();
        let expected = [
            ("brand", vec![0]),
            ("model", vec![1]),
            ("year", vec![2]),
            ("mileage", vec![3]),
            ("engine_volume", vec![4]),
            ("engine_power", vec![5]),
            ("sale_price", vec![7]),
            ("color", vec![8]),
        ];
        assert_eq!(columns, expected.map(|(name, indices)| (name, indices)));
        assert_eq!(header.unrecognized(), ["Цена закупки"]);
    }

    #[test]
    fn the_lower_row_may_only_have_the_groups() {
        let above = ["Марка", "Модель", "Год", "Пробег", "Двигатель", ""];
        let below = ["", "", "", "", "объём", "мощность"];
        let found = search(&[&above, &below, &["Kia", "Rio", "2018", "83000", "1.6", "123"]]);
        assert_eq!((found.row, found.headers[4].as_str()), (2, "Двигатель объём"));
        // A row of a car is not a part of the header.
        let found = search(&[&above, &["Kia", "Rio", "2018", "83000", "", ""], &below]);
        assert_eq!((found.row, found.headers[4].as_str()), (1, "Двигатель"));
        let found = search(&[&["Марка", "Год", ""], &["Kia", "2018", "Пробег"]]);
        assert_eq!(found.row, 1);
    }

    #[test]
    fn a_group_of_cars_is_not_a_column_of_cars() {
        let above = ["Автомобиль", "", "", "Двигатель"];
        let found = search(&[&above, &["марка", "модель", "год", "объем"], &["", "", "", "л"]]);
        assert_eq!(found.headers[..2], ["марка".to_owned(), "модель".to_owned()]);
    }
}

//! Checks a table before it is valued: what its columns mean, and which rows cannot be valued.

use chrono::NaiveDate;
use domain::heading::Heading;
use domain::{Column, Listing};

use crate::error::TableError;
use crate::format::Format;
use crate::header::Header;
use crate::mapping::Mapping;
use crate::row::{Rejection, Row};
use crate::source::Source;
use crate::table::{Options, Table};

/// What is known of a table before it is valued.
#[derive(Clone, Debug, PartialEq)]
pub struct TableCheck {
    /// The format of the file.
    pub format: Format,
    /// The sheet of a workbook; `None` for CSV.
    pub sheet: Option<String>,
    /// The number of the row or line with the headers.
    pub header_row: u64,
    /// Every column of the table with a header or with content, in order.
    pub columns: Vec<CheckedColumn>,
    /// The required columns that the table lacks; without them no row can be valued.
    pub missing: Vec<Column>,
    /// Rows below the header that are not blank.
    pub rows: u64,
    /// Rows that can be valued.
    pub valuable: u64,
    /// The first problems of rows.
    pub problems: Vec<RowProblem>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckedColumn {
    /// Its index, starting at 0.
    pub index: usize,
    /// Its header as written; may be empty.
    pub header: String,
    /// The column of a listing that it is; `None` if it is not used.
    pub column: Option<Column>,
    /// The unit in the header.
    pub unit: Option<String>,
    /// Whether somebody has chosen its meaning.
    pub is_chosen: bool,
    /// What it may be, if it is not used.
    pub suggestion: Option<Column>,
    /// Its first different values.
    pub examples: Vec<String>,
}

/// A problem of a row.
#[derive(Clone, Debug, PartialEq)]
pub struct RowProblem {
    /// The number of the row or line.
    pub row: u64,
    /// What is wrong.
    pub rejection: Rejection,
}

/// The maximum number of problems to describe.
const MAX_PROBLEMS: usize = 100;
/// The maximum number of examples of a column, and their length in characters.
const MAX_EXAMPLES: usize = 3;
const MAX_EXAMPLE_CHARS: usize = 60;
/// The number of rows to take examples from.
const EXAMPLE_ROWS: u64 = 200;

/// Reads a table as if it were to be valued. `admit` is that of a [`Valuer`](crate::Valuer).
///
/// # Errors
/// The table cannot be read.
pub fn check_table(
    source: Source<'_>,
    options: Options,
    today: NaiveDate,
    admit: impl Fn(&mut Listing) -> Option<Rejection>,
) -> Result<TableCheck, TableError> {
    let mut table = Table::open_any(source, options)?;
    let header = table.header().clone();
    let mut check = TableCheck {
        format: table.format(),
        sheet: header.sheet.clone(),
        header_row: header.row,
        columns: columns(&header, &table.options().mapping),
        missing: header.missing(),
        rows: 0,
        valuable: 0,
        problems: Vec::new(),
    };
    if check.columns.is_empty() {
        return Ok(check);
    }
    let selected = vec![true; table.options().limits.max_columns];
    for row in table.rows_with(selected)? {
        check.add(&row?, &header, today, &admit);
    }
    // A column without a header and without content is no column.
    check.columns.retain(|column| !column.header.trim().is_empty() || !column.examples.is_empty());
    Ok(check)
}

fn columns(header: &Header, mapping: &Mapping) -> Vec<CheckedColumn> {
    let column = |(index, text): (usize, &String)| {
        let column = header.column(index);
        let is_chosen = mapping.has_choice(index, text);
        let is_other = header.car_group() == Some(index) || header.source() == Some(index);
        CheckedColumn {
            index,
            header: text.clone(),
            column,
            unit: header.unit(index).map(str::to_owned),
            is_chosen,
            suggestion: if column.is_some() || is_chosen || is_other {
                None
            } else {
                Heading::suggest(text, &header.market)
            },
            examples: Vec::new(),
        }
    };
    header.headers.iter().enumerate().map(column).collect()
}

impl TableCheck {
    fn add(
        &mut self,
        row: &Row,
        header: &Header,
        today: NaiveDate,
        admit: &impl Fn(&mut Listing) -> Option<Rejection>,
    ) {
        self.rows += 1;
        if self.rows <= EXAMPLE_ROWS {
            self.add_examples(row);
        }
        if !self.missing.is_empty() {
            return;
        }
        let rejections = match row.listing(header, today) {
            Ok(mut listing) => admit(&mut listing).into_iter().collect(),
            Err(rejections) => rejections,
        };
        self.valuable += u64::from(rejections.is_empty());
        let room = MAX_PROBLEMS - self.problems.len();
        let problems = rejections.into_iter().map(|rejection| RowProblem { row: row.number(), rejection });
        self.problems.extend(problems.take(room));
    }

    fn add_examples(&mut self, row: &Row) {
        self.add_unnamed(row);
        for column in self.columns.iter_mut().filter(|column| column.examples.len() < MAX_EXAMPLES) {
            let example: String = row.cell(column.index).display().trim().chars().take(MAX_EXAMPLE_CHARS).collect();
            if !example.is_empty() && !column.examples.contains(&example) {
                column.examples.push(example);
            }
        }
    }

    /// Adds columns to the right of the last header.
    fn add_unnamed(&mut self, row: &Row) {
        let unnamed = |index| CheckedColumn {
            index,
            header: String::new(),
            column: None,
            unit: None,
            is_chosen: false,
            suggestion: None,
            examples: Vec::new(),
        };
        self.columns.extend((self.columns.len()..row.width()).map(unnamed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, choices: &[(&str, &str)]) -> TableCheck {
        let options = Options { mapping: Mapping::new(choices.iter().copied()).unwrap(), ..Options::default() };
        let today = NaiveDate::from_ymd_opt(2026, 3, 17).unwrap();
        let admit = |listing: &mut Listing| {
            let brand = listing.text(Column::Brand)?;
            (brand != "Kia").then(|| Rejection::unknown_make(brand, "brand is not known", None))
        };
        check_table(Source::bytes("cars.csv", text.as_bytes()), options, today, admit).unwrap()
    }

    #[test]
    fn every_column_is_used_suggested_or_named() {
        let text = "№ п/п;Марка;Год;Пробек;Комментарий\n1;Kia;2018;83 тыс;да\n2;Kia;1500;1;нет\n3;Kya;2018;5;\n";
        let first = check(text, &[]);
        assert_eq!((first.missing.as_slice(), first.rows, first.valuable), (&[Column::Mileage][..], 3, 0));
        let meanings: Vec<_> = first.columns.iter().map(|it| (it.header.as_str(), it.column, it.suggestion)).collect();
        let expected = [
            ("№ п/п", None, None),
            ("Марка", Some(Column::Brand), None),
            ("Год", Some(Column::Year), None),
            ("Пробек", None, Some(Column::Mileage)),
            ("Комментарий", None, None),
        ];
        assert_eq!(meanings, expected);
        assert_eq!(first.columns[4].examples, ["да", "нет"]);

        let second = check(text, &[("Пробек", "mileage"), ("Комментарий", "ignore")]);
        assert_eq!((second.missing.len(), second.rows, second.valuable), (0, 3, 1));
        let problems: Vec<_> =
            second.problems.iter().map(|it| (it.row, it.rejection.column, it.rejection.code)).collect();
        assert_eq!(problems, [(3, "year", "out_of_range"), (4, "brand", "unknown_brand")]);
        assert!(second.columns[4].is_chosen);
    }

    #[test]
    fn the_year_may_be_beside_the_make_and_the_model() {
        let text = "Автомобиль;Пробег\nKia Rio 2018;83000\nPeugeot 2008;83000\nИтого;166000\n";
        let today = NaiveDate::from_ymd_opt(2026, 3, 17).unwrap();
        let source = Source::bytes("cars.csv", text.as_bytes());
        let check = check_table(source, Options::default(), today, |listing| {
            assert_eq!(listing.number(Column::Year), Some(2018.0));
            None
        })
        .unwrap();
        assert_eq!((check.missing.len(), check.rows, check.valuable), (0, 3, 1));
        let problems: Vec<_> = check.problems.iter().map(|it| (it.row, it.rejection.column)).collect();
        assert_eq!(problems, [(3, "year"), (4, "year")]);
    }

    #[test]
    fn a_column_without_a_header_can_be_chosen_by_its_place() {
        let text = "brand,year,,\nKia,2018,83000,2\nKia,2018,x,1\n";
        let check = check(text, &[("#3", "mileage"), ("#4", "owners_count")]);
        assert_eq!((check.missing.len(), check.rows, check.valuable), (0, 2, 1));
        let chosen: Vec<_> = check.columns.iter().filter(|it| it.is_chosen).map(|it| (it.index, it.column)).collect();
        assert_eq!(chosen, [(2, Some(Column::Mileage)), (3, Some(Column::OwnersCount))]);
    }

    #[test]
    fn columns_without_a_header_are_named() {
        let check = check("brand,year,mileage,,\nKia,2018,5,note,\n", &[]);
        let unnamed: Vec<_> = check.columns.iter().filter(|it| it.header.is_empty()).collect();
        assert_eq!((unnamed.len(), unnamed[0].index, unnamed[0].examples.as_slice()), (1, 3, &["note".to_owned()][..]));
    }
}

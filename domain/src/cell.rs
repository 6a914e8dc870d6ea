//! A cell of a table or a field of JSON, and how it becomes a value of its column.
//!
//! People write numbers as text, with decimal commas, spaces and units. What can mean one thing
//! only is taken; what could mean two is refused.

mod date;
mod number;

use std::borrow::Cow;

use chrono::{Datelike, NaiveDate};

use crate::column::{Column, Kind, LONGEST_TEXT};
use crate::fold::fold;
use crate::problem::{Problem, Reason};
use crate::value::Value;
use date::{date_of_number, parse_date};
use number::{cubic_centimetres_to_litres, parse_number};

/// What a table or a document says in one place, before anything is known of its meaning.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// Nothing at all.
    Empty,
    /// A text.
    Text(&'a str),
    /// A number.
    Number(f64),
    /// A calendar day.
    Date(NaiveDate),
    /// A formula without a computed value, or an error such as `#N/A`.
    Error(&'a str),
}

impl Cell<'_> {
    /// The cell as a person would read it.
    #[must_use]
    pub fn display(&self) -> Cow<'_, str> {
        match self {
            Self::Empty => Cow::Borrowed(""),
            Self::Text(text) | Self::Error(text) => Cow::Borrowed(text),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Date(date) => Cow::Owned(date.to_string()),
        }
    }
}

/// What people write for "unknown", folded.
const MISSING: [&str; 26] = [
    "n/a",
    "na",
    "n.a.",
    "nan",
    "null",
    "none",
    "#n/a",
    "unknown",
    "k.a.",
    "keine angabe",
    "unbekannt",
    "н/д",
    "#н/д",
    "нд",
    "нет данных",
    "нет информации",
    "не указан",
    "не указано",
    "не указана",
    "не задано",
    "неизвестен",
    "неизвестно",
    "неизвестна",
    "не известен",
    "не известно",
    "не известна",
];

/// Reads a cell as a value of its column; `None` where it says that the value is unknown.
/// `current_year` bounds the year of manufacture.
///
/// # Errors
/// What is wrong with the cell.
pub fn read(column: Column, cell: &Cell<'_>, current_year: i32) -> Result<Option<Value>, Problem> {
    if is_missing(cell) {
        return Ok(None);
    }
    let value = match column.kind() {
        Kind::Text => read_text(cell).map(Value::Text),
        Kind::Date => read_date(cell).map(Value::Date),
        Kind::Integer { .. } | Kind::Decimal { .. } => read_number(column, cell, current_year).map(Value::Number),
    };
    value.map(Some).map_err(|reason| Problem { column, value: shorten(&cell.display()), reason })
}

fn is_missing(cell: &Cell<'_>) -> bool {
    // Longer than any of the words, in bytes: most texts are, and need no folding to know it.
    const LONGEST: usize = 48;
    match cell {
        Cell::Empty => true,
        Cell::Text(text) => text.trim().len() <= LONGEST && says_nothing(&fold(text)),
        Cell::Number(number) => number.is_nan(),
        Cell::Date(_) | Cell::Error(_) => false,
    }
}

/// Whether a folded text is a word for "unknown", or nothing but dashes and the like.
pub(crate) fn says_nothing(folded: &str) -> bool {
    let is_blank = |c| matches!(c, '-' | '‐'..='―' | '−' | '－' | '?' | '.' | '…' | '_' | '*' | '/');
    folded.chars().all(is_blank) || MISSING.contains(&folded)
}

/// The words for "unknown".
pub(crate) fn missing_words() -> &'static [&'static str] {
    &MISSING
}

/// A value as it is repeated to its author: never longer than a line.
#[must_use]
pub fn shorten(value: &str) -> String {
    const SHOWN: usize = 60;
    match value.char_indices().nth(SHOWN) {
        None => value.to_owned(),
        Some((end, _)) => format!("{}…", &value[..end]),
    }
}

fn read_text(cell: &Cell<'_>) -> Result<String, Reason> {
    if let Cell::Error(_) = cell {
        return Err(Reason::NoValue);
    }
    let text = cell.display().split_whitespace().collect::<Vec<_>>().join(" ");
    // A zero byte cannot be stored in PostgreSQL and names nothing.
    if text.contains('\0') {
        return Err(Reason::NotAText);
    }
    if text.chars().count() > LONGEST_TEXT { Err(Reason::TooLong) } else { Ok(text) }
}

fn read_date(cell: &Cell<'_>) -> Result<NaiveDate, Reason> {
    let date = match cell {
        Cell::Date(date) => *date,
        Cell::Text(text) => parse_date(text).ok_or(Reason::NotADate)?,
        Cell::Number(number) => date_of_number(*number).ok_or(Reason::NotADate)?,
        Cell::Error(_) => return Err(Reason::NoValue),
        Cell::Empty => return Err(Reason::NotADate),
    };
    if (1990..=2099).contains(&date.year()) { Ok(date) } else { Err(Reason::DateOutOfRange) }
}

/// The year that a spreadsheet shows for the numbers 2000 to 2026 in a cell that is formatted as a date.
const NUMBER_AS_DATE: i32 = 1905;

fn read_number(column: Column, cell: &Cell<'_>, current_year: i32) -> Result<f64, Reason> {
    let number = match cell {
        Cell::Number(number) => cubic_centimetres_to_litres(column, *number),
        Cell::Text(text) => parse_number(column, text, current_year)?,
        Cell::Date(date) if column == Column::Year && date.year() != NUMBER_AS_DATE => f64::from(date.year()),
        Cell::Error(_) => return Err(Reason::NoValue),
        Cell::Date(_) | Cell::Empty => return Err(Reason::NotANumber),
    };
    if !number.is_finite() {
        return Err(Reason::NotANumber);
    }
    if matches!(column.kind(), Kind::Integer { .. }) && number.fract() != 0.0 {
        return Err(Reason::NotAnInteger);
    }
    match column.bounds(current_year) {
        Some((min, max)) if !(min..=max).contains(&number) => Err(Reason::OutOfRange { min, max }),
        _ => Ok(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(column: Column, text: &str) -> Result<f64, Reason> {
        match read(column, &Cell::Text(text), 2026) {
            Ok(Some(Value::Number(number))) => Ok(number),
            Ok(other) => panic!("{text}: {other:?}"),
            Err(problem) => Err(problem.reason),
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table of examples")]
    fn numbers_are_read_as_people_write_them() {
        for (column, texts, expected) in [
            (
                Column::Mileage,
                &[
                    "150 000 км",
                    "150 000км",
                    "150\u{a0}000",
                    "150\u{202f}000 km",
                    "150\u{2009}000",
                    "150'000",
                    "150’000",
                    "150,000",
                    "150 тыс. км",
                    "150 тыс.",
                    "150т.км",
                    "150 т. км",
                    "150 ткм",
                    "150 тысяч км",
                    "150,0 тыс км",
                    "150.000 тыс. км",
                    "150k",
                    "150к",
                    "~150000",
                    "около 150 000 км",
                    "ca. 150000 km",
                    "150000.0",
                    "150000,00",
                    "150000.000",
                    "0150000",
                    "+150000",
                    "１５００００",
                    "\u{200b}150000",
                    "1.5E+05",
                    "1,5E+05",
                    "1.500e5",
                    "'150000",
                    "150 000.000",
                ][..],
                150_000.0,
            ),
            (Column::Mileage, &["96 тыс. 500 км", "96,5 тыс. км", "96.500 тыс км"], 96_500.0),
            (Column::Mileage, &["1.01 тыс", "1 010", "1,010"], 1010.0),
            (Column::EngineVolume, &["1,6", "1.6", "1.6 л", "1,6л.", "1600", "1598", "1598 см³", "1 598 см3"], 1.6),
            (Column::EngineVolume, &["1,598 см³", "1.598 см³", "1.598 куб. см", "1598,5 cc", "1'598 ccm"], 1.6),
            (Column::EngineVolume, &["1.6i", "1.6 MPI", "1.6 MT", "1,6 (106 л.с.)", "1.6 л / 106 л.с. / Бензин"], 1.6),
            (Column::EngineVolume, &["1598 см³ (1,6 л)", "1.6, 106 л.с."], 1.6),
            (Column::EngineVolume, &["1,598", "1.598 л"], 1.598),
            (Column::EngineVolume, &["998 см³", "0,998 см³ (1.0 л)"][..1], 1.0),
            (Column::EnginePower, &["123 л.с.", "123 л. с.", "123лс", "123 hp", "123 PS", "123.0", "123,000"], 123.0),
            (Column::EnginePower, &["77 кВт", "77 kW (105 PS)", "105 л.с. (77 кВт)", "1.6 л / 105 л.с."], 105.0),
            (Column::EnginePower, &["73,4", "73.4 л.с."], 73.4),
            (Column::OwnersCount, &["4 и более", "4+", "4 или более владельцев", "4.0", "4,000"], 4.0),
            (Column::OwnersCount, &["2 владельца", "2 хозяина", "2 owners"], 2.0),
            (
                Column::Year,
                &[
                    "2018",
                    "2018 г.",
                    "2018г",
                    "2018 г.в.",
                    "2018 год",
                    "2018 года выпуска",
                    "2018.0",
                    "2018,00",
                    "2018.000",
                    "2 018",
                    "2,018",
                    "2.018",
                    "12/2018",
                    "05.2018",
                    "5.2018 г.",
                    "2018-05",
                    "17.05.2018",
                    "2018-05-17",
                    "2.018E+03",
                ],
                2018.0,
            ),
            (
                Column::Price,
                &[
                    "1 250 000 ₽",
                    "1250000 руб.",
                    "1.250.000 руб",
                    "1,250,000",
                    "1'250'000",
                    "1 250 000,00 руб.",
                    "1.250.000,-",
                    "1,250,000.00",
                    "1250000.000",
                    "1250000,000",
                    "1 250 000.000",
                    "1,25 млн",
                    "1.25 млн ₽",
                    "1,250 млн",
                    "1.250 млн. руб.",
                    "1,25 миллиона рублей",
                    "1.25M",
                    "1250 тыс. руб.",
                    "1 250 т.р.",
                    "1250тр",
                    "1 млн 250 тыс. руб.",
                    "1.25E+06",
                    "₽ 1 250 000",
                    "руб. 1250000",
                    "RUB 1,250,000",
                ],
                1_250_000.0,
            ),
            (Column::Price, &["1.250.000,50 руб.", "1 250 000,5", "1,250,000.5"], 1_250_000.5),
            (Column::Price, &["1,5 млн руб."], 1_500_000.0),
        ] {
            for text in texts {
                assert_eq!(number(column, text), Ok(expected), "{text}");
            }
        }
    }

    #[test]
    fn what_could_be_two_numbers_is_refused() {
        for (column, text, first, second) in [
            (Column::Mileage, "150.000", 150.0, 150_000.0),
            (Column::Mileage, "150.000 км", 150.0, 150_000.0),
            (Column::Mileage, "150.500", 150.5, 150_500.0),
            (Column::Mileage, "1 350.000", 1350.0, 1_350_000.0),
            (Column::Mileage, "1,500 тыс. км", 1500.0, 1_500_000.0),
            (Column::Price, "1.350", 1.35, 1350.0),
            (Column::Price, "1,350 тыс. руб.", 1350.0, 1_350_000.0),
            (Column::Price, "1.350,000", 1350.0, 1_350_000.0),
            (Column::EnginePower, "1.500", 1.5, 1500.0),
            (Column::EnginePower, "105 л.с. / 110 л.с.", 105.0, 110.0),
            (Column::EngineVolume, "1,6 см³", 0.0016, 1.6),
            (Column::EngineVolume, "1.6 л (1998 см³)", 1.6, 2.0),
        ] {
            assert_eq!(number(column, text), Err(Reason::Ambiguous { first, second }), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_the_column_is_refused() {
        for (column, texts) in [
            (
                Column::Mileage,
                &["много", "150 л.с.", "96000 миль", "96000 mi", "10%", "100-150 тыс", "12 34", "1 5000"][..],
            ),
            (
                Column::Mileage,
                &["0,5,6", "1,35.000", "15 0000", "100 тыс 200 тыс", "1e", "e5", "(5)", "от 100000", "5 000 / 6 000"],
            ),
            (Column::Price, &["1e400", "$15000", "15000 €", "1350000-1400000", "1 350 000 2", "1350.000,50", "½"]),
            (Column::EngineVolume, &["1.6/2.0", "1.6 км", "106 л.с.", "1 6", "1.6 16"]),
            (Column::EnginePower, &["123/90", "1.6", "много"][..1]),
            (Column::Year, &["2018/2019", "2018-2019", "13/2018", "год"]),
            (Column::OwnersCount, &["1 2", "первый", ">3"]),
        ] {
            for text in texts {
                assert_eq!(number(column, text), Err(Reason::NotANumber), "{text}");
            }
        }
        for text in ["-5", "−5", "– 5", "-150,000"] {
            assert_eq!(number(Column::Mileage, text), Err(Reason::OutOfRange { min: 0.0, max: 2e6 }), "{text}");
        }
        assert_eq!(number(Column::Mileage, "0,500"), Err(Reason::NotAnInteger));
        assert_eq!(number(Column::Year, "2015.5"), Err(Reason::NotAnInteger));
        assert_eq!(number(Column::Year, "18"), Err(Reason::OutOfRange { min: 1900.0, max: 2027.0 }));
        assert_eq!(number(Column::Year, "2028"), Err(Reason::OutOfRange { min: 1900.0, max: 2027.0 }));
        assert_eq!(number(Column::EngineVolume, "25"), Err(Reason::OutOfRange { min: 0.0, max: 20.0 }));
    }

    #[test]
    fn a_day_in_the_column_of_years_is_its_year_unless_it_is_a_number_shown_as_a_day() {
        let read_day = |year, month, day| {
            read(Column::Year, &Cell::Date(NaiveDate::from_ymd_opt(year, month, day).unwrap()), 2026)
        };
        assert_eq!(read_day(2018, 5, 1), Ok(Some(Value::Number(2018.0))));
        assert_eq!(read_day(1905, 7, 10).unwrap_err().reason, Reason::NotANumber);
    }

    #[test]
    fn dates_are_read_as_people_and_spreadsheets_write_them() {
        let day = NaiveDate::from_ymd_opt(2026, 3, 17).unwrap();
        let texts = [
            "2026-03-17",
            "17.03.2026",
            "17.3.2026 г.",
            "17.03.26",
            "2026.03.17",
            "2026/03/17",
            "17/03/2026",
            "03/17/2026",
            "17-03-2026",
            "20260317",
            "2026-03-17 00:00:00",
            "2026-03-17T12:00:00+03:00",
            "17.03.2026, 12:30",
            "17 марта 2026 г.",
            "17 мар 2026",
            "17-Mar-26",
            "March 17, 2026",
            "17. März 2026",
            "17 March 2026 12:30",
        ];
        let numbers = [46_098.0, 20_260_317.0].map(Cell::Number);
        for cell in texts.map(Cell::Text).into_iter().chain(numbers).chain([Cell::Date(day)]) {
            assert_eq!(read(Column::ListingDate, &cell, 2026), Ok(Some(Value::Date(day))), "{cell:?}");
        }
        for text in
            ["вчера", "03/04/2026", "03-04-2026", "26-03-17", "31.02.2026", "03/2026", "20261317", "17 марка 26 5"]
        {
            let problem = read(Column::ListingDate, &Cell::Text(text), 2026).unwrap_err();
            assert_eq!(problem.reason, Reason::NotADate, "{text}");
        }
    }

    #[test]
    fn unknown_is_missing_not_wrong() {
        for text in
            ["", "  ", "—", "--", "−", "...", "nan", "Нет данных", "NULL", "Н/Д", "#Н/Д", "неизвестно", "k.A.", "?"]
        {
            assert_eq!(read(Column::Mileage, &Cell::Text(text), 2026), Ok(None), "{text}");
        }
        assert_eq!(read(Column::Mileage, &Cell::Number(f64::NAN), 2026), Ok(None));
        assert_eq!(read(Column::Customs, &Cell::Text("+"), 2026), Ok(Some(Value::Text("+".into()))));
    }

    #[test]
    fn texts_keep_their_case_and_numbers_may_name_models() {
        let model = read(Column::Model, &Cell::Number(2114.0), 2026);
        assert_eq!(model, Ok(Some(Value::Text("2114".into()))));
        let long = "я".repeat(LONGEST_TEXT + 1);
        assert_eq!(read(Column::Model, &Cell::Text(&long), 2026).unwrap_err().reason, Reason::TooLong);
        assert_eq!(read(Column::Model, &Cell::Text("a\0b"), 2026).unwrap_err().reason, Reason::NotAText);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            for column in Column::ALL {
                let _ = read(column, &Cell::Text(&text), 2026);
            }
        }

        #[test]
        fn a_whole_number_is_read_as_itself(value in 0u32..2_000_000) {
            proptest::prop_assert_eq!(number(Column::Mileage, &value.to_string()), Ok(f64::from(value)));
            proptest::prop_assert_eq!(number(Column::Mileage, &format!("{value} км")), Ok(f64::from(value)));
        }

        #[test]
        fn a_grouped_number_is_read_as_itself_or_refused(value in 0u32..2_000_000, separator in "[ ,.'\u{a0}]", fraction in "|[.]0{1,3}|,00?") {
            let digits = value.to_string();
            let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
            proptest::prop_assume!(!fraction.starts_with(&separator));
            let text = groups.join(&separator) + &fraction;
            match number(Column::Mileage, &text) {
                Ok(read) => proptest::prop_assert!((read - f64::from(value)).abs() < 1e-9, "{}", text),
                Err(reason) => proptest::prop_assert!(matches!(reason, Reason::Ambiguous { .. } | Reason::NotANumber), "{}", text),
            }
        }
    }
}

//! Parsing a table cell or a JSON field into a value of its column.
//!
//! People write numbers as text, with decimal commas, spaces and units. Unambiguous text is accepted; text with two
//! possible meanings is rejected.

mod date;
mod number;

use std::borrow::Cow;

use chrono::{Datelike, NaiveDate};

use crate::column::{Column, Kind};
use crate::fold::fold;
use crate::market::Reading;
use crate::problem::{Problem, Reason};
use crate::value::Value;
use date::{date_from_number, parse_date};
pub(crate) use number::is_unit;
use number::{convert_bare_number, parse_number};

/// An uninterpreted cell of a table or a document.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell<'a> {
    /// No content.
    Empty,
    /// Text.
    Text(&'a str),
    /// A number.
    Number(f64),
    /// A calendar day.
    Date(NaiveDate),
    /// A formula without a computed value, or an error such as `#N/A`.
    Error(&'a str),
}

impl Cell<'_> {
    /// The cell as displayed text.
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

/// Words for "unknown", in folded form.
const MISSING_WORDS: [&str; 26] = [
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

/// Parses a cell as a value of its column; `None` if the value is missing or unknown.
///
/// # Errors
/// The cell is not a valid value of the column.
pub fn parse_cell(column: Column, cell: &Cell<'_>, reading: Reading<'_>) -> Result<Option<Value>, Problem> {
    if is_missing(cell) {
        return Ok(None);
    }
    let value = match column.kind() {
        Kind::Text => parse_text_cell(cell),
        Kind::Date => parse_date_cell(cell).map(Some),
        Kind::Integer { .. } | Kind::Decimal { .. } => parse_number_cell(column, cell, reading).map(Some),
    };
    value.map_err(|reason| Problem { column, value: shorten(&cell.display()), reason })
}

/// The same for a cell under a header with a unit, which applies unless the cell has its own.
///
/// # Errors
/// The cell is not a valid value of the column.
pub fn parse_cell_in(
    column: Column,
    cell: &Cell<'_>,
    unit: Option<&str>,
    reading: Reading<'_>,
) -> Result<Option<Value>, Problem> {
    let with_unit = |number: &dyn std::fmt::Display| unit.map(|unit| format!("{number} {unit}"));
    let text = match cell {
        Cell::Number(number) if number.is_finite() => with_unit(number),
        Cell::Text(text) if text.trim_end().ends_with(|c: char| c.is_ascii_digit()) => with_unit(text),
        _ => None,
    };
    match text {
        Some(text) => parse_cell(column, &Cell::Text(&text), reading)
            .map_err(|problem| Problem { value: shorten(&cell.display()), ..problem }),
        None => parse_cell(column, cell, reading),
    }
}

fn is_missing(cell: &Cell<'_>) -> bool {
    // Most texts are longer than all of the words, so folding them can be skipped.
    const MAX_MISSING_BYTES: usize = 48;
    match cell {
        Cell::Empty => true,
        Cell::Text(text) => text.trim().len() <= MAX_MISSING_BYTES && is_missing_word(&fold(text)),
        Cell::Number(number) => number.is_nan(),
        Cell::Date(_) | Cell::Error(_) => false,
    }
}

/// Whether a folded text is a word for "unknown" or consists of placeholder punctuation only.
pub(crate) fn is_missing_word(folded: &str) -> bool {
    let is_blank = |c| matches!(c, '-' | '‐'..='―' | '−' | '－' | '?' | '.' | '…' | '_' | '*' | '/');
    folded.chars().all(is_blank) || MISSING_WORDS.contains(&folded)
}

/// The words for "unknown".
pub(crate) fn missing_words() -> &'static [&'static str] {
    &MISSING_WORDS
}

/// A value shortened for an error message.
#[must_use]
pub fn shorten(value: &str) -> String {
    const MAX_CHARS: usize = 60;
    match value.char_indices().nth(MAX_CHARS) {
        None => value.to_owned(),
        Some((end, _)) => format!("{}…", &value[..end]),
    }
}

fn parse_text_cell(cell: &Cell<'_>) -> Result<Option<Value>, Reason> {
    match cell {
        Cell::Error(_) => Err(Reason::NoValue),
        cell => Value::text(&cell.display()),
    }
}

fn parse_date_cell(cell: &Cell<'_>) -> Result<Value, Reason> {
    let date = match cell {
        Cell::Date(date) => *date,
        Cell::Text(text) => parse_date(text).ok_or(Reason::NotADate)?,
        Cell::Number(number) => date_from_number(*number).ok_or(Reason::NotADate)?,
        Cell::Error(_) => return Err(Reason::NoValue),
        Cell::Empty => return Err(Reason::NotADate),
    };
    Value::date(date)
}

/// A spreadsheet shows the numbers 2000 to 2026 as days of this year when their cells are formatted as dates.
const YEAR_OF_MISFORMATTED_NUMBERS: i32 = 1905;

fn parse_number_cell(column: Column, cell: &Cell<'_>, reading: Reading<'_>) -> Result<Value, Reason> {
    let number = match cell {
        Cell::Number(number) => convert_bare_number(column, *number, reading)?,
        Cell::Text(text) => parse_number(column, text, reading)?,
        Cell::Date(date) if column == Column::Year && date.year() != YEAR_OF_MISFORMATTED_NUMBERS => {
            f64::from(date.year())
        }
        Cell::Error(_) => return Err(Reason::NoValue),
        Cell::Date(_) | Cell::Empty => return Err(Reason::NotANumber),
    };
    Value::number(column, number, reading)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::column::MAX_TEXT_CHARS;
    use crate::market::Market;

    const RUSSIA: fn() -> Reading<'static> = || Reading { market: Market::russia(), year: 2026 };

    fn in_market(name: &str) -> Reading<'static> {
        let market = Market::built_in().iter().find(|market| market.name() == name).unwrap();
        Reading { market, year: 2026 }
    }

    fn number(column: Column, text: &str) -> Result<f64, Reason> {
        number_in(RUSSIA(), column, text)
    }

    fn number_in(reading: Reading<'_>, column: Column, text: &str) -> Result<f64, Reason> {
        match parse_cell(column, &Cell::Text(text), reading) {
            Ok(Some(Value::Number(number))) => Ok(number),
            Ok(other) => panic!("{text}: {other:?}"),
            Err(problem) => Err(problem.reason),
        }
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table of examples")]
    fn numbers_are_parsed_in_many_notations() {
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
            (
                Column::OwnersCount,
                &["2 владельца", "2 хозяина", "2 owners", "2 вл.", "2 собственника", "2-й", "2 (два)"],
                2.0,
            ),
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
                    "2018/05",
                    "май 2018",
                    "Май 2018 г.",
                    "2018, июнь",
                    "May 2018",
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
    fn ambiguous_numbers_are_rejected() {
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
    fn invalid_numbers_are_rejected() {
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
            (Column::Year, &["2018/2019", "2018-2019", "13/2018", "год", "май", "дверей 2018", "май 18"]),
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
    fn numbers_are_read_as_their_market_writes_them() {
        for (market, column, text, expected) in [
            ("de", Column::Mileage, "150.000", 150_000.0),
            ("de", Column::Mileage, "150.000 km", 150_000.0),
            ("de", Column::Price, "12.500 €", 12_500.0),
            ("de", Column::Price, "12.500,- EUR", 12_500.0),
            ("de", Column::Price, "1.350", 1350.0),
            ("de", Column::EngineVolume, "1.998 cm³", 2.0),
            ("de", Column::EnginePower, "85 kW (116 PS)", 116.0),
            ("de", Column::EnginePower, "85 kW", 116.0),
            ("de", Column::Year, "Erstzulassung 03/2016", 2016.0),
            ("de", Column::Year, "EZ 03/2016", 2016.0),
            ("gb", Column::Price, "£12,500", 12_500.0),
            ("gb", Column::Price, "12.5k", 12_500.0),
            ("gb", Column::Price, "1,350", 1350.0),
            ("gb", Column::Mileage, "62,000 miles", 99_779.0),
            ("gb", Column::Mileage, "62k", 99_779.0),
            ("gb", Column::Mileage, "100000 km", 100_000.0),
            ("us", Column::Price, "$15,000", 15_000.0),
        ] {
            assert_eq!(number_in(in_market(market), column, text), Ok(expected), "{market}: {text}");
        }
        assert_eq!(number_in(in_market("gb"), Column::Price, "12 500 €"), Err(Reason::NotANumber));
        let bounds = Err(Reason::OutOfRange { min: 0.0, max: 1_242_742.0 });
        assert_eq!(number_in(in_market("gb"), Column::Mileage, "1300000"), bounds);
        let bounds = Err(Reason::OutOfRange { min: 50.0, max: 1e7 });
        assert_eq!(number_in(in_market("gb"), Column::Price, "1"), bounds);
    }

    #[test]
    fn the_unit_of_a_header_applies_unless_the_cell_has_its_own() {
        let read = |column, cell: Cell<'_>, unit| match parse_cell_in(column, &cell, Some(unit), RUSSIA()) {
            Ok(Some(Value::Number(number))) => Some(number),
            other => panic!("{other:?}"),
        };
        assert_eq!(read(Column::Mileage, Cell::Number(83.5), "тыс. км"), Some(83_500.0));
        assert_eq!(read(Column::Mileage, Cell::Text("83"), "тыс. км"), Some(83_000.0));
        assert_eq!(read(Column::Mileage, Cell::Text("83 000 км"), "тыс. км"), Some(83_000.0));
        assert_eq!(read(Column::EnginePower, Cell::Number(85.0), "квт"), Some(116.0));
        assert_eq!(read(Column::EnginePower, Cell::Text("116 л.с."), "квт"), Some(116.0));
        let problem = parse_cell_in(Column::Mileage, &Cell::Number(-1.0), Some("тыс. км"), RUSSIA()).unwrap_err();
        assert_eq!(problem.value, "-1");
    }

    #[test]
    fn a_date_in_the_year_column_is_reduced_to_its_year() {
        let parse_day = |year, month, day| {
            parse_cell(Column::Year, &Cell::Date(NaiveDate::from_ymd_opt(year, month, day).unwrap()), RUSSIA())
        };
        assert_eq!(parse_day(2018, 5, 1), Ok(Some(Value::Number(2018.0))));
        assert_eq!(parse_day(1905, 7, 10).unwrap_err().reason, Reason::NotANumber);
    }

    #[test]
    fn dates_are_parsed_in_many_notations() {
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
            assert_eq!(parse_cell(Column::ListingDate, &cell, RUSSIA()), Ok(Some(Value::Date(day))), "{cell:?}");
        }
        for text in
            ["вчера", "03/04/2026", "03-04-2026", "26-03-17", "31.02.2026", "03/2026", "20261317", "17 марка 26 5"]
        {
            let problem = parse_cell(Column::ListingDate, &Cell::Text(text), RUSSIA()).unwrap_err();
            assert_eq!(problem.reason, Reason::NotADate, "{text}");
        }
    }

    #[test]
    fn words_for_unknown_mean_missing() {
        for text in
            ["", "  ", "—", "--", "−", "...", "nan", "Нет данных", "NULL", "Н/Д", "#Н/Д", "неизвестно", "k.A.", "?"]
        {
            assert_eq!(parse_cell(Column::Mileage, &Cell::Text(text), RUSSIA()), Ok(None), "{text}");
        }
        assert_eq!(parse_cell(Column::Mileage, &Cell::Number(f64::NAN), RUSSIA()), Ok(None));
        assert_eq!(parse_cell(Column::Customs, &Cell::Text("+"), RUSSIA()), Ok(Some(Value::Text("+".into()))));
    }

    #[test]
    fn text_keeps_its_case_and_models_may_be_numbers() {
        let model = parse_cell(Column::Model, &Cell::Number(2114.0), RUSSIA());
        assert_eq!(model, Ok(Some(Value::Text("2114".into()))));
        let long = "я".repeat(MAX_TEXT_CHARS + 1);
        assert_eq!(parse_cell(Column::Model, &Cell::Text(&long), RUSSIA()).unwrap_err().reason, Reason::TooLong);
        assert_eq!(parse_cell(Column::Model, &Cell::Text("a\0b"), RUSSIA()).unwrap_err().reason, Reason::NotAText);
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            for column in Column::ALL {
                let _ = parse_cell(column, &Cell::Text(&text), RUSSIA());
            }
        }

        #[test]
        fn whole_numbers_round_trip(value in 0u32..2_000_000) {
            proptest::prop_assert_eq!(number(Column::Mileage, &value.to_string()), Ok(f64::from(value)));
            proptest::prop_assert_eq!(number(Column::Mileage, &format!("{value} км")), Ok(f64::from(value)));
        }

        #[test]
        fn grouped_numbers_round_trip_or_are_rejected(value in 0u32..2_000_000, separator in "[ ,.'\u{a0}]", fraction in "|[.]0{1,3}|,00?") {
            let digits = value.to_string();
            let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap()).collect();
            proptest::prop_assume!(!fraction.starts_with(&separator));
            let text = groups.join(&separator) + &fraction;
            match number(Column::Mileage, &text) {
                Ok(parsed) => proptest::prop_assert!((parsed - f64::from(value)).abs() < 1e-9, "{}", text),
                Err(reason) => proptest::prop_assert!(matches!(reason, Reason::Ambiguous { .. } | Reason::NotANumber), "{}", text),
            }
        }
    }
}

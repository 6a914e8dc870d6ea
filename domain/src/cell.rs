//! A cell of a table or a field of JSON, and how it becomes a value of its column.
//!
//! People write numbers as text, with decimal commas, spaces and units. What can mean one thing
//! only is taken; what could mean two is refused.

use std::borrow::Cow;

use chrono::{Datelike, Days, NaiveDate};

use crate::column::{Column, Kind, LONGEST_TEXT};
use crate::fold::fold;
use crate::listing::Value;
use crate::problem::{Problem, Reason};

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
const MISSING: [&str; 15] = [
    "",
    "-",
    "–",
    "—",
    "?",
    "n/a",
    "na",
    "nan",
    "null",
    "none",
    "#n/a",
    "нет данных",
    "не указан",
    "не указано",
    "не указана",
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
        Cell::Text(text) => text.trim().len() <= LONGEST && MISSING.contains(&fold(text).as_str()),
        Cell::Number(number) => number.is_nan(),
        Cell::Date(_) | Cell::Error(_) => false,
    }
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
        Cell::Text(text) => parse_date(text.trim()).ok_or(Reason::NotADate)?,
        Cell::Number(serial) => date_of_serial(*serial).ok_or(Reason::NotADate)?,
        Cell::Error(_) => return Err(Reason::NoValue),
        Cell::Empty => return Err(Reason::NotADate),
    };
    if (1990..=2099).contains(&date.year()) { Ok(date) } else { Err(Reason::DateOutOfRange) }
}

/// ISO and Russian notation, with or without a time of day behind.
fn parse_date(text: &str) -> Option<NaiveDate> {
    let day = text.split([' ', 'T']).next().unwrap_or(text);
    ["%Y-%m-%d", "%d.%m.%Y", "%Y/%m/%d", "%Y.%m.%d"]
        .iter()
        .find_map(|format| NaiveDate::parse_from_str(day, format).ok())
        .filter(|date| date.year() >= 1000)
}

/// The day of a spreadsheet's serial number, which counts from 1899-12-30.
fn date_of_serial(serial: f64) -> Option<NaiveDate> {
    if !(1.0..=80_000.0).contains(&serial) {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded just above")]
    NaiveDate::from_ymd_opt(1899, 12, 30)?.checked_add_days(Days::new(serial as u64))
}

fn read_number(column: Column, cell: &Cell<'_>, current_year: i32) -> Result<f64, Reason> {
    let number = match cell {
        Cell::Number(number) => cubic_centimetres_to_litres(column, *number),
        Cell::Text(text) => parse_number(column, text)?,
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

fn parse_number(column: Column, text: &str) -> Result<f64, Reason> {
    let folded = fold(text);
    // Spaces and apostrophes group digits; a unit may stand behind with or without a space.
    let packed: String = folded.chars().filter(|c| !c.is_whitespace() && *c != '\'').collect();
    let end =
        packed.find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',' | '-' | '+' | 'e')).unwrap_or(packed.len());
    let (digits, unit) = packed.split_at(end);
    // "4+" owners: the sign belongs to the unit
    let (digits, unit) = match digits.strip_suffix('+') {
        Some(digits) => (digits, format!("+{unit}")),
        None => (digits.trim_end_matches('.'), unit.to_owned()),
    };
    let number = parse_digits(column, digits)?;
    apply_unit(column, number, &unit).ok_or(Reason::NotANumber)
}

/// A number whose separators are points, commas or both.
fn parse_digits(column: Column, digits: &str) -> Result<f64, Reason> {
    let whole = matches!(column.kind(), Kind::Integer { .. }) || matches!(column, Column::Price | Column::EnginePower);
    let groups_of_three = |separator: char| {
        let mut groups = digits.split(separator);
        let head = groups.next().is_some_and(|head| (1..=3).contains(&head.trim_start_matches('-').len()));
        head && groups.clone().next().is_some() && groups.all(|group| group.len() == 3 && !group.contains(['.', ',']))
    };
    let plain = if digits.matches(',').count() == 1 && !digits.contains('.') {
        // 150,000 km groups thousands, 1,598 litres does not
        if whole && groups_of_three(',') { digits.replace(',', "") } else { digits.replace(',', ".") }
    } else if digits.matches('.').count() == 1 && !digits.contains(',') {
        let zeros = digits.ends_with(".000");
        if whole && groups_of_three('.') && !zeros {
            return Err(Reason::NotAnInteger);
        }
        if whole && zeros {
            return Err(Reason::Ambiguous);
        }
        digits.to_owned()
    } else if digits.contains(',') && digits.contains('.') {
        // the last of the two separates the fraction
        if digits.rfind(',') > digits.rfind('.') {
            digits.replace('.', "").replace(',', ".")
        } else {
            digits.replace(',', "")
        }
    } else if groups_of_three('.') || groups_of_three(',') {
        digits.replace(['.', ','], "")
    } else {
        digits.to_owned()
    };
    plain.parse().map_err(|_| Reason::NotANumber)
}

/// The number in the column's unit, or `None` when the unit is no unit of the column.
fn apply_unit(column: Column, number: f64, unit: &str) -> Option<f64> {
    let unit = unit.replace('.', "");
    let known = match column {
        Column::Mileage => ["км", "km"].as_slice(),
        Column::EnginePower => &["лс", "hp", "ps"],
        Column::Price => &["руб", "р", "₽", "rub", "рублей"],
        Column::Year => &["г", "год", "года", "гв"],
        Column::EngineVolume => &["л", "l", "литр", "литра", "литров"],
        Column::OwnersCount => &["+", "иболее", "илиболее", "ибольше", "владелец", "владельца", "владельцев"],
        _ => &[],
    };
    match (column, unit.as_str()) {
        (_, "") => Some(cubic_centimetres_to_litres(column, number)),
        (_, unit) if known.contains(&unit) => Some(number),
        (Column::Mileage, "тыс" | "тыскм" | "ткм") | (Column::Price, "тыс" | "тысруб" | "тыср" | "тыс₽") => {
            Some(number * 1000.0)
        }
        (Column::Price, "млн" | "млнруб" | "млнр" | "млн₽") => Some(number * 1e6),
        (Column::EngineVolume, "см³" | "см3" | "кубсм" | "cc" | "cm3" | "cm³") => {
            Some(round_to_tenth(number / 1000.0))
        }
        _ => None,
    }
}

/// No engine has 100 litres: such a volume is in cubic centimetres.
fn cubic_centimetres_to_litres(column: Column, number: f64) -> f64 {
    if column == Column::EngineVolume && number >= 100.0 { round_to_tenth(number / 1000.0) } else { number }
}

fn round_to_tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
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
    fn numbers_are_read_as_people_write_them() {
        for (column, text, expected) in [
            (Column::Mileage, "150 000 км", 150_000.0),
            (Column::Mileage, "150\u{a0}000", 150_000.0),
            (Column::Mileage, "150,000", 150_000.0),
            (Column::Mileage, "150 тыс. км", 150_000.0),
            (Column::Mileage, "96000.0", 96_000.0),
            (Column::Mileage, "1.250.000", 1_250_000.0),
            (Column::EngineVolume, "1,6", 1.6),
            (Column::EngineVolume, "1598 см³", 1.6),
            (Column::EngineVolume, "1598", 1.6),
            (Column::EngineVolume, "2.0 л", 2.0),
            (Column::EnginePower, "123 л.с.", 123.0),
            (Column::EnginePower, "73,4", 73.4),
            (Column::OwnersCount, "4 и более", 4.0),
            (Column::OwnersCount, "3+", 3.0),
            (Column::OwnersCount, "2 владельца", 2.0),
            (Column::Year, "2015 г.", 2015.0),
            (Column::Price, "1 250 000 ₽", 1_250_000.0),
            (Column::Price, "1.250.000,50 руб.", 1_250_000.5),
            (Column::Price, "1,5 млн руб.", 1_500_000.0),
        ] {
            assert_eq!(number(column, text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_of_the_column_is_refused() {
        assert_eq!(number(Column::Mileage, "150.000"), Err(Reason::Ambiguous));
        assert_eq!(number(Column::Mileage, "много"), Err(Reason::NotANumber));
        assert_eq!(number(Column::Mileage, "150 л.с."), Err(Reason::NotANumber));
        assert_eq!(number(Column::Mileage, "-5"), Err(Reason::OutOfRange { min: 0.0, max: 2e6 }));
        assert_eq!(number(Column::Year, "2015.5"), Err(Reason::NotAnInteger));
        assert_eq!(number(Column::Year, "2028"), Err(Reason::OutOfRange { min: 1900.0, max: 2027.0 }));
        assert_eq!(number(Column::EngineVolume, "25"), Err(Reason::OutOfRange { min: 0.0, max: 20.0 }));
        assert_eq!(number(Column::Price, "1e400"), Err(Reason::NotANumber));
    }

    #[test]
    fn dates_are_read_in_iso_russian_and_serial_form() {
        let day = NaiveDate::from_ymd_opt(2026, 3, 17).unwrap();
        for cell in [
            Cell::Text("2026-03-17"),
            Cell::Text("17.03.2026"),
            Cell::Text("2026-03-17 00:00:00"),
            Cell::Number(46_098.0),
            Cell::Date(day),
        ] {
            assert_eq!(read(Column::ListingDate, &cell, 2026), Ok(Some(Value::Date(day))), "{cell:?}");
        }
        let problem = read(Column::ListingDate, &Cell::Text("вчера"), 2026).unwrap_err();
        assert_eq!(problem.reason, Reason::NotADate);
    }

    #[test]
    fn unknown_is_missing_not_wrong() {
        for text in ["", "  ", "—", "nan", "Нет данных", "NULL"] {
            assert_eq!(read(Column::Mileage, &Cell::Text(text), 2026), Ok(None), "{text}");
        }
        assert_eq!(read(Column::Mileage, &Cell::Number(f64::NAN), 2026), Ok(None));
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
    }
}

//! Parsing numbers as people write them: with either decimal separator, units and words such as "млн".
//!
//! A text is first split into digits, separators and a unit; the column decides how to interpret them. It is rejected
//! only when two interpretations are possible.

use chrono::Datelike;

use super::date::{is_month, parse_date};
use crate::column::Column;
use crate::fold::fold;
use crate::market::{Distance, Market, Reading};
use crate::problem::Reason;

/// Metric horsepower per kilowatt.
const HP_PER_KW: f64 = 1.359_62;

/// Parses a text as a number in the stored unit of its column. Bounds only help to disambiguate; they are not enforced.
pub(super) fn parse_number(column: Column, text: &str, reading: Reading<'_>) -> Result<f64, Reason> {
    if let Some(number) = parse_bare_number(column, text) {
        return convert_bare_number(column, number, reading);
    }
    let plain = normalize_characters(text);
    // A spreadsheet marks a number stored as text with an apostrophe.
    let text = strip_approximation(plain.strip_prefix('\'').unwrap_or(&plain));
    match column {
        Column::Year => match parse_year_of_date(text, reading.market) {
            Some(year) => Ok(year),
            None => parse_quantity(column, text, reading).map(|quantity| quantity.value),
        },
        Column::EngineVolume | Column::EnginePower => parse_engine(column, text, reading),
        _ => parse_quantity(column, text, reading).map(|quantity| quantity.value),
    }
}

/// Fast path for unambiguous numbers such as `83000` and `1.6`, which are nearly all.
fn parse_bare_number(column: Column, text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let may_be_month = column == Column::Year && fraction.len() == 2;
    let is_bare = is_digits(whole) && is_digits(fraction) && fraction.len() < 3 && !may_be_month;
    if is_bare { text.parse().ok() } else { None }
}

/// Converts a number without a unit to the stored unit.
pub(super) fn convert_bare_number(column: Column, number: f64, reading: Reading<'_>) -> Result<f64, Reason> {
    if column == Column::Mileage && number.fract() != 0.0 {
        return Err(Reason::NotAnInteger);
    }
    Ok(cubic_centimetres_to_litres(column, reading.market.to_stored(column, number)))
}

/// Takes a volume of 100 or more as cubic centimetres.
fn cubic_centimetres_to_litres(column: Column, number: f64) -> f64 {
    if column == Column::EngineVolume && number >= MIN_CUBIC_CENTIMETRES { litres(number) } else { number }
}

const MIN_CUBIC_CENTIMETRES: f64 = 100.0;

fn litres(cubic_centimetres: f64) -> f64 {
    (cubic_centimetres / 100.0).round() / 10.0
}

/// Folds the text, and replaces full-width characters, dashes and quotes with ASCII.
fn normalize_characters(text: &str) -> String {
    let is_invisible = |c: &char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    let unified = text.chars().filter(|c| !is_invisible(c)).map(|c| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{2010}'..='\u{2015}' | '−' => '-',
        '’' | '‘' | 'ʼ' | '′' | '`' | '´' => '\'',
        _ => c,
    });
    fold(&unified.collect::<String>())
}

fn strip_approximation(text: &str) -> &str {
    const WORDS: [&str; 10] = ["~", "≈", "около", "примерно", "ок.", "ca.", "circa", "ca", "approx.", "about"];
    let stripped = WORDS.iter().find_map(|word| text.strip_prefix(word));
    stripped.map(str::trim_start).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(text)
}

/// The year of a date or a month: `12/2018`, `2018-12`, `17.05.2018`.
fn parse_year_of_date(text: &str, market: &Market) -> Option<f64> {
    let text = strip_header(Column::Year, text, market);
    if let Some(year) = year_with_month(text) {
        return Some(year);
    }
    let date = text.trim_end_matches(|c: char| c.is_alphabetic() || matches!(c, '.' | ' '));
    parse_unit(Column::Year, &text[date.len()..], market)?;
    let parts: Vec<&str> = date.split(['.', '/', '-']).collect();
    let is_number = |part: &str| part.parse().is_ok_and(|month: u8| (1..=12).contains(&month));
    match parts[..] {
        [month, year] if year.len() == 4 && month.len() <= 2 && is_number(month) => year.parse().ok(),
        [year, month] if year.len() == 4 && month.len() == 2 && is_number(month) => year.parse().ok(),
        [_, _, _] => parse_date(date).map(|date| f64::from(date.year())),
        _ => None,
    }
}

/// `май 2018`, `май 2018 г.`, `2018, май`.
fn year_with_month(text: &str) -> Option<f64> {
    let words: Vec<&str> = text.split([' ', '.', ',']).filter(|word| !matches!(*word, "" | "г" | "года")).collect();
    let [one, other] = words[..] else { return None };
    let year = match (is_month(one), is_month(other)) {
        (true, false) => other,
        (false, true) => one,
        _ => return None,
    };
    year.parse().ok().filter(|_| year.len() == 4)
}

/// Parses combined descriptions such as `1.6 (106 л.с.)` and `77 кВт / 105 л.с.`. Parts with a unit of the column count,
/// as does a bare first part for a volume; any other part must contain letters.
fn parse_engine(column: Column, text: &str, reading: Reading<'_>) -> Result<f64, Reason> {
    let listed = text.replace(", ", ";");
    let parts: Vec<&str> = listed.split(['(', ')', '/', ';']).map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.len() < 2 {
        return parse_quantity(column, text, reading).map(|quantity| quantity.value);
    }
    let mut found: Option<Quantity> = None;
    for (index, part) in parts.iter().enumerate() {
        let parsed = parse_quantity(column, part, reading);
        let may_be_bare = column == Column::EngineVolume && index == 0;
        match parsed {
            Ok(quantity) if quantity.measure != Measure::Bare || may_be_bare => match &found {
                Some(other) if (other.value - quantity.value).abs() > tolerance(column) => {
                    return Err(Reason::Ambiguous { first: other.value, second: quantity.value });
                }
                // Stated horsepower beats horsepower converted from kilowatts.
                Some(other) if other.measure != Measure::Kilowatts => {}
                _ => found = Some(quantity),
            },
            _ if part.chars().any(char::is_alphabetic) => {}
            _ => return Err(Reason::NotANumber),
        }
    }
    found.map(|quantity| quantity.value).ok_or(Reason::NotANumber)
}

/// How far two values for the same engine may differ.
fn tolerance(column: Column) -> f64 {
    if column == Column::EnginePower { 2.0 } else { 0.051 }
}

/// The unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// No unit.
    Bare,
    /// The unit of the column.
    Own,
    CubicCentimetres,
    Kilowatts,
    /// Of a mileage in a market of miles.
    Kilometres,
}

/// A number converted to the unit of its column, and the unit it was written in.
#[derive(Clone, Copy, Debug)]
struct Quantity {
    value: f64,
    measure: Measure,
}

/// Parses a number with an optional unit, or a sum such as `1 млн 350 тыс.`.
fn parse_quantity(column: Column, text: &str, reading: Reading<'_>) -> Result<Quantity, Reason> {
    let text = if column.is_money() { strip_currency(column, text, reading.market) } else { text };
    let (number, rest) = NumberToken::scan(text).ok_or(Reason::NotANumber)?;
    let rest = rest.trim_start();
    let counts = column == Column::Mileage || column.is_money();
    if counts && let Some(digit) = rest.find(|c: char| c.is_ascii_digit()) {
        let (_, zeros) = parse_unit(column, &rest[..digit], reading.market)
            .filter(|(_, zeros)| *zeros > 0)
            .ok_or(Reason::NotANumber)?;
        let more = parse_quantity(column, &rest[digit..], reading)?;
        let number = number.value(column, Measure::Own, zeros, reading)?;
        let is_smaller = more.value >= 0.0 && more.value < 10_f64.powi(zeros);
        let number = if column == Column::Mileage { reading.market.to_stored(column, number) } else { number };
        let sum = Quantity { value: number + more.value, measure: Measure::Own };
        return if is_smaller && number > 0.0 { Ok(sum) } else { Err(Reason::NotANumber) };
    }
    let (measure, zeros) = parse_unit(column, rest, reading.market).ok_or(Reason::NotANumber)?;
    let number = number.value(column, measure, zeros, reading)?;
    let value = match measure {
        Measure::Bare | Measure::Own if column == Column::Mileage => convert_bare_number(column, number, reading)?,
        Measure::Bare => cubic_centimetres_to_litres(column, number),
        Measure::Own | Measure::Kilometres => number,
        Measure::CubicCentimetres if number > 0.0 && number < MIN_CUBIC_CENTIMETRES => {
            return Err(Reason::Ambiguous { first: number / 1000.0, second: number });
        }
        Measure::CubicCentimetres => litres(number),
        Measure::Kilowatts => (number * HP_PER_KW).round(),
    };
    Ok(Quantity { value, measure })
}

fn strip_currency<'t>(column: Column, text: &'t str, market: &Market) -> &'t str {
    let rest = units(column, market).filter_map(|unit| text.strip_prefix(unit));
    let mut rest = rest.map(|rest| rest.trim_start_matches(['.', ' ']));
    rest.find(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(text)
}

/// The digits and separators of a number.
#[derive(Debug)]
struct NumberToken<'t> {
    is_negative: bool,
    /// Digit groups between the separators.
    groups: Vec<&'t str>,
    separators: Vec<char>,
    exponent: Option<i32>,
}

impl<'t> NumberToken<'t> {
    /// Splits a text into its leading number and the rest.
    fn scan(text: &'t str) -> Option<(Self, &'t str)> {
        let positive = || (false, text.strip_prefix('+').unwrap_or(text));
        let (is_negative, mut rest) = text.strip_prefix('-').map_or_else(positive, |rest| (true, rest.trim_start()));
        let (mut groups, mut separators) = (Vec::new(), Vec::new());
        loop {
            let (digits, after) = split_digits(rest);
            if digits.is_empty() {
                return None;
            }
            groups.push(digits);
            rest = after;
            // A separator must be followed by a digit.
            let Some(separator) = rest.chars().next().filter(|c| matches!(c, '.' | ',' | '\'' | ' ')) else { break };
            if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
                break;
            }
            separators.push(separator);
            rest = &rest[1..];
        }
        let exponent = parse_exponent(rest);
        let (exponent, rest) = exponent.map_or((None, rest), |(exponent, after)| (Some(exponent), after));
        Some((Self { is_negative, groups, separators, exponent }, rest))
    }

    /// The value, multiplied by `10^zeros`.
    fn value(&self, column: Column, measure: Measure, zeros: i32, reading: Reading<'_>) -> Result<f64, Reason> {
        let (decimal, grouped) = match (self.decimal(zeros), self.grouped(zeros)) {
            (Some(decimal), Some(grouped)) => (decimal, grouped),
            (decimal, grouped) => return decimal.or(grouped).ok_or(Reason::NotANumber),
        };
        let fits = |number| reading.shown_bounds(column).is_none_or(|(min, max)| (min..=max).contains(&number));
        match column {
            // Nobody groups digits of millions or of numbers with an exponent.
            _ if zeros >= 6 || self.exponent.is_some() => Ok(decimal),
            Column::EngineVolume => Ok(if measure == Measure::CubicCentimetres { grouped } else { decimal }),
            _ if !fits(grouped) => Ok(decimal),
            _ if !fits(decimal) => Ok(grouped),
            _ if reading.market.definition().decimal_separator.is_some() => {
                let is_decimal = self.separators.last() == reading.market.definition().decimal_separator.as_ref();
                Ok(if is_decimal { decimal } else { grouped })
            }
            // 150,000 km: nobody writes three decimals of a kilometre.
            _ if self.separators == [','] && zeros == 0 => Ok(grouped),
            _ => Err(Reason::Ambiguous { first: decimal, second: grouped }),
        }
    }

    /// The number if its last separator is a decimal separator.
    fn decimal(&self, zeros: i32) -> Option<f64> {
        let Some((last, before)) = self.separators.split_last() else { return self.number(self.groups.len(), zeros) };
        let whole = self.groups.len() - 1;
        let is_grouped =
            || before.iter().all(|separator| separator == &before[0]) && groups_of_three(&self.groups[..whole]);
        let is_fraction = matches!(last, '.' | ',') && !before.contains(last) && (before.is_empty() || is_grouped());
        if is_fraction { self.number(whole, zeros) } else { None }
    }

    /// The number if all of its separators group digits. Two separators may differ by mistake: `1 350.000`.
    fn grouped(&self, zeros: i32) -> Option<f64> {
        let first = self.separators.first()?;
        let is_alike = self.separators.len() == 2 || self.separators.iter().all(|separator| separator == first);
        if is_alike && groups_of_three(&self.groups) { self.number(self.groups.len(), zeros) } else { None }
    }

    /// The number with its first `whole` groups before the decimal point.
    fn number(&self, whole: usize, zeros: i32) -> Option<f64> {
        let sign = if self.is_negative { "-" } else { "" };
        let (whole, fraction) = (self.groups[..whole].concat(), self.groups[whole..].concat());
        let exponent = self.exponent.unwrap_or_default().saturating_add(zeros);
        format!("{sign}{whole}.{fraction}e{exponent}").parse().ok()
    }
}

fn groups_of_three(groups: &[&str]) -> bool {
    groups.split_first().is_some_and(|(head, rest)| {
        (1..=3).contains(&head.len()) && !head.starts_with('0') && rest.iter().all(|group| group.len() == 3)
    })
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// The power of ten of `1.5e+05`, and what follows it.
fn parse_exponent(text: &str) -> Option<(i32, &str)> {
    let signed = text.strip_prefix('e')?;
    let (digits, rest) = split_digits(signed.strip_prefix(['+', '-']).unwrap_or(signed));
    let exponent = signed[..signed.len() - rest.len()].parse().ok()?;
    (!digits.is_empty() && !rest.starts_with(char::is_alphabetic)).then_some((exponent, rest))
}

/// `03/2016` of `Erstzulassung 03/2016`.
fn strip_header<'t>(column: Column, text: &'t str, market: &Market) -> &'t str {
    let digit = text.find(|c: char| c.is_ascii_digit()).unwrap_or(0);
    let denoted = market.column_of(text[..digit].trim_end_matches([' ', ':']));
    if denoted.is_some_and(|(denoted, _)| denoted == column) { &text[digit..] } else { text }
}

/// Whether a text is a unit of the column's numbers in the market.
pub(crate) fn is_unit(column: Column, text: &str, market: &Market) -> bool {
    parse_unit(column, text, market).is_some_and(|(measure, zeros)| measure != Measure::Bare || zeros > 0)
}

/// The unit and its power of ten; `None` if it is not a unit of the column.
fn parse_unit(column: Column, text: &str, market: &Market) -> Option<(Measure, i32)> {
    let unit: String = text.chars().filter(|c| !matches!(c, '.' | ' ')).collect();
    // German prices: 12.500,-
    let unit = if column.is_money() { unit.trim_start_matches(",-").trim_start_matches('-') } else { &unit };
    if unit.is_empty() {
        return Some((Measure::Bare, 0));
    }
    match column {
        _ if units(column, market).any(|own| own == unit) => Some((Measure::Own, 0)),
        Column::Mileage if KILOMETRES.contains(&unit) && market.definition().distance == Distance::Miles => {
            Some((Measure::Kilometres, 0))
        }
        _ if column == Column::Mileage || column.is_money() => parse_multiplied_unit(column, unit, market),
        Column::EngineVolume if CUBIC_CENTIMETRES.contains(&unit) => Some((Measure::CubicCentimetres, 0)),
        Column::EngineVolume if text.split_whitespace().all(|tag| ENGINE_TAGS.split(' ').any(|known| known == tag)) => {
            Some((Measure::Bare, 0))
        }
        Column::EnginePower if KILOWATTS.contains(&unit) => Some((Measure::Kilowatts, 0)),
        _ => None,
    }
}

fn parse_multiplied_unit(column: Column, unit: &str, market: &Market) -> Option<(Measure, i32)> {
    let millions = if column.is_money() { MILLIONS } else { &MILLIONS[2..] };
    let words = THOUSANDS.iter().map(|word| (word, 3)).chain(millions.iter().map(|word| (word, 6)));
    let mut zeros = words.filter_map(|(word, zeros)| Some((unit.strip_prefix(word)?, zeros)));
    let (_, zeros) = zeros.find(|(unit, _)| unit.is_empty() || units(column, market).any(|own| own == *unit))?;
    Some((Measure::Own, zeros))
}

/// Spellings of the unit in which numbers of the column are written, without dots and spaces.
fn units(column: Column, market: &Market) -> impl Iterator<Item = &str> {
    let definition = market.definition();
    let currency = if column.is_money() { definition.currency_spellings.as_slice() } else { &[] };
    let fixed: &[&str] = match column {
        Column::Mileage if definition.distance == Distance::Miles => MILES,
        Column::Mileage => KILOMETRES,
        Column::EnginePower => &["лс", "hp", "ps", "bhp", "сил", "лошсил", "лошадиныхсил"],
        Column::Year => &["г", "год", "года", "гв", "гвып", "гвыпуска", "годвыпуска", "годавыпуска"],
        Column::EngineVolume => &["л", "l", "ltr", "литр", "литра", "литров", "liter", "litre", "litres"],
        Column::DaysListed => &["д", "дн", "дней", "дня", "день", "day", "days", "tag", "tage"],
        Column::OwnersCount => OWNERS,
        _ => &[],
    };
    currency.iter().map(String::as_str).chain(fixed.iter().copied())
}

const KILOMETRES: &[&str] = &["км", "km", "kms", "километров", "километра", "kilometer", "kilometers", "kilometres"];
const MILES: &[&str] = &["miles", "mile", "mi", "m", "мили", "миль"];
const OWNERS: &[&str] = &[
    "+",
    "-й",
    "(один)",
    "(два)",
    "(три)",
    "иболее",
    "илиболее",
    "ибольше",
    "илибольше",
    "иболеевладельцев",
    "илиболеевладельцев",
    "вл",
    "собственник",
    "собственника",
    "собственников",
    "владелец",
    "владельца",
    "владельцев",
    "хозяин",
    "хозяина",
    "хозяев",
    "owner",
    "owners",
    "ormore",
    "halter",
];
const THOUSANDS: &[&str] = &["тысячи", "тысяч", "тыс", "т", "tsd", "t", "k", "к"];
/// The two single letters come first: for a mileage they would be metres.
const MILLIONS: &[&str] = &["м", "m", "миллионов", "миллиона", "миллион", "млн", "mln", "mio"];
const CUBIC_CENTIMETRES: &[&str] =
    &["см³", "см3", "см^3", "кубсм", "смкуб", "куб", "сс", "cc", "ccm", "cm3", "cm³", "cm^3"];
const KILOWATTS: &[&str] = &["квт", "kw"];
/// Words that may follow a volume without being a unit.
const ENGINE_TAGS: &str = "i d t td tdi tsi tfsi fsi mpi gdi crdi dci hdi cdi turbo турбо at mt amt cvt ат мт";

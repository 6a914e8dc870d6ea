//! Numbers as people write them: separators of either kind, units, words such as "млн".
//!
//! Every text is first taken apart as it is written; what it may mean then depends on the column. Only where two
//! meanings are possible is it refused.

use chrono::Datelike;

use super::date::parse_date;
use crate::column::Column;
use crate::fold::fold;
use crate::problem::Reason;

/// Horsepower (metric) of a kilowatt.
const HP_PER_KW: f64 = 1.359_62;

/// Reads a text as a number in the unit of its column. Bounds are only consulted, not enforced.
pub(super) fn parse_number(column: Column, text: &str, current_year: i32) -> Result<f64, Reason> {
    if let Some(number) = bare_number(column, text) {
        return Ok(cubic_centimetres_to_litres(column, number));
    }
    let plain = plain(text);
    // A spreadsheet marks a number that is kept as text with an apostrophe.
    let text = without_approximation(plain.strip_prefix('\'').unwrap_or(&plain));
    match column {
        Column::Year => match year_of_date(text) {
            Some(year) => Ok(year),
            None => quantity(column, text, current_year).map(|quantity| quantity.value),
        },
        Column::EngineVolume | Column::EnginePower => engine(column, text, current_year),
        _ => quantity(column, text, current_year).map(|quantity| quantity.value),
    }
}

/// What programs write, which is nearly all numbers, and needs no thought: `83000`, `1.6`.
fn bare_number(column: Column, text: &str) -> Option<f64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let may_be_month = column == Column::Year && fraction.len() == 2;
    let is_bare = is_digits(whole) && is_digits(fraction) && fraction.len() < 3 && !may_be_month;
    if is_bare { text.parse().ok() } else { None }
}

/// No engine has 100 litres: such a volume is in cubic centimetres.
pub(super) fn cubic_centimetres_to_litres(column: Column, number: f64) -> f64 {
    if column == Column::EngineVolume && number >= MIN_CUBIC_CENTIMETRES { litres(number) } else { number }
}

const MIN_CUBIC_CENTIMETRES: f64 = 100.0;

fn litres(cubic_centimetres: f64) -> f64 {
    (cubic_centimetres / 100.0).round() / 10.0
}

/// Folds the text and writes each character that looks like a digit, a minus or an apostrophe as that.
fn plain(text: &str) -> String {
    let is_invisible = |c: &char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
    let unified = text.chars().filter(|c| !is_invisible(c)).map(|c| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        '\u{2010}'..='\u{2015}' | '−' => '-',
        '’' | '‘' | 'ʼ' | '′' | '`' | '´' => '\'',
        _ => c,
    });
    fold(&unified.collect::<String>())
}

fn without_approximation(text: &str) -> &str {
    const WORDS: [&str; 10] = ["~", "≈", "около", "примерно", "ок.", "ca.", "circa", "ca", "approx.", "about"];
    let stripped = WORDS.iter().find_map(|word| text.strip_prefix(word));
    stripped.map(str::trim_start).filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(text)
}

/// The year of a day or a month: `12/2018`, `2018-12`, `17.05.2018`.
fn year_of_date(text: &str) -> Option<f64> {
    let date = text.trim_end_matches(|c: char| c.is_alphabetic() || matches!(c, '.' | ' '));
    unit(Column::Year, &text[date.len()..])?;
    let parts: Vec<&str> = date.split(['.', '/', '-']).collect();
    let is_month = |part: &str| part.parse().is_ok_and(|month: u8| (1..=12).contains(&month));
    match parts[..] {
        [month, year] if year.len() == 4 && month.len() <= 2 && is_month(month) => year.parse().ok(),
        [year, month] if year.len() == 4 && month.len() == 2 && is_month(month) => year.parse().ok(),
        [_, _, _] => parse_date(date).map(|date| f64::from(date.year())),
        _ => None,
    }
}

/// An engine is often described whole: `1.6 (106 л.с.)`, `77 кВт / 105 л.с.`. Of the parts, those that name the unit
/// of the column count, or the first for a volume; what the others mean must be plain from a word in them.
fn engine(column: Column, text: &str, current_year: i32) -> Result<f64, Reason> {
    let listed = text.replace(", ", ";");
    let parts: Vec<&str> = listed.split(['(', ')', '/', ';']).map(str::trim).filter(|part| !part.is_empty()).collect();
    if parts.len() < 2 {
        return quantity(column, text, current_year).map(|quantity| quantity.value);
    }
    let mut found: Option<Quantity> = None;
    for (place, part) in parts.iter().enumerate() {
        let read = quantity(column, part, current_year);
        let may_be_bare = column == Column::EngineVolume && place == 0;
        match read {
            Ok(read) if read.measure != Measure::Bare || may_be_bare => match &found {
                Some(other) if (other.value - read.value).abs() > tolerance(column) => {
                    return Err(Reason::Ambiguous { first: other.value, second: read.value });
                }
                // Horsepower that is given is better than horsepower that is computed.
                Some(other) if other.measure != Measure::Kilowatts => {}
                _ => found = Some(read),
            },
            _ if part.chars().any(char::is_alphabetic) => {}
            _ => return Err(Reason::NotANumber),
        }
    }
    found.map(|quantity| quantity.value).ok_or(Reason::NotANumber)
}

/// How far two statements about the same engine may be apart.
fn tolerance(column: Column) -> f64 {
    if column == Column::EnginePower { 2.0 } else { 0.051 }
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// Nothing is said.
    Bare,
    /// The unit of the column.
    Own,
    CubicCentimetres,
    Kilowatts,
}

/// A number in the unit of its column, and how it was given.
#[derive(Clone, Copy, Debug)]
struct Quantity {
    value: f64,
    measure: Measure,
}

/// A number with or without a unit, or two of them: `1 млн 350 тыс.`.
fn quantity(column: Column, text: &str, current_year: i32) -> Result<Quantity, Reason> {
    let text = if column == Column::Price { without_currency(text) } else { text };
    let (number, rest) = Written::scan(text).ok_or(Reason::NotANumber)?;
    let rest = rest.trim_start();
    let counts = matches!(column, Column::Mileage | Column::Price);
    if counts && let Some(digit) = rest.find(|c: char| c.is_ascii_digit()) {
        let (_, zeros) = unit(column, &rest[..digit]).filter(|(_, zeros)| *zeros > 0).ok_or(Reason::NotANumber)?;
        let more = quantity(column, &rest[digit..], current_year)?;
        let number = number.value(column, Measure::Own, zeros, current_year)?;
        let is_smaller = more.value >= 0.0 && more.value < 10_f64.powi(zeros);
        let sum = Quantity { value: number + more.value, measure: Measure::Own };
        return if is_smaller && number > 0.0 { Ok(sum) } else { Err(Reason::NotANumber) };
    }
    let (measure, zeros) = unit(column, rest).ok_or(Reason::NotANumber)?;
    let number = number.value(column, measure, zeros, current_year)?;
    let value = match measure {
        Measure::Bare => cubic_centimetres_to_litres(column, number),
        Measure::Own => number,
        Measure::CubicCentimetres if number > 0.0 && number < MIN_CUBIC_CENTIMETRES => {
            return Err(Reason::Ambiguous { first: number / 1000.0, second: number });
        }
        Measure::CubicCentimetres => litres(number),
        Measure::Kilowatts => (number * HP_PER_KW).round(),
    };
    Ok(Quantity { value, measure })
}

fn without_currency(text: &str) -> &str {
    let rest = units(Column::Price).iter().filter_map(|unit| text.strip_prefix(unit));
    let mut rest = rest.map(|rest| rest.trim_start_matches(['.', ' ']));
    rest.find(|rest| rest.starts_with(|c: char| c.is_ascii_digit())).unwrap_or(text)
}

/// A number as it is written.
#[derive(Debug)]
struct Written<'t> {
    is_negative: bool,
    /// The digits between the separators.
    groups: Vec<&'t str>,
    separators: Vec<char>,
    exponent: Option<i32>,
}

impl<'t> Written<'t> {
    /// The number at the beginning of a text, and what follows it.
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
            // A separator stands between two digits.
            let Some(separator) = rest.chars().next().filter(|c| matches!(c, '.' | ',' | '\'' | ' ')) else { break };
            if !rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
                break;
            }
            separators.push(separator);
            rest = &rest[1..];
        }
        let exponent = exponent(rest);
        let (exponent, rest) = exponent.map_or((None, rest), |(exponent, after)| (Some(exponent), after));
        Some((Self { is_negative, groups, separators, exponent }, rest))
    }

    /// What the number means, counted in units with so many zeros.
    fn value(&self, column: Column, measure: Measure, zeros: i32, current_year: i32) -> Result<f64, Reason> {
        let (decimal, grouped) = match (self.decimal(zeros), self.grouped(zeros)) {
            (Some(decimal), Some(grouped)) => (decimal, grouped),
            (decimal, grouped) => return decimal.or(grouped).ok_or(Reason::NotANumber),
        };
        let fits = |number| column.bounds(current_year).is_none_or(|(min, max)| (min..=max).contains(&number));
        match column {
            // Nobody counts thousands of millions, or of powers of ten.
            _ if zeros >= 6 || self.exponent.is_some() => Ok(decimal),
            Column::EngineVolume => Ok(if measure == Measure::CubicCentimetres { grouped } else { decimal }),
            _ if !fits(grouped) => Ok(decimal),
            _ if !fits(decimal) => Ok(grouped),
            // 150,000 km: where commas are for fractions, nobody gives three digits of a kilometre.
            _ if self.separators == [','] && zeros == 0 => Ok(grouped),
            _ => Err(Reason::Ambiguous { first: decimal, second: grouped }),
        }
    }

    /// The number if its last separator begins the fraction.
    fn decimal(&self, zeros: i32) -> Option<f64> {
        let Some((last, before)) = self.separators.split_last() else { return self.number(self.groups.len(), zeros) };
        let whole = self.groups.len() - 1;
        let is_grouped =
            || before.iter().all(|separator| separator == &before[0]) && groups_of_three(&self.groups[..whole]);
        let is_fraction = matches!(last, '.' | ',') && !before.contains(last) && (before.is_empty() || is_grouped());
        if is_fraction { self.number(whole, zeros) } else { None }
    }

    /// The number if all of its separators group digits. Up to a million they may differ by mistake: `1 350.000`.
    fn grouped(&self, zeros: i32) -> Option<f64> {
        let first = self.separators.first()?;
        let is_alike = self.separators.len() == 2 || self.separators.iter().all(|separator| separator == first);
        if is_alike && groups_of_three(&self.groups) { self.number(self.groups.len(), zeros) } else { None }
    }

    /// The number whose first groups are before the decimal point.
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
fn exponent(text: &str) -> Option<(i32, &str)> {
    let signed = text.strip_prefix('e')?;
    let (digits, rest) = split_digits(signed.strip_prefix(['+', '-']).unwrap_or(signed));
    let exponent = signed[..signed.len() - rest.len()].parse().ok()?;
    (!digits.is_empty() && !rest.starts_with(char::is_alphabetic)).then_some((exponent, rest))
}

/// What is counted, and in units of how many zeros; `None` when it is no unit of the column.
fn unit(column: Column, text: &str) -> Option<(Measure, i32)> {
    let unit: String = text.chars().filter(|c| !matches!(c, '.' | ' ')).collect();
    // German prices: 12.500,-
    let unit = if column == Column::Price { unit.trim_start_matches(",-").trim_start_matches('-') } else { &unit };
    if unit.is_empty() {
        return Some((Measure::Bare, 0));
    }
    match column {
        _ if units(column).contains(&unit) => Some((Measure::Own, 0)),
        Column::Mileage | Column::Price => multiplied(column, unit),
        Column::EngineVolume if CUBIC_CENTIMETRES.contains(&unit) => Some((Measure::CubicCentimetres, 0)),
        Column::EngineVolume if text.split_whitespace().all(|tag| ENGINE_TAGS.split(' ').any(|known| known == tag)) => {
            Some((Measure::Bare, 0))
        }
        Column::EnginePower if KILOWATTS.contains(&unit) => Some((Measure::Kilowatts, 0)),
        _ => None,
    }
}

fn multiplied(column: Column, unit: &str) -> Option<(Measure, i32)> {
    let millions = if column == Column::Price { MILLIONS } else { &MILLIONS[2..] };
    let words = THOUSANDS.iter().map(|word| (word, 3)).chain(millions.iter().map(|word| (word, 6)));
    let mut zeros = words.filter_map(|(word, zeros)| Some((unit.strip_prefix(word)?, zeros)));
    let (_, zeros) = zeros.find(|(unit, _)| unit.is_empty() || units(column).contains(unit))?;
    Some((Measure::Own, zeros))
}

/// The column's own unit as people write it, without points and spaces.
fn units(column: Column) -> &'static [&'static str] {
    match column {
        Column::Mileage => &["км", "km", "kms", "километров", "километра", "kilometer", "kilometers", "kilometres"],
        Column::EnginePower => &["лс", "hp", "ps", "bhp", "сил", "лошсил", "лошадиныхсил"],
        Column::Price => &["руб", "р", "p", "₽", "rub", "rur", "рублей", "рубля", "рубль"],
        Column::Year => &["г", "год", "года", "гв", "гвып", "гвыпуска", "годвыпуска", "годавыпуска"],
        Column::EngineVolume => &["л", "l", "ltr", "литр", "литра", "литров", "liter", "litre", "litres"],
        Column::OwnersCount => &[
            "+",
            "иболее",
            "илиболее",
            "ибольше",
            "илибольше",
            "иболеевладельцев",
            "илиболеевладельцев",
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
        ],
        _ => &[],
    }
}

const THOUSANDS: &[&str] = &["тысячи", "тысяч", "тыс", "т", "tsd", "t", "k", "к"];
/// The single letters first, which would be metres beside a mileage.
const MILLIONS: &[&str] = &["м", "m", "миллионов", "миллиона", "миллион", "млн", "mln", "mio"];
const CUBIC_CENTIMETRES: &[&str] =
    &["см³", "см3", "см^3", "кубсм", "смкуб", "куб", "сс", "cc", "ccm", "cm3", "cm³", "cm^3"];
const KILOWATTS: &[&str] = &["квт", "kw"];
/// What stands behind a volume without being its unit.
const ENGINE_TAGS: &str = "i d t td tdi tsi tfsi fsi mpi gdi crdi dci hdi cdi turbo турбо at mt amt cvt ат мт";

//! Parsing dates as people and spreadsheets write them.

use chrono::{Days, NaiveDate};

/// Parses ISO, Russian and German notation, with the month as a number or a word, optionally followed by a time of day.
/// `None` for ambiguous dates too, such as `03/04/2026`.
pub(super) fn parse_date(text: &str) -> Option<NaiveDate> {
    let text = text.trim();
    let day = text.split([' ', ',', 'T']).next().unwrap_or(text);
    parse_numeric_date(day).or_else(|| parse_worded_date(text))
}

/// The date that a number stands for: a spreadsheet's serial number, which counts from 1899-12-30, or `yyyymmdd`.
pub(super) fn date_from_number(number: f64) -> Option<NaiveDate> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by the patterns")]
    match number {
        1.0..=80_000.0 => NaiveDate::from_ymd_opt(1899, 12, 30)?.checked_add_days(Days::new(number as u64)),
        19_000_101.0..=20_991_231.0 => date_from_digits(number as u32),
        _ => None,
    }
}

/// `20260317`.
fn date_from_digits(number: u32) -> Option<NaiveDate> {
    NaiveDate::from_ymd_opt(i32::try_from(number / 10_000).ok()?, number / 100 % 100, number % 100)
}

fn parse_numeric_date(day: &str) -> Option<NaiveDate> {
    if day.len() == 8
        && let Ok(number) = day.parse()
    {
        return date_from_digits(number);
    }
    let separator = day.chars().find(|c| !c.is_ascii_digit()).filter(|c| matches!(c, '.' | '-' | '/'))?;
    let parts: Vec<&str> = day.trim_end_matches('.').split(separator).collect();
    let [first, second, third] = parts[..] else { return None };
    match (first.len(), second.len(), third.len()) {
        (4, 1..=2, 1..=2) => date(first, second, third),
        (1..=2, 1..=2, 4) if separator == '.' => date(third, second, first),
        // 17.03.26
        (1..=2, 1..=2, 2) if separator == '.' => date(&format!("20{third}"), second, first),
        // Some write the month first.
        (1..=2, 1..=2, 4) => {
            let (day_first, month_first) = (date(third, second, first), date(third, first, second));
            match (day_first, month_first) {
                (Some(one), Some(other)) => (one == other).then_some(one),
                (one, other) => one.or(other),
            }
        }
        _ => None,
    }
}

/// `17 марта 2026 г.`, `17-Mar-26`, `March 17, 2026`.
fn parse_worded_date(text: &str) -> Option<NaiveDate> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '.' | ',' | '-'));
    let is_significant = |word: &&str| !word.is_empty() && !word.contains(':') && !matches!(*word, "г" | "года");
    let mut words = words.filter(is_significant);
    let (Some(first), Some(second), Some(year), None) = (words.next(), words.next(), words.next(), words.next()) else {
        return None;
    };
    let (day, month) = match (month(first), month(second)) {
        (None, Some(month)) => (first, month),
        (Some(month), None) => (second, month),
        _ => return None,
    };
    let year = if year.len() == 2 { format!("20{year}") } else { year.to_owned() };
    date(&year, &month.to_string(), day)
}

/// Prefixes of the month names in Russian, English and German.
const MONTHS: [&[&str]; 12] = [
    &["янв", "jan"],
    &["фев", "feb"],
    &["мар", "mar", "mär"],
    &["апр", "apr"],
    &["мая", "май", "may", "mai"],
    &["июн", "jun"],
    &["июл", "jul"],
    &["авг", "aug"],
    &["сен", "sep"],
    &["окт", "oct", "okt"],
    &["ноя", "nov"],
    &["дек", "dec", "dez"],
];

/// Whether a word is the name of a month.
pub(super) fn is_month(word: &str) -> bool {
    month(word).is_some()
}

fn month(word: &str) -> Option<usize> {
    let word = word.to_lowercase();
    let is_word = word.chars().all(char::is_alphabetic) && word.chars().count() <= "september".len();
    let index = MONTHS.iter().position(|names| names.iter().any(|name| word.starts_with(name)));
    index.filter(|_| is_word).map(|index| index + 1)
}

fn date(year: &str, month: &str, day: &str) -> Option<NaiveDate> {
    let is_number = |part: &str| part.len() <= 4 && part.chars().all(|c| c.is_ascii_digit());
    if ![year, month, day].into_iter().all(is_number) || year.len() != 4 {
        return None;
    }
    NaiveDate::from_ymd_opt(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
}

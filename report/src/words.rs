//! Texts in both languages, and number formats.

use chrono::NaiveDate;
use domain::Column;
use serde::Serialize;

/// A language of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Russian.
    Russian,
    /// English.
    English,
}

pub(crate) const RU: Language = Language::Russian;
pub(crate) const EN: Language = Language::English;

/// A plain text in both languages, escaped when rendered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LocalizedText {
    /// In Russian.
    pub ru: String,
    /// In English.
    pub en: String,
}

impl LocalizedText {
    pub(crate) fn new(ru: impl Into<String>, en: impl Into<String>) -> Self {
        Self { ru: ru.into(), en: en.into() }
    }

    /// The same text in both languages, such as a name.
    pub(crate) fn same(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { ru: text.clone(), en: text }
    }

    /// A text formatted for each language.
    pub(crate) fn each(write: impl Fn(Language) -> String) -> Self {
        Self { ru: write(RU), en: write(EN) }
    }

    pub(crate) fn then(self, other: &Self) -> Self {
        Self { ru: self.ru + &other.ru, en: self.en + &other.en }
    }

    /// The text in a language.
    #[must_use]
    pub fn get(&self, language: Language) -> &str {
        match language {
            Language::Russian => &self.ru,
            Language::English => &self.en,
        }
    }
}

/// A non-breaking space.
const NBSP: char = '\u{a0}';

impl Language {
    pub(crate) fn pick(self, ru: &'static str, en: &'static str) -> &'static str {
        match self {
            Self::Russian => ru,
            Self::English => en,
        }
    }

    /// A whole number with a thousands separator.
    pub(crate) fn count(self, number: i64) -> String {
        self.group_digits(&number.to_string())
    }

    fn group_digits(self, number: &str) -> String {
        let (sign, digits) = number.strip_prefix('-').map_or(("", number), |digits| ("−", digits));
        let separator = match self {
            Self::Russian => NBSP,
            Self::English => ',',
        };
        let mut written = String::from(sign);
        for (index, digit) in digits.chars().enumerate() {
            // Russian does not group four digits.
            let is_grouped = self == Self::English || digits.len() > 4;
            if index > 0 && (digits.len() - index).is_multiple_of(3) && is_grouped {
                written.push(separator);
            }
            written.push(digit);
        }
        written
    }

    /// A number with a fixed number of decimals.
    pub(crate) fn decimal(self, number: f64, places: usize) -> String {
        let written = format!("{number:.places$}");
        let (whole, rest) = written.split_once('.').map_or((written.as_str(), None), |(a, b)| (a, Some(b)));
        let whole = self.group_digits(whole);
        rest.map_or(whole.clone(), |rest| format!("{whole}{}{rest}", self.pick(",", ".")))
    }

    /// A number with as many decimals as it needs, at most three significant digits below 1,000.
    pub(crate) fn number(self, number: f64) -> String {
        let places = match number.abs() {
            size if size >= 100.0 || number.fract() == 0.0 => 0,
            size if size >= 10.0 => 1,
            _ => 2,
        };
        // 1.6 and not 1.60.
        let factor = 10_f64.powi(places as i32);
        let rounded = (number * factor).round() / factor;
        let places =
            (0..places).find(|fewer| (rounded * 10_f64.powi(*fewer as i32)).fract().abs() < 1e-9).unwrap_or(places);
        self.decimal(rounded, places)
    }

    /// A share in percent. Only exact values are shown as 0 % or 100 %.
    pub(crate) fn percent(self, share: f64) -> String {
        let percent = 100.0 * share;
        let (mark, percent, places) = match percent {
            percent if percent > 0.0 && percent < 0.1 => ("<", 0.1, 1),
            percent if percent < 100.0 && percent > 99.9 => (">", 99.9, 1),
            percent if percent == 0.0 || percent >= 100.0 => ("", percent, 0),
            percent => ("", percent, 1),
        };
        format!("{mark}{}{NBSP}%", self.decimal(percent, places))
    }

    /// A number in short form, in thousands, millions and so on.
    pub(crate) fn short(self, number: f64) -> String {
        let (size, unit) = match number.abs() {
            // Numbers that would round to 1,000 of a unit use the next one.
            size if size >= 999.5e9 => (1e12, self.pick("\u{a0}трлн", "T")),
            size if size >= 999.5e6 => (1e9, self.pick("\u{a0}млрд", "B")),
            size if size >= 999.5e3 => (1e6, self.pick("\u{a0}млн", "M")),
            size if size >= 1e4 => (1e3, self.pick("\u{a0}тыс.", "k")),
            _ => return self.number(number),
        };
        format!("{}{unit}", self.number(number / size))
    }

    /// A number of a column with a unit, if it has one.
    pub(crate) fn quantity(self, column: Column, number: f64, unit: &str) -> String {
        let number = match column {
            Column::Year => format!("{number:.0}"),
            Column::Price => self.short(number),
            _ => self.number(number),
        };
        if unit.is_empty() { number } else { format!("{number}{NBSP}{unit}") }
    }

    pub(crate) fn day(self, day: NaiveDate) -> String {
        day.format(self.pick("%d.%m.%Y", "%Y-%m-%d")).to_string()
    }

    /// The label of a column.
    pub(crate) fn column(self, column: Column) -> &'static str {
        let (ru, en) = column.label();
        self.pick(ru, en)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_formatted_for_each_language() {
        assert_eq!(RU.count(1_072_420), "1\u{a0}072\u{a0}420");
        assert_eq!((RU.count(7242), EN.count(7242)), ("7242".into(), "7,242".into()));
        assert_eq!(EN.count(-72_420), "−72,420");
        assert_eq!((RU.decimal(2.149, 2), EN.decimal(2.149, 2)), ("2,15".into(), "2.15".into()));
        assert_eq!((RU.short(1_350_000.0), EN.short(1_350_000.0)), ("1,35\u{a0}млн".into(), "1.35M".into()));
        assert_eq!((EN.short(1e12), EN.short(999_999.0)), ("1T".into(), "1M".into()));
        assert_eq!((EN.number(1.6), EN.number(1.85), EN.number(0.3)), ("1.6".into(), "1.85".into(), "0.3".into()));
        assert_eq!(EN.quantity(Column::Year, 2018.0, ""), "2018");
        assert_eq!(RU.quantity(Column::Mileage, 83_000.0, "км"), "83\u{a0}000\u{a0}км");
    }

    #[test]
    fn percentages_are_never_rounded_to_zero_or_all() {
        assert_eq!(EN.percent(0.0), "0\u{a0}%");
        assert_eq!(EN.percent(0.000_01), "<0.1\u{a0}%");
        assert_eq!(EN.percent(0.999_99), ">99.9\u{a0}%");
        assert_eq!(EN.percent(1.0), "100\u{a0}%");
        assert_eq!(RU.percent(0.1234), "12,3\u{a0}%");
    }
}

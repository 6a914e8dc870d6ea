//! The languages of messages, pages and reports, and how numbers are written in them.

use chrono::NaiveDate;

/// A language of messages, pages and reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// English, the default.
    #[default]
    English,
    /// Russian.
    Russian,
}

/// A non-breaking space.
const NBSP: char = '\u{a0}';

impl Language {
    /// One of two texts, in Russian and in English.
    #[must_use]
    pub fn of_both<'t>(self, (russian, english): (&'t str, &'t str)) -> &'t str {
        match self {
            Self::English => english,
            Self::Russian => russian,
        }
    }

    /// The language that a client prefers, by its `Accept-Language` header; English unless it prefers Russian.
    #[must_use]
    pub fn preferred(accept_language: &str) -> Self {
        let mut best = (Self::English, 0.0);
        for range in accept_language.split(',') {
            let (tag, weight) = range.split_once(';').map_or((range, "q=1"), |(tag, weight)| (tag, weight.trim()));
            let weight: f64 = weight.strip_prefix("q=").and_then(|weight| weight.trim().parse().ok()).unwrap_or(0.0);
            let language = match tag.trim().split('-').next() {
                Some(tag) if tag.eq_ignore_ascii_case("ru") => Self::Russian,
                Some(tag) if tag.eq_ignore_ascii_case("en") || tag == "*" => Self::English,
                _ => continue,
            };
            // Of equal weights the first counts.
            if weight > best.1 {
                best = (language, weight);
            }
        }
        best.0
    }

    /// The tag of the language.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Russian => "ru",
        }
    }

    /// A whole number with a thousands separator.
    #[must_use]
    pub fn count(self, number: impl TryInto<i64>) -> String {
        self.group_digits(&number.try_into().unwrap_or(i64::MAX).to_string())
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
    #[must_use]
    pub fn decimal(self, number: f64, places: usize) -> String {
        let written = format!("{number:.places$}");
        let (whole, rest) = written.split_once('.').map_or((written.as_str(), None), |(a, b)| (a, Some(b)));
        let whole = self.group_digits(whole);
        rest.map_or(whole.clone(), |rest| format!("{whole}{}{rest}", self.of_both((",", "."))))
    }

    /// A number with as many decimals as it needs, at most three significant digits below 1,000.
    #[must_use]
    pub fn number(self, number: f64) -> String {
        let places = match number.abs() {
            size if size >= 100.0 || number.fract() == 0.0 => 0,
            size if size >= 10.0 => 1,
            _ => 2,
        };
        // 1.6 and not 1.60.
        let written = format!("{number:.places$}");
        let decimals = written.split_once('.').map_or("", |(_, decimals)| decimals.trim_end_matches('0'));
        self.decimal(number, decimals.len())
    }

    /// A share in percent. Only exact values are shown as 0 % or 100 %.
    #[must_use]
    pub fn percent(self, share: f64) -> String {
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
    #[must_use]
    pub fn short(self, number: f64) -> String {
        let (size, unit) = match number.abs() {
            // Numbers that would round to 1,000 of a unit use the next one.
            size if size >= 999.5e9 => (1e12, self.of_both(("\u{a0}трлн", "T"))),
            size if size >= 999.5e6 => (1e9, self.of_both(("\u{a0}млрд", "B"))),
            size if size >= 999.5e3 => (1e6, self.of_both(("\u{a0}млн", "M"))),
            size if size >= 1e4 => (1e3, self.of_both(("\u{a0}тыс.", "k"))),
            _ => return self.number(number),
        };
        format!("{}{unit}", self.number(number / size))
    }

    /// A date in the order of the language.
    #[must_use]
    pub fn day(self, day: NaiveDate) -> String {
        day.format(self.of_both(("%d.%m.%Y", "%Y-%m-%d"))).to_string()
    }
}

/// A text with its first letter in upper case, as at the start of a sentence.
#[must_use]
pub fn capitalized(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().into_iter().flat_map(char::to_uppercase).chain(characters).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RU: Language = Language::Russian;
    const EN: Language = Language::English;

    #[test]
    fn numbers_are_formatted_for_each_language() {
        assert_eq!(RU.count(1_072_420), "1\u{a0}072\u{a0}420");
        assert_eq!((RU.count(7242), EN.count(7242)), ("7242".into(), "7,242".into()));
        assert_eq!(EN.count(-72_420), "−72,420");
        assert_eq!((RU.decimal(2.149, 2), EN.decimal(2.149, 2)), ("2,15".into(), "2.15".into()));
        assert_eq!((RU.short(1_350_000.0), EN.short(1_350_000.0)), ("1,35\u{a0}млн".into(), "1.35M".into()));
        assert_eq!((EN.short(1e12), EN.short(999_999.0)), ("1T".into(), "1M".into()));
        assert_eq!((EN.number(1.6), EN.number(1.85), EN.number(0.3)), ("1.6".into(), "1.85".into(), "0.3".into()));
    }

    #[test]
    fn percentages_are_never_rounded_to_zero_or_all() {
        assert_eq!(EN.percent(0.0), "0\u{a0}%");
        assert_eq!(EN.percent(0.000_01), "<0.1\u{a0}%");
        assert_eq!(EN.percent(0.999_99), ">99.9\u{a0}%");
        assert_eq!(EN.percent(1.0), "100\u{a0}%");
        assert_eq!(RU.percent(0.1234), "12,3\u{a0}%");
    }

    #[test]
    fn the_preferred_language_is_found() {
        for (header, expected) in [
            ("", Language::English),
            ("ru", Language::Russian),
            ("ru-RU,ru;q=0.9,en;q=0.8", Language::Russian),
            ("en-US,en;q=0.9,ru;q=0.8", Language::English),
            ("de, ru;q=0.5, en;q=0.4", Language::Russian),
            ("de", Language::English),
            ("ru;q=0", Language::English),
            ("*", Language::English),
            (";;,q=,", Language::English),
        ] {
            assert_eq!(Language::preferred(header), expected, "{header}");
        }
    }
}

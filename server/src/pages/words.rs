//! The language of a page, and its numbers.

/// The language of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Russian,
    English,
}

impl Language {
    /// Reads the parameter `language`, and removes it.
    pub(super) fn take(pairs: &mut Vec<(String, String)>) -> Self {
        let is_english = pairs.iter().any(|(name, value)| name == "language" && value == "en");
        pairs.retain(|(name, _)| name != "language");
        if is_english { Self::English } else { Self::Russian }
    }

    /// The text in this language.
    pub(super) fn text<'a>(self, russian: &'a str, english: &'a str) -> &'a str {
        match self {
            Self::Russian => russian,
            Self::English => english,
        }
    }

    /// A sentence in this language, whose `{}` are replaced by values in order.
    pub(super) fn fill(self, russian: &str, english: &str, values: &[String]) -> String {
        let mut parts = self.text(russian, english).split("{}");
        let mut sentence = parts.next().unwrap_or_default().to_owned();
        for (value, part) in values.iter().zip(parts) {
            sentence.push_str(value);
            sentence.push_str(part);
        }
        sentence
    }

    /// A share in percent.
    pub(super) fn percent(self, share: f64) -> String {
        self.in_percent(&format!("{:.2}", 100.0 * share))
    }

    /// A share in percent, as people say it.
    pub(super) fn about(self, share: f64) -> String {
        let percent = 100.0 * share;
        self.in_percent(&if percent.abs() < 9.95 { format!("{percent:.1}") } else { format!("{percent:.0}") })
    }

    fn in_percent(self, number: &str) -> String {
        match self {
            Self::Russian => format!("{}\u{a0}%", number.replace('.', ",")),
            Self::English => format!("{number}\u{a0}%"),
        }
    }

    /// A count with its digits in groups.
    pub(super) fn count(self, count: impl TryInto<u64>) -> String {
        let digits = count.try_into().unwrap_or_default().to_string();
        let separator = match self {
            Self::Russian => '\u{a0}',
            Self::English => ',',
        };
        let mut text = String::new();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                text.push(separator);
            }
            text.push(digit);
        }
        text
    }

    /// A number of money or days with two or three digits, for the axes of plots.
    pub(super) fn short(self, number: f64) -> String {
        let (thousand, million) = (self.text("тыс", "k"), self.text("млн", "M"));
        let (number, unit) = match number.abs() {
            size if size >= 999_500.0 => (number / 1e6, million),
            size if size >= 9_950.0 => (number / 1e3, thousand),
            _ => (number, ""),
        };
        let text =
            if number.abs() < 9.95 && !unit.is_empty() { format!("{number:.1}") } else { format!("{number:.0}") };
        let text = text.strip_suffix(".0").unwrap_or(&text);
        match self {
            Self::Russian if unit.is_empty() => text.to_owned(),
            Self::Russian => format!("{}\u{a0}{unit}", text.replace('.', ",")),
            Self::English => format!("{text}{unit}"),
        }
    }

    /// A number with a few digits.
    pub(super) fn number(self, number: f64) -> String {
        let text = if number == 0.0 || (0.001..1e6).contains(&number.abs()) {
            let text = format!("{number:.5}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            format!("{number:.3e}")
        };
        match self {
            Self::Russian => text.replace('.', ","),
            Self::English => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Language::{English, Russian};

    #[test]
    fn numbers_are_written_as_in_their_language() {
        assert_eq!([English.count(7), English.count(1_234_567)], ["7", "1,234,567"]);
        assert_eq!(Russian.count(57_936), "57\u{a0}936");
        let short = [450.0, 90_000.0, 999_600.0, 1_250_000.0, 12_000_000.0];
        assert_eq!(short.map(|number| English.short(number)), ["450", "90k", "1M", "1.2M", "12M"]);
        assert_eq!(Russian.short(1_250_000.0), "1,2\u{a0}млн");
        let values = ["9 %".to_owned(), "7".to_owned()];
        assert_eq!(Russian.fill("ошибка {} на {}.", "{} of {}", &values), "ошибка 9 % на 7.");
        assert_eq!(English.fill("", "{} of {}", &values), "9 % of 7");
        assert_eq!([English.about(0.0768), Russian.about(0.6661)], ["7.7\u{a0}%", "67\u{a0}%"]);
        assert_eq!([Russian.percent(0.154), English.number(0.00012)], ["15,40\u{a0}%", "1.200e-4"]);
    }
}

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

    /// A share in percent.
    pub(super) fn percent(self, share: f64) -> String {
        let number = format!("{:.2}", 100.0 * share);
        match self {
            Self::Russian => format!("{} %", number.replace('.', ",")),
            Self::English => format!("{number} %"),
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

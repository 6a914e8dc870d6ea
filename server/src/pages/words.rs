//! The language of a page, and what is written only there.

use domain::Language;

/// A non-breaking space.
const NBSP: char = '\u{a0}';

/// Reads the parameter `language`, and removes it; Russian by default.
pub(super) fn take_language(pairs: &mut Vec<(String, String)>) -> Language {
    let is_english = pairs.iter().any(|(name, value)| name == "language" && value == "en");
    pairs.retain(|(name, _)| name != "language");
    if is_english { Language::English } else { Language::Russian }
}

/// A sentence in a language, whose `{}` are replaced by values in order.
pub(super) fn fill(language: Language, russian: &str, english: &str, values: &[String]) -> String {
    let mut parts = language.of_both((russian, english)).split("{}");
    let mut sentence = parts.next().unwrap_or_default().to_owned();
    for (value, part) in values.iter().zip(parts) {
        sentence.push_str(value);
        sentence.push_str(part);
    }
    sentence
}

/// A share in percent, with the decimals by which runs differ.
pub(super) fn format_percent(language: Language, share: f64) -> String {
    format!("{}{NBSP}%", language.decimal(100.0 * share, 2))
}

/// A metric or a setting, with a few digits.
pub(super) fn format_number(language: Language, number: f64) -> String {
    let text = if number == 0.0 || (0.001..1e6).contains(&number.abs()) {
        let text = format!("{number:.5}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{number:.3e}")
    };
    match language {
        Language::Russian => text.replace('.', ","),
        Language::English => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Language::{English, Russian};

    #[test]
    fn sentences_and_numbers_are_in_their_language() {
        let values = ["9 %".to_owned(), "7".to_owned()];
        assert_eq!(fill(Russian, "ошибка {} на {}.", "{} of {}", &values), "ошибка 9 % на 7.");
        assert_eq!(fill(English, "", "{} of {}", &values), "9 % of 7");
        assert_eq!([format_percent(Russian, 0.154), format_number(English, 0.00012)], ["15,40\u{a0}%", "1.200e-4"]);
    }
}

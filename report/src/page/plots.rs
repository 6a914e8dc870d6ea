//! Converts texts of the report into texts of a plot.

use domain::Language;
use plot::Text;

use crate::words::LocalizedText;

pub(super) fn text(words: LocalizedText) -> Text {
    Text::in_languages(vec![("ru", words.ru), ("en", words.en)])
}

/// A number formatted for each language.
pub(super) fn number(write: impl Fn(Language) -> String) -> Text {
    text(LocalizedText::each(write))
}

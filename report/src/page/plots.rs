//! Converts texts of the report into texts of a plot.

use plot::Text;

use crate::words::{Language, Words};

pub(super) fn text(words: Words) -> Text {
    Text::in_languages(vec![("ru", words.ru), ("en", words.en)])
}

/// A number formatted for each language.
pub(super) fn number(write: impl Fn(Language) -> String) -> Text {
    text(Words::each(write))
}

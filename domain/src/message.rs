//! The catalogue of messages, by code, in English and in Russian.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::column::Column;
use crate::language::Language;

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Topic {
    /// The value of a field; its text follows the name of the field.
    Field,
    /// What a model does not know.
    Warning,
    /// A kind of refusal.
    Title,
    /// What to do about a refusal.
    Detail,
}

/// A message in both languages.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// In English.
    pub en: String,
    /// In Russian.
    pub ru: String,
}

/// An argument of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Argument {
    /// A number.
    Number(f64),
    /// A value, which is quoted.
    Quoted(String),
    /// A text as it is.
    Plain(String),
    /// A column: its name in English, which clients send, and its label in Russian.
    Column(Column),
}

/// The arguments of a message by name.
pub type Arguments = Vec<(&'static str, Argument)>;

/// Every message.
type Catalogue = BTreeMap<Topic, BTreeMap<String, Texts>>;

/// The catalogue.
///
/// # Panics
/// Never: a test reads it.
#[must_use]
#[expect(clippy::expect_used, reason = "the file is part of the program, and a test reads it")]
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> =
        LazyLock::new(|| toml::from_str(include_str!("messages.toml")).expect("the catalogue is valid"));
    &CATALOGUE
}

/// The template of a message; that of other messages about a value for an unknown code.
#[must_use]
pub fn template(topic: Topic, code: &str, language: Language) -> &'static str {
    let messages = catalogue().get(&topic);
    let found = messages.and_then(|messages| messages.get(code).or_else(|| messages.get("other")));
    found.map_or("", |texts| texts.in_language(language))
}

/// A message with its arguments. A part in brackets is left out if an argument of it is missing.
#[must_use]
pub fn text(topic: Topic, code: &str, arguments: &[(&str, Argument)], language: Language) -> String {
    let mut written = String::new();
    let mut rest = template(topic, code, language);
    while let Some((before, after)) = rest.split_once('[') {
        let (optional, after) = after.split_once(']').unwrap_or((after, ""));
        written.push_str(&fill(before, arguments, language).unwrap_or_default());
        written.push_str(&fill(optional, arguments, language).unwrap_or_default());
        rest = after;
    }
    written + &fill(rest, arguments, language).unwrap_or_default()
}

/// A text with its arguments; `None` if one is missing.
fn fill(template: &str, arguments: &[(&str, Argument)], language: Language) -> Option<String> {
    let mut written = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}')?;
        let (_, argument) = arguments.iter().find(|(known, _)| *known == name)?;
        written.push_str(before);
        written.push_str(&argument.text(language));
        rest = after;
    }
    Some(written + rest)
}

impl Texts {
    /// The text in a language.
    #[must_use]
    pub fn in_language(&self, language: Language) -> &str {
        match language {
            Language::English => &self.en,
            Language::Russian => &self.ru,
        }
    }
}

impl Argument {
    fn text(&self, language: Language) -> String {
        match (self, language) {
            (Self::Number(number), Language::English) => number.to_string(),
            (Self::Number(number), Language::Russian) => number.to_string().replace('.', ","),
            (Self::Quoted(text), Language::English) => format!("{text:?}"),
            (Self::Quoted(text), Language::Russian) => format!("«{text}»"),
            (Self::Plain(text), _) => text.clone(),
            (Self::Column(column), Language::English) => column.name().to_owned(),
            (Self::Column(column), Language::Russian) => column.label().0.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names in braces.
    fn names(template: &str) -> Vec<&str> {
        template.split('{').skip(1).filter_map(|part| part.split('}').next()).collect()
    }

    #[test]
    fn both_languages_say_the_same_with_the_same_arguments() {
        for (topic, messages) in catalogue() {
            for (code, texts) in messages {
                assert_eq!(names(&texts.en), names(&texts.ru), "{topic:?} {code}");
                let is_russian = texts.ru.chars().any(|letter| matches!(letter, 'а'..='я'));
                assert!(is_russian || texts.ru == "{detail}", "{topic:?} {code}: {}", texts.ru);
                assert!(!texts.en.chars().any(|letter| matches!(letter, 'а'..='я')), "{topic:?} {code}: {}", texts.en);
            }
        }
        let codes = |topic| catalogue()[&topic].keys().collect::<Vec<_>>();
        assert_eq!(codes(Topic::Title), codes(Topic::Detail));
    }

    #[test]
    fn messages_have_their_arguments() {
        let nearest = [("nearest", Argument::Quoted("kia".to_owned()))];
        assert_eq!(
            text(Topic::Field, "unknown_brand", &nearest, Language::Russian),
            "нет среди известных (может быть, «kia»?); исправьте или добавьте allow_unknown=true, чтобы оценить машину без неё"
        );
        let without = text(Topic::Field, "unknown_brand", &[], Language::English);
        assert_eq!(without, "is not known; correct it, or add allow_unknown=true to value the car without it");
        let bounds = [("min", Argument::Number(0.5)), ("max", Argument::Number(2027.0))];
        assert_eq!(text(Topic::Field, "out_of_range", &bounds, Language::Russian), "нужно число от 0,5 до 2027");
        assert_eq!(text(Topic::Field, "a code of tomorrow", &[], Language::English), "is not valid");
    }
}

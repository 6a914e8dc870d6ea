//! Texts in a plot.

use maud::{Markup, html};

/// A text, in one language or in several, of which the page shows one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The class that the page shows or hides, and the text.
    variants: Vec<(&'static str, String)>,
}

/// How the numbers of an axis are written.
pub type WriteNumber<'a> = &'a dyn Fn(f64) -> Text;

impl Text {
    /// A text in one language.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { variants: vec![("", text.into())] }
    }

    /// A text in several languages, each with the class by which the page shows it. A text that is the same in all of
    /// them is drawn once.
    #[must_use]
    pub fn in_languages(variants: Vec<(&'static str, String)>) -> Self {
        match variants.split_first() {
            Some(((_, first), others)) if others.iter().all(|(_, other)| other == first) => Self::plain(first.clone()),
            _ => Self { variants },
        }
    }

    /// All variants, for readers of the page's source.
    pub(crate) fn joined(&self) -> String {
        self.variants.iter().map(|(_, text)| text.as_str()).collect::<Vec<_>>().join(" / ")
    }

    pub(crate) fn draw(&self, x: f64, y: f64, class: &str, anchor: Anchor) -> Markup {
        let (x, y) = (format!("{x:.1}"), format!("{y:.1}"));
        html! {
            @for (language, text) in &self.variants {
                text x=(x) y=(y) class=(format!("{class} {language}").trim_end()) text-anchor=(anchor.name()) { (text) }
            }
        }
    }
}

/// The part of a text that is at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

impl Anchor {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Middle => "middle",
            Self::End => "end",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_drawn_once_where_all_languages_agree() {
        let text = Text::in_languages(vec![("ru", "<b>".to_owned()), ("en", "<b>".to_owned())]);
        let drawn = text.draw(1.0, 2.0, "tick", Anchor::End).into_string();
        assert_eq!(drawn, "<text x=\"1.0\" y=\"2.0\" class=\"tick\" text-anchor=\"end\">&lt;b&gt;</text>");
        let text = Text::in_languages(vec![("ru", "а".to_owned()), ("en", "b".to_owned())]);
        assert_eq!(text.draw(1.0, 2.0, "tick", Anchor::End).into_string().matches("<text").count(), 2);
    }
}

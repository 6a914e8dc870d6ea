//! Text in a plot.

use maud::{Markup, html};

/// A text in one language, or in several of which the page shows one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// The CSS class of each language, and the text.
    variants: Vec<(&'static str, String)>,
}

/// Formats the numbers of an axis.
pub type FormatNumber<'a> = &'a dyn Fn(f64) -> Text;

impl Text {
    /// A text in one language.
    pub fn plain(text: impl Into<String>) -> Self {
        Self { variants: vec![("", text.into())] }
    }

    /// A text in several languages, each with its CSS class. Identical variants are drawn once.
    #[must_use]
    pub fn in_languages(variants: Vec<(&'static str, String)>) -> Self {
        match variants.split_first() {
            Some(((_, first), others)) if others.iter().all(|(_, other)| other == first) => Self::plain(first.clone()),
            _ => Self { variants },
        }
    }

    /// All variants, for the title of the plot.
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

/// The text anchor.
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
    fn text_is_escaped_and_identical_variants_are_drawn_once() {
        let text = Text::in_languages(vec![("ru", "<b>".to_owned()), ("en", "<b>".to_owned())]);
        let drawn = text.draw(1.0, 2.0, "tick", Anchor::End).into_string();
        assert_eq!(drawn, "<text x=\"1.0\" y=\"2.0\" class=\"tick\" text-anchor=\"end\">&lt;b&gt;</text>");
        let text = Text::in_languages(vec![("ru", "а".to_owned()), ("en", "b".to_owned())]);
        assert_eq!(text.draw(1.0, 2.0, "tick", Anchor::End).into_string().matches("<text").count(), 2);
    }
}

//! Plots as SVG, drawn here: no library, no script, and everything readable without hovering.

mod axis;
mod fan;
mod histogram;
mod line;

pub(super) use axis::{Axis, Scale};
pub(super) use fan::fan;
pub(super) use histogram::histogram;
pub(super) use line::line;

use super::words::Words;

/// Size of a plot and of the room for its axes, in the units of its view box.
const WIDTH: f64 = 520.0;
const HEIGHT: f64 = 280.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = 44.0;

/// A text as a page may hold it.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(character),
        }
    }
    escaped
}

/// A text at a place, in both languages; `anchor` is start, middle or end.
fn text(x: f64, y: f64, class: &str, anchor: &str, words: &Words) -> String {
    let one = |language: &str, text: &str| {
        format!(
            "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class} {language}\" text-anchor=\"{anchor}\">{}</text>",
            escape(text)
        )
    };
    if words.ru == words.en { one("", &words.ru) } else { one("ru", &words.ru) + &one("en", &words.en) }
}

/// A plot around what is drawn, with its axes and what it shows in a sentence.
fn frame(horizontal: &Axis, vertical: &Axis, drawn: &str, shows: &Words) -> String {
    format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>{}</title>{}{}{drawn}</svg>",
        escape(&format!("{} / {}", shows.ru, shows.en)),
        horizontal.draw_below(),
        vertical.draw_beside(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_harmless() {
        assert_eq!(escape("<script>\"&'"), "&lt;script&gt;&quot;&amp;&#39;");
        let drawn = text(1.0, 2.0, "", "end", &Words::new("<b>", "<b>"));
        assert_eq!(drawn.matches("<text").count(), 1);
        assert!(!drawn.contains("<b>"));
    }
}

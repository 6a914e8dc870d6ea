//! Marks and lines over two variables.

use maud::{Markup, html};

use crate::axis::{Axis, Scale};
use crate::frame::{circle_with, frame, path_through};
use crate::text::{FormatNumber, Text};

/// The part of an axis that is left free beyond the outermost marks.
const MARGIN: f64 = 0.04;

/// Marks and lines over two variables. A script can show the text of the mark under the pointer from its attributes: `data-at`, its
/// position in the view box, and `data-text`.
pub struct Scatter<'a> {
    /// The marks; later ones are drawn over earlier ones.
    pub marks: &'a [Mark],
    /// Lines below the marks, each with its CSS class.
    pub lines: &'a [(&'static str, Vec<(f64, f64)>)],
    /// Scales of the horizontal and the vertical axis.
    pub scales: (Scale, Scale),
    /// Ticks of the horizontal axis; round numbers by default.
    pub ticks: Option<Vec<f64>>,
    /// Label of the horizontal axis.
    pub horizontal: Text,
    /// Label of the vertical axis.
    pub vertical: Text,
    /// Formats numbers of the horizontal axis.
    pub format_horizontal: FormatNumber<'a>,
    /// Formats numbers of the vertical axis.
    pub format_vertical: FormatNumber<'a>,
}

/// A mark.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Its values on both axes.
    pub at: (f64, f64),
    /// Its CSS class.
    pub class: &'static str,
    /// What it is, for whoever points at it.
    pub text: String,
}

impl Scatter<'_> {
    /// Draws the plot; `None` without marks and lines.
    #[must_use]
    pub fn draw(&self) -> Option<Markup> {
        let points = || {
            let lines = self.lines.iter().flat_map(|(_, points)| points.iter().copied());
            self.marks.iter().map(|mark| mark.at).chain(lines)
        };
        let (horizontal_scale, vertical_scale) = self.scales;
        let across = padded(points().map(|point| point.0), horizontal_scale)?;
        let up = padded(points().map(|point| point.1), vertical_scale)?;
        let mut horizontal = Axis::new(across, horizontal_scale, 6, &self.horizontal, self.format_horizontal);
        if let Some(ticks) = &self.ticks {
            horizontal = horizontal.with_ticks(ticks.clone());
        }
        let vertical = Axis::new(up, vertical_scale, 5, &self.vertical, self.format_vertical);
        let place = |(x, y): (f64, f64)| (horizontal.x(x), vertical.y(y));
        let content = html! {
            @for (class, points) in self.lines.iter().filter(|(_, points)| !points.is_empty()) {
                path class=(class) d=(path_through(points.iter().map(|point| place(*point)))) {}
            }
            @for mark in self.marks { (circle_with(mark.class, place(mark.at), "4", &mark.text)) }
        };
        Some(frame(&horizontal, &vertical, vertical.label(), &content))
    }
}

/// The range of values with a margin; `None` without values.
fn padded(values: impl Iterator<Item = f64>, scale: Scale) -> Option<(f64, f64)> {
    let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
    if low > high {
        return None;
    }
    Some(match scale {
        Scale::Logarithmic if low > 0.0 => {
            let factor = (high / low).powf(MARGIN);
            (low / factor, high * factor)
        }
        _ => (low - MARGIN * (high - low), high + MARGIN * (high - low)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mark_says_what_it_is() {
        let format = |number: f64| Text::plain(number.to_string());
        let draw = |marks: &[Mark]| {
            let scatter = Scatter {
                marks,
                lines: &[("median", Vec::new())],
                scales: (Scale::Logarithmic, Scale::Linear),
                ticks: None,
                horizontal: Text::plain("learning_rate"),
                vertical: Text::plain("loss"),
                format_horizontal: &format,
                format_vertical: &format,
            };
            scatter.draw().map(Markup::into_string)
        };
        let mark = |x, y| Mark { at: (x, y), class: "knot", text: "trial <1>".to_owned() };
        let drawn = draw(&[mark(0.001, 1.0), mark(0.01, 2.0)]).unwrap();
        assert_eq!(drawn.matches("data-text=\"trial &lt;1&gt;\"").count(), 2);
        assert!(!drawn.contains("NaN") && draw(&[mark(1.0, 1.0)]).is_some());
        assert!(draw(&[]).is_none());
    }
}

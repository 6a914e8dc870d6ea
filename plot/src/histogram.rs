//! A histogram.

use maud::{Markup, html};

use crate::area::{BOTTOM, HEIGHT, TOP};
use crate::axis::{Axis, Scale};
use crate::frame::frame;
use crate::text::{Anchor, FormatNumber, Text};

/// Up to this number of bins of whole numbers, each has a tick.
const MAX_TICKED_BINS: usize = 12;
/// Beyond this position, the label of a mark is placed to its left.
const MAX_RIGHT_LABEL_X: f64 = 330.0;

/// A histogram in percent, with an optional mark.
pub struct Histogram<'a> {
    /// Bin edges, including both ends.
    pub edges: &'a [f64],
    /// Number of values in each bin.
    pub counts: &'a [i64],
    /// Scale of the horizontal axis.
    pub scale: Scale,
    /// A marked number and its label.
    pub mark: Option<(f64, Text)>,
    /// Label of the horizontal axis.
    pub horizontal: Text,
    /// Label of the vertical axis.
    pub vertical: Text,
    /// Formats numbers of the horizontal axis.
    pub format_horizontal: FormatNumber<'a>,
    /// Formats percentages.
    pub format_vertical: FormatNumber<'a>,
}

impl Histogram<'_> {
    /// Draws the plot; `None` without bins.
    #[must_use]
    pub fn draw(&self) -> Option<Markup> {
        let (low, high) = (*self.edges.first()?, *self.edges.last()?);
        let total: f64 = self.counts.iter().map(|count| *count as f64).sum();
        let percent = |count: i64| 100.0 * count as f64 / total.max(1.0);
        let max_count = self.counts.iter().copied().max().unwrap_or(0) as f64;
        let mut horizontal = Axis::new((low, high), self.scale, 5, &self.horizontal, self.format_horizontal);
        let middles: Vec<f64> = self.edges.windows(2).map(|edges| f64::midpoint(edges[0], edges[1])).collect();
        if middles.len() <= MAX_TICKED_BINS && middles.iter().all(|middle| middle.fract() == 0.0) {
            horizontal = horizontal.with_ticks(middles);
        }
        let top = 108.0 * max_count / total.max(1.0);
        let vertical = Axis::new((0.0, top), Scale::Linear, 4, &self.vertical, self.format_vertical);
        let content = html! {
            @for (edges, count) in self.edges.windows(2).zip(self.counts) {
                (bar(horizontal.x(edges[0]), horizontal.x(edges[1]), vertical.y(percent(*count))))
            }
            @if let Some((number, text)) = &self.mark {
                (mark(horizontal.x(*number), text))
            }
        };
        Some(frame(&horizontal, &vertical, horizontal.label(), &content))
    }
}

fn bar(left: f64, right: f64, top: f64) -> Markup {
    let width = format!("{:.1}", (right - left - 1.0).max(0.5));
    let height = format!("{:.1}", HEIGHT - BOTTOM - top);
    html! { rect class="bar" x=(format!("{left:.1}")) y=(format!("{top:.1}")) width=(width) height=(height) {} }
}

fn mark(x: f64, text: &Text) -> Markup {
    let (offset, anchor) = if x > MAX_RIGHT_LABEL_X { (-5.0, Anchor::End) } else { (5.0, Anchor::Start) };
    html! {
        path class="mark" d=(format!("M{x:.1} {TOP}V{:.1}", HEIGHT - BOTTOM)) {}
        (text.draw(x + offset, TOP + 10.0, "value", anchor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_histogram_is_not_drawn_and_a_constant_is_one_bar() {
        let format = |number: f64| Text::plain(number.to_string());
        let draw = |edges: &[f64], counts: &[i64]| {
            let (horizontal, vertical) = (Text::plain("l"), Text::plain("share"));
            let mark = Some((5.0, Text::plain("median")));
            let (format_horizontal, format_vertical): (FormatNumber, FormatNumber) = (&format, &format);
            let scale = Scale::Logarithmic;
            Histogram { edges, counts, scale, mark, horizontal, vertical, format_horizontal, format_vertical }.draw()
        };
        assert!(draw(&[], &[]).is_none());
        let constant = draw(&[5.0, 5.5], &[9]).unwrap().into_string();
        assert_eq!(constant.matches("class=\"bar\"").count(), 1);
        assert!(!constant.contains("NaN") && !constant.contains("inf"));
    }
}

//! How numbers spread.

use maud::{Markup, html};

use crate::area::{BOTTOM, HEIGHT, TOP};
use crate::axis::{Axis, Scale};
use crate::frame::frame;
use crate::text::{Anchor, Text, WriteNumber};

/// Up to so many bins have a tick each, where they stand for whole numbers.
const FEW_BINS: usize = 12;
/// To the right of this, a text begins left of its line.
const RIGHT_PART: f64 = 330.0;

/// Counts in bins as shares in percent, with one number marked.
pub struct Histogram<'a> {
    /// Where the bins begin, and where the last one ends.
    pub edges: &'a [f64],
    /// How many are in each bin.
    pub counts: &'a [i64],
    /// Of the horizontal axis.
    pub scale: Scale,
    /// A number that is marked, and what is written beside it.
    pub mark: Option<(f64, Text)>,
    /// What is along the horizontal axis.
    pub horizontal: Text,
    /// What is along the vertical axis.
    pub vertical: Text,
    /// Writes numbers of the horizontal axis.
    pub write_horizontal: WriteNumber<'a>,
    /// Writes percentages.
    pub write_vertical: WriteNumber<'a>,
}

impl Histogram<'_> {
    /// The plot; `None` where there is nothing to draw.
    #[must_use]
    pub fn draw(&self) -> Option<Markup> {
        let (low, high) = (*self.edges.first()?, *self.edges.last()?);
        let total: f64 = self.counts.iter().map(|count| *count as f64).sum();
        let percent = |count: i64| 100.0 * count as f64 / total.max(1.0);
        let most = self.counts.iter().copied().max().unwrap_or(0) as f64;
        let mut horizontal = Axis::new((low, high), self.scale, 5, &self.horizontal, self.write_horizontal);
        let middles: Vec<f64> = self.edges.windows(2).map(|edges| f64::midpoint(edges[0], edges[1])).collect();
        if middles.len() <= FEW_BINS && middles.iter().all(|middle| middle.fract() == 0.0) {
            horizontal = horizontal.with_ticks(middles);
        }
        let top = 108.0 * most / total.max(1.0);
        let vertical = Axis::new((0.0, top), Scale::Linear, 4, &self.vertical, self.write_vertical);
        let drawn = html! {
            @for (edges, count) in self.edges.windows(2).zip(self.counts) {
                (bar(horizontal.x(edges[0]), horizontal.x(edges[1]), vertical.y(percent(*count))))
            }
            @if let Some((number, text)) = &self.mark {
                (mark(horizontal.x(*number), text))
            }
        };
        Some(frame(&horizontal, &vertical, horizontal.label(), &drawn))
    }
}

fn bar(left: f64, right: f64, top: f64) -> Markup {
    let width = format!("{:.1}", (right - left - 1.0).max(0.5));
    let height = format!("{:.1}", HEIGHT - BOTTOM - top);
    html! { rect class="bar" x=(format!("{left:.1}")) y=(format!("{top:.1}")) width=(width) height=(height) {} }
}

fn mark(x: f64, text: &Text) -> Markup {
    let (shift, anchor) = if x > RIGHT_PART { (-5.0, Anchor::End) } else { (5.0, Anchor::Start) };
    html! {
        path class="mark" d=(format!("M{x:.1} {TOP}V{:.1}", HEIGHT - BOTTOM)) {}
        (text.draw(x + shift, TOP + 10.0, "value", anchor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_of_nothing_and_a_constant_is_one_bar() {
        let write = |number: f64| Text::plain(number.to_string());
        let draw = |edges: &[f64], counts: &[i64]| {
            let (horizontal, vertical) = (Text::plain("l"), Text::plain("share"));
            let mark = Some((5.0, Text::plain("median")));
            let (write_horizontal, write_vertical): (WriteNumber, WriteNumber) = (&write, &write);
            let scale = Scale::Logarithmic;
            Histogram { edges, counts, scale, mark, horizontal, vertical, write_horizontal, write_vertical }.draw()
        };
        assert!(draw(&[], &[]).is_none());
        let constant = draw(&[5.0, 5.5], &[9]).unwrap().into_string();
        assert_eq!(constant.matches("class=\"bar\"").count(), 1);
        assert!(!constant.contains("NaN") && !constant.contains("inf"));
    }
}

//! A fan chart: quantile bands and the median of one variable along another.

use maud::{Markup, html};

use crate::axis::{Axis, Scale};
use crate::frame::{circle, circle_with, frame, path_through};
use crate::text::{Anchor, FormatNumber, Text};

/// A fan chart of positive numbers along another variable, on a logarithmic scale.
pub struct Fan<'a> {
    /// Bins along the horizontal axis, in order.
    pub bins: &'a [FanBin],
    /// What each bin is, for whoever points at it; none for a page without script.
    pub texts: &'a [String],
    /// Individual points; those outside the bins are omitted.
    pub points: &'a [(f64, f64)],
    /// The factor by which the vertical axis reaches beyond the bands.
    pub margin: f64,
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

/// Quantiles at one position.
#[derive(Clone, Copy, Debug)]
pub struct FanBin {
    /// Position on the horizontal axis.
    pub at: f64,
    /// In ascending order: the wide band's lower bound, the narrow band's, the median, and the two upper bounds.
    pub quantiles: [f64; 5],
}

impl Fan<'_> {
    /// Draws the plot; `None` without bins.
    #[must_use]
    pub fn draw(&self) -> Option<Markup> {
        let bins = self.bins;
        let (first, last) = (bins.first()?, bins.last()?);
        let low = bins.iter().map(|bin| bin.quantiles[0]).fold(f64::MAX, f64::min) / self.margin;
        let high = bins.iter().map(|bin| bin.quantiles[4]).fold(0.0, f64::max) * self.margin;
        let mut horizontal = Axis::new((first.at, last.at), Scale::Linear, 6, &self.horizontal, self.format_horizontal);
        if let Some(ticks) = &self.ticks {
            horizontal = horizontal.with_ticks(ticks.clone());
        }
        let vertical = Axis::new((low, high), Scale::Logarithmic, 6, &self.vertical, self.format_vertical);
        let is_within =
            |(along, value): &&(f64, f64)| (first.at..=last.at).contains(along) && (low..=high).contains(value);
        let median = path_through(bins.iter().map(|bin| (horizontal.x(bin.at), vertical.y(bin.quantiles[2]))));
        let content = html! {
            @for (along, value) in self.points.iter().filter(is_within) {
                (circle("point", horizontal.x(*along), vertical.y(*value), "1.6"))
            }
            polygon class="most" points=(band_points(bins, (0, 4), &horizontal, &vertical)) {}
            polygon class="half" points=(band_points(bins, (1, 3), &horizontal, &vertical)) {}
            path class="median" d=(median) {}
            @for (bin, text) in bins.iter().zip(self.texts) {
                (circle_with("knot", (horizontal.x(bin.at), vertical.y(bin.quantiles[2])), "2.5", text))
            }
            @for bin in [0, bins.len() / 2, bins.len() - 1] {
                (self.draw_median_label(bin, &horizontal, &vertical))
            }
        };
        Some(frame(&horizontal, &vertical, horizontal.label(), &content))
    }

    /// Draws a labelled point on the median.
    fn draw_median_label(&self, bin: usize, horizontal: &Axis, vertical: &Axis) -> Markup {
        let FanBin { at, quantiles } = self.bins[bin];
        let (x, y) = (horizontal.x(at), vertical.y(quantiles[2]));
        let anchor = match bin {
            0 => Anchor::Start,
            bin if bin + 1 == self.bins.len() => Anchor::End,
            _ => Anchor::Middle,
        };
        html! {
            (circle("knot", x, y, "3"))
            ((self.format_vertical)(quantiles[2]).draw(x, y - 8.0, "value halo", anchor))
        }
    }
}

fn band_points(bins: &[FanBin], (low, high): (usize, usize), horizontal: &Axis, vertical: &Axis) -> String {
    let forward = bins.iter().map(|bin| (bin.at, bin.quantiles[low]));
    let back = bins.iter().rev().map(|bin| (bin.at, bin.quantiles[high]));
    let points = forward.chain(back).map(|(at, value)| format!("{:.1},{:.1}", horizontal.x(at), vertical.y(value)));
    points.collect::<Vec<_>>().join(" ")
}

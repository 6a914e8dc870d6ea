//! A number along another: most of its values, half of them, and the median.

use maud::{Markup, html};

use crate::axis::{Axis, Scale};
use crate::frame::{circle, frame, path_through};
use crate::text::{Anchor, Text, WriteNumber};

/// How positive numbers are spread along another number, on a logarithmic scale.
pub struct Fan<'a> {
    /// Quantiles along the axis, in order.
    pub bins: &'a [FanBin],
    /// Single values; those beyond the bins are left out.
    pub points: &'a [(f64, f64)],
    /// Ticks of the horizontal axis; round numbers where none are given.
    pub ticks: Option<Vec<f64>>,
    /// What is along the horizontal axis.
    pub horizontal: Text,
    /// What is along the vertical axis.
    pub vertical: Text,
    /// Writes numbers of the horizontal axis.
    pub write_horizontal: WriteNumber<'a>,
    /// Writes numbers of the vertical axis.
    pub write_vertical: WriteNumber<'a>,
}

/// Quantiles at a place.
#[derive(Clone, Copy, Debug)]
pub struct FanBin {
    /// Where on the horizontal axis.
    pub at: f64,
    /// The ends of the wide band, within them those of the narrow band, the median in the middle; rising.
    pub quantiles: [f64; 5],
}

impl Fan<'_> {
    /// The plot; `None` where there is nothing to draw.
    #[must_use]
    pub fn draw(&self) -> Option<Markup> {
        let bins = self.bins;
        let (first, last) = (bins.first()?, bins.last()?);
        let low = bins.iter().map(|bin| bin.quantiles[0]).fold(f64::MAX, f64::min) / 1.3;
        let high = bins.iter().map(|bin| bin.quantiles[4]).fold(0.0, f64::max) * 1.3;
        let mut horizontal = Axis::new((first.at, last.at), Scale::Linear, 6, &self.horizontal, self.write_horizontal);
        if let Some(ticks) = &self.ticks {
            horizontal = horizontal.with_ticks(ticks.clone());
        }
        let vertical = Axis::new((low, high), Scale::Logarithmic, 6, &self.vertical, self.write_vertical);
        let is_within =
            |(along, value): &&(f64, f64)| (first.at..=last.at).contains(along) && (low..=high).contains(value);
        let median = path_through(bins.iter().map(|bin| (horizontal.x(bin.at), vertical.y(bin.quantiles[2]))));
        let drawn = html! {
            @for (along, value) in self.points.iter().filter(is_within) {
                (circle("point", horizontal.x(*along), vertical.y(*value), "1.6"))
            }
            polygon class="most" points=(band(bins, (0, 4), &horizontal, &vertical)) {}
            polygon class="half" points=(band(bins, (1, 3), &horizontal, &vertical)) {}
            path class="median" d=(median) {}
            @for place in [0, bins.len() / 2, bins.len() - 1] {
                (self.draw_knot(place, &horizontal, &vertical))
            }
        };
        Some(frame(&horizontal, &vertical, horizontal.label(), &drawn))
    }

    /// A median with its number.
    fn draw_knot(&self, place: usize, horizontal: &Axis, vertical: &Axis) -> Markup {
        let FanBin { at, quantiles } = self.bins[place];
        let (x, y) = (horizontal.x(at), vertical.y(quantiles[2]));
        let anchor = match place {
            0 => Anchor::Start,
            place if place + 1 == self.bins.len() => Anchor::End,
            _ => Anchor::Middle,
        };
        html! {
            (circle("knot", x, y, "3"))
            ((self.write_vertical)(quantiles[2]).draw(x, y - 8.0, "value halo", anchor))
        }
    }
}

fn band(bins: &[FanBin], (low, high): (usize, usize), horizontal: &Axis, vertical: &Axis) -> String {
    let there = bins.iter().map(|bin| (bin.at, bin.quantiles[low]));
    let back = bins.iter().rev().map(|bin| (bin.at, bin.quantiles[high]));
    let points = there.chain(back).map(|(at, value)| format!("{:.1},{:.1}", horizontal.x(at), vertical.y(value)));
    points.collect::<Vec<_>>().join(" ")
}

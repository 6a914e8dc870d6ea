//! A level over time.

use maud::{Markup, html};

use crate::axis::{Axis, Scale};
use crate::frame::{circle, frame, path_through};
use crate::text::{Anchor, Text, WriteNumber};

/// Points whose labels would touch are not both labelled.
const LABEL_DISTANCE: f64 = 40.0;

/// Points in order, joined, each labelled where there is room, the first and the last always.
pub struct Line<'a> {
    /// The points, from left to right.
    pub points: &'a [(f64, f64)],
    /// Ticks of the horizontal axis.
    pub ticks: Vec<f64>,
    /// What is along the horizontal axis.
    pub horizontal: Text,
    /// What is along the vertical axis.
    pub vertical: Text,
    /// Writes numbers of the horizontal axis.
    pub write_horizontal: WriteNumber<'a>,
    /// Writes numbers of the vertical axis.
    pub write_vertical: WriteNumber<'a>,
}

impl Line<'_> {
    /// The plot; `None` where there is nothing to draw.
    #[must_use]
    pub fn draw(&self) -> Option<Markup> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let high = self.points.iter().map(|point| point.1).fold(0.0, f64::max);
        let low = self.points.iter().map(|point| point.1).fold(f64::MAX, f64::min);
        let horizontal = Axis::new((first.0, last.0), Scale::Linear, 6, &self.horizontal, self.write_horizontal)
            .with_ticks(self.ticks.clone());
        let span = (0.0_f64.min(low), high * 1.15);
        let vertical = Axis::new(span, Scale::Linear, 5, &self.vertical, self.write_vertical);
        let places: Vec<(f64, f64)> =
            self.points.iter().map(|(at, level)| (horizontal.x(*at), vertical.y(*level))).collect();
        let labelled = labelled(&places);
        let drawn = html! {
            path class="median" d=(path_through(places.iter().copied())) {}
            @for (place, (x, y)) in places.iter().enumerate() {
                (circle("knot", *x, *y, "3.5"))
                @if labelled.contains(&place) {
                    @let anchor = if place + 1 == places.len() { Anchor::End } else { Anchor::Middle };
                    ((self.write_vertical)(self.points[place].1).draw(*x, y - 9.0, "value halo", anchor))
                }
            }
        };
        Some(frame(&horizontal, &vertical, vertical.label(), &drawn))
    }
}

/// The points with a label.
fn labelled(places: &[(f64, f64)]) -> Vec<usize> {
    let Some(last) = places.last() else { return Vec::new() };
    let mut labelled: Vec<usize> = Vec::new();
    for (place, (x, _)) in places.iter().enumerate() {
        let is_apart = labelled.last().is_none_or(|before| x - places[*before].0 >= LABEL_DISTANCE);
        if place + 1 == places.len() || place == 0 || (is_apart && last.0 - x >= LABEL_DISTANCE) {
            labelled.push(place);
        }
    }
    labelled
}

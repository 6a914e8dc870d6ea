//! A line chart.

use maud::{Markup, html};

use crate::axis::{Axis, Scale};
use crate::frame::{circle, frame, path_through};
use crate::text::{Anchor, FormatNumber, Text};

/// Minimum horizontal distance between labels.
const MIN_LABEL_DISTANCE: f64 = 40.0;

/// A line chart. Points are labelled where there is room, the first and the last always.
pub struct Line<'a> {
    /// The points, from left to right.
    pub points: &'a [(f64, f64)],
    /// Ticks of the horizontal axis.
    pub ticks: Vec<f64>,
    /// Label of the horizontal axis.
    pub horizontal: Text,
    /// Label of the vertical axis.
    pub vertical: Text,
    /// Formats numbers of the horizontal axis.
    pub format_horizontal: FormatNumber<'a>,
    /// Formats numbers of the vertical axis.
    pub format_vertical: FormatNumber<'a>,
}

impl Line<'_> {
    /// Draws the plot; `None` without points.
    #[must_use]
    pub fn draw(&self) -> Option<Markup> {
        let (first, last) = (self.points.first()?, self.points.last()?);
        let high = self.points.iter().map(|point| point.1).fold(0.0, f64::max);
        let low = self.points.iter().map(|point| point.1).fold(f64::MAX, f64::min);
        let horizontal = Axis::new((first.0, last.0), Scale::Linear, 6, &self.horizontal, self.format_horizontal)
            .with_ticks(self.ticks.clone());
        let span = (0.0_f64.min(low), high * 1.15);
        let vertical = Axis::new(span, Scale::Linear, 5, &self.vertical, self.format_vertical);
        let positions: Vec<(f64, f64)> =
            self.points.iter().map(|(at, level)| (horizontal.x(*at), vertical.y(*level))).collect();
        let labelled = labelled_points(&positions);
        let content = html! {
            path class="median" d=(path_through(positions.iter().copied())) {}
            @for (index, (x, y)) in positions.iter().enumerate() {
                (circle("knot", *x, *y, "3.5"))
                @if labelled.contains(&index) {
                    @let anchor = if index + 1 == positions.len() { Anchor::End } else { Anchor::Middle };
                    ((self.format_vertical)(self.points[index].1).draw(*x, y - 9.0, "value halo", anchor))
                }
            }
        };
        Some(frame(&horizontal, &vertical, vertical.label(), &content))
    }
}

/// The indices of the points with a label.
fn labelled_points(positions: &[(f64, f64)]) -> Vec<usize> {
    let Some(last) = positions.last() else { return Vec::new() };
    let mut labelled: Vec<usize> = Vec::new();
    for (index, (x, _)) in positions.iter().enumerate() {
        let is_apart = labelled.last().is_none_or(|before| x - positions[*before].0 >= MIN_LABEL_DISTANCE);
        if index + 1 == positions.len() || index == 0 || (is_apart && last.0 - x >= MIN_LABEL_DISTANCE) {
            labelled.push(index);
        }
    }
    labelled
}

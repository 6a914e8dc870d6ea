//! Parallel coordinates: an axis for each variable, and a line through the values of each record.

use maud::{Markup, html};

use crate::curves::Series;
use crate::frame::{circle, path_through};
use crate::text::{Anchor, Text};

/// The distance between axes, in view box units.
const STEP: f64 = 110.0;
/// The space on both sides, for labels.
const SIDE: f64 = 62.0;
const HEIGHT: f64 = 300.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 24.0;

/// Parallel coordinates. A script can show the text of the value under the pointer from the attributes `data-at` and `data-text`, and
/// mark the line that it is of: its `data-line` is `data-of` of the value.
pub struct Parallel<'a> {
    /// The axes from left to right.
    pub axes: &'a [ParallelAxis],
    /// The records. Their colours are those of [`Series::class`] of their index.
    pub records: &'a [Record],
    /// What the plot shows.
    pub title: Text,
}

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct ParallelAxis {
    /// Its label.
    pub label: String,
    /// Its ticks: positions from 0 (bottom) to 1 (top), and labels.
    pub ticks: Vec<(f64, String)>,
}

/// A record.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// For each axis the position from 0 to 1 and what the value is, for whoever points at it; `None` if it has none.
    pub values: Vec<Option<(f64, String)>>,
}

impl Parallel<'_> {
    /// Draws the plot; `None` with fewer than two axes or without records. Its width grows with the axes: the class `axes-N` tells
    /// the style sheet their number.
    #[must_use]
    pub fn draw(&self) -> Option<Markup> {
        if self.axes.len() < 2 || self.records.is_empty() {
            return None;
        }
        let width = 2.0 * SIDE + STEP * (self.axes.len() - 1) as f64;
        Some(html! {
            svg class=(format!("plot parallel axes-{}", self.axes.len())) viewBox=(format!("0 0 {width} {HEIGHT}")) role="img" {
                title { (self.title.joined()) }
                @for index in 0..self.axes.len() {
                    path class="axis" d=(format!("M{:.1} {:.1}V{:.1}", x(index), y(1.0), y(0.0))) {}
                }
                @for (index, record) in self.records.iter().enumerate() { (record.draw(index)) }
                // Over the lines, so that they can be read.
                @for (index, axis) in self.axes.iter().enumerate() { (axis.draw_labels(index)) }
            }
        })
    }
}

fn x(axis: usize) -> f64 {
    SIDE + STEP * axis as f64
}

fn y(position: f64) -> f64 {
    HEIGHT - BOTTOM - position.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM)
}

impl ParallelAxis {
    fn draw_labels(&self, index: usize) -> Markup {
        // Neighbouring labels are on two lines, since they may be longer than the distance.
        let line = if index.is_multiple_of(2) { 14.0 } else { 31.0 };
        html! {
            (Text::plain(self.label.as_str()).draw(x(index), line, "label", Anchor::Middle))
            @for (position, text) in &self.ticks {
                (Text::plain(text.as_str()).draw(x(index) - 6.0, y(*position) + 4.0, "tick halo", Anchor::End))
            }
        }
    }
}

impl Record {
    fn draw(&self, number: usize) -> Markup {
        let class = Series::class(number);
        let known: Vec<(usize, &(f64, String))> =
            self.values.iter().enumerate().filter_map(|(axis, value)| Some((axis, value.as_ref()?))).collect();
        html! {
            @if known.len() > 1 {
                path class=(class) data-line=(number) d=(path_through(known.iter().map(|(axis, (at, _))| (x(*axis), y(*at))))) {}
            }
            @for (axis, (at, text)) in known {
                g data-at=(format!("{:.1},{:.1}", x(axis), y(*at))) data-text=(text) data-of=(number) {
                    (circle(&format!("{class} only"), x(axis), y(*at), "3"))
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_through_the_values_that_a_record_has() {
        let labelled = |label: &str| ParallelAxis { label: label.to_owned(), ticks: vec![(0.0, "0".to_owned())] };
        let axes = [labelled("dropout"), labelled("k"), labelled("mape")];
        let value = |at| Some((at, "run 1".to_owned()));
        let records =
            [Record { values: vec![value(0.0), None, value(1.0)] }, Record { values: vec![value(0.5), None, None] }];
        let draw = |axes: &[ParallelAxis], records: &[Record]| {
            Parallel { axes, records, title: Text::plain("settings") }.draw().map(Markup::into_string)
        };
        let drawn = draw(&axes, &records).unwrap();
        assert_eq!((drawn.matches("data-line").count(), drawn.matches("data-at").count()), (1, 3), "{drawn}");
        assert!(drawn.contains("axes-3"));
        assert!(draw(&axes[..1], &records).is_none() && draw(&axes, &[]).is_none());
    }
}

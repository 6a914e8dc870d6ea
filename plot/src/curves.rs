//! Several curves over each other.

use maud::{Markup, html};

use crate::axis::{Axis, Scale};
use crate::frame::{circle, frame, path_through};
use crate::text::{FormatNumber, Text};

/// The number of colours of curves in the style sheet.
const COLOURS: usize = 8;
/// The part of the highest and lowest values that curves may leave: a first value is often far from all others.
const OUTLIERS: f64 = 0.02;

/// Curves over each other. A script can show the values under the pointer from the attribute `data-points` of each curve: for
/// each point the position in the view box and both values.
pub struct Curves<'a> {
    /// The curves.
    pub series: &'a [Series],
    /// Scale of the vertical axis.
    pub scale: Scale,
    /// Label of the horizontal axis.
    pub horizontal: Text,
    /// Label of the vertical axis.
    pub vertical: Text,
    /// Formats numbers of the horizontal axis.
    pub format_horizontal: FormatNumber<'a>,
    /// Formats numbers of the vertical axis.
    pub format_vertical: FormatNumber<'a>,
}

/// A curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

impl Series {
    /// The CSS classes of the curve at this index: its colour, and its dashes from the second time on that the colour is used.
    #[must_use]
    pub fn class(index: usize) -> String {
        format!("series series-{} round-{}", index % COLOURS, index / COLOURS)
    }
}

impl Curves<'_> {
    /// Draws the plot; `None` without points.
    #[must_use]
    pub fn draw(&self) -> Option<Markup> {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let mut values: Vec<f64> = points().map(|point| point.1).collect();
        values.sort_unstable_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index in memory"
        )]
        let skipped = (OUTLIERS * values.len() as f64) as usize;
        let (low, high) = (*values.get(skipped)?, values[values.len() - 1 - skipped]);
        let first = points().map(|point| point.0).fold(f64::MAX, f64::min);
        let last = points().map(|point| point.0).fold(f64::MIN, f64::max);
        let horizontal = Axis::new((first, last), Scale::Linear, 6, &self.horizontal, self.format_horizontal);
        let vertical = Axis::new((low, high), self.scale, 5, &self.vertical, self.format_vertical);
        let content = html! {
            @for (index, series) in self.series.iter().enumerate() {
                @let positions = || series.points.iter().map(|(x, y)| (horizontal.x(*x), vertical.y(*y)));
                @if let [point] = positions().collect::<Vec<_>>()[..] {
                    (circle(&format!("{} only", Series::class(index)), point.0, point.1, "4"))
                }
                @if !series.points.is_empty() {
                    path class=(Series::class(index)) d=(path_through(positions())) data-name=(series.name)
                        data-points=(data_points(positions().zip(&series.points))) {}
                }
            }
        };
        Some(frame(&horizontal, &vertical, vertical.label(), &content))
    }
}

fn data_points<'a>(points: impl Iterator<Item = ((f64, f64), &'a (f64, f64))>) -> String {
    points.map(|((x, y), (at, value))| format!("{x:.1},{y:.1},{at},{value:.6}")).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(series: &[Series]) -> Option<String> {
        let format = |number: f64| Text::plain(number.to_string());
        let curves = Curves {
            series,
            scale: Scale::Linear,
            horizontal: Text::plain("step"),
            vertical: Text::plain("loss"),
            format_horizontal: &format,
            format_vertical: &format,
        };
        curves.draw().map(Markup::into_string)
    }

    #[test]
    fn each_curve_has_its_values_and_a_single_point_is_seen() {
        let series = |name: &str, points: &[(f64, f64)]| Series { name: name.to_owned(), points: points.to_vec() };
        let drawn =
            draw(&[series("<a>", &[(0.0, 1.0), (1.0, 0.5)]), series("b", &[(1.0, 1.0)]), series("c", &[])]).unwrap();
        assert_eq!(drawn.matches("data-name").count(), 2);
        assert!(drawn.contains("data-name=\"&lt;a&gt;\"") && drawn.contains("1,0.500000\""), "{drawn}");
        assert_eq!(drawn.matches("<circle").count(), 1);
        assert!(draw(&[]).is_none() && draw(&[series("a", &[])]).is_none());
    }
}

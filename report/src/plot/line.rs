//! A level over time.

use std::fmt::Write;

use super::{Axis, Scale, frame, text};
use crate::words::{Language, Words};

/// Points whose labels would touch are not both labelled.
const ROOM: f64 = 40.0;

/// Draws points in order, joined, each labelled where there is room, the first and the last always.
pub(crate) fn line(
    points: &[(f64, f64)],
    labels: (Words, Words),
    ticks: Vec<f64>,
    write_x: &dyn Fn(Language, f64) -> String,
    write_y: &dyn Fn(Language, f64) -> String,
) -> String {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return String::new() };
    let high = points.iter().map(|point| point.1).fold(0.0, f64::max);
    let low = points.iter().map(|point| point.1).fold(f64::MAX, f64::min);
    let horizontal = Axis::new((first.0, last.0), Scale::Linear, 6, labels.0, write_x).marked(ticks);
    let shows = labels.1.clone();
    let vertical = Axis::new((0.0_f64.min(low), high * 1.15), Scale::Linear, 5, labels.1, write_y);
    let mut path = String::new();
    let mut marks = String::new();
    let mut labelled = f64::MIN;
    for (place, (at, level)) in points.iter().enumerate() {
        let (x, y) = (horizontal.x(*at), vertical.y(*level));
        let _ = write!(path, "{}{x:.1} {y:.1}", if place == 0 { 'M' } else { 'L' });
        let _ = write!(marks, "<circle class=\"knot\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3.5\"/>");
        let is_last = place + 1 == points.len();
        if is_last || (x - labelled >= ROOM && horizontal.x(last.0) - x >= ROOM) || place == 0 {
            labelled = x;
            let anchor = if is_last { "end" } else { "middle" };
            marks += &text(x, y - 9.0, "value halo", anchor, &Words::each(|language| write_y(language, *level)));
        }
    }
    frame(&horizontal, &vertical, &format!("<path class=\"median\" d=\"{path}\"/>{marks}"), &shows)
}

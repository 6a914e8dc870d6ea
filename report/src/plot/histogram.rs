//! How numbers spread.

use std::fmt::Write;

use super::{Axis, BOTTOM, HEIGHT, Scale, TOP, frame, text};
use crate::figures::distribution::Histogram;
use crate::words::{Language, Words};

/// So few bins have a mark each, where they stand for whole numbers.
const FEW: usize = 12;

/// Draws counts in bins, the median marked and written.
pub(crate) fn histogram(
    counts: &Histogram,
    is_logarithmic: bool,
    median: Option<f64>,
    label: &Words,
    write: &dyn Fn(Language, f64) -> String,
) -> String {
    let (Some(low), Some(high)) = (counts.edges.first(), counts.edges.last()) else { return String::new() };
    let scale = if is_logarithmic { Scale::Logarithmic } else { Scale::Linear };
    let most = counts.rows.iter().copied().max().unwrap_or(0) as f64;
    let total: f64 = counts.rows.iter().map(|rows| *rows as f64).sum();
    let percent = |language: Language, share: f64| format!("{}\u{a0}%", language.number(share));
    let mut horizontal = Axis::new((*low, *high), scale, 5, label.clone(), write);
    let middles: Vec<f64> = counts.edges.windows(2).map(|edges| f64::midpoint(edges[0], edges[1])).collect();
    if middles.len() <= FEW && middles.iter().all(|middle| middle.fract() == 0.0) {
        horizontal = horizontal.marked(middles);
    }
    let shares = Words::new("доля объявлений", "share of listings");
    let vertical = Axis::new((0.0, 108.0 * most / total.max(1.0)), Scale::Linear, 4, shares, &percent);
    let mut drawn = String::new();
    for (edges, rows) in counts.edges.windows(2).zip(&counts.rows) {
        let (left, right) = (horizontal.x(edges[0]), horizontal.x(edges[1]));
        let top = vertical.y(100.0 * *rows as f64 / total.max(1.0));
        let (width, height) = ((right - left - 1.0).max(0.5), HEIGHT - BOTTOM - top);
        let _ = write!(
            drawn,
            "<rect class=\"bar\" x=\"{left:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{height:.1}\"/>"
        );
    }
    if let Some(median) = median {
        let x = horizontal.x(median);
        let _ = write!(drawn, "<path class=\"mark\" d=\"M{x:.1} {TOP}V{:.1}\"/>", HEIGHT - BOTTOM);
        let words = Words::each(|language| {
            format!("{} {}", Words::new("медиана", "median").get(language), write(language, median))
        });
        let (shift, anchor) = if x > 330.0 { (-5.0, "end") } else { (5.0, "start") };
        drawn += &text(x + shift, TOP + 10.0, "value", anchor, &words);
    }
    frame(&horizontal, &vertical, &drawn, label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_of_nothing_and_a_constant_is_one_bar() {
        let write = |language: Language, number: f64| language.number(number);
        let draw = |counts: &Histogram| histogram(counts, true, Some(5.0), &Words::new("л", "l"), &write);
        assert!(draw(&Histogram::default()).is_empty());
        let constant = draw(&Histogram { edges: vec![5.0, 5.5], rows: vec![9] });
        assert_eq!(constant.matches("class=\"bar\"").count(), 1);
        assert!(!constant.contains("NaN") && !constant.contains("inf"));
    }
}

//! A two-dimensional histogram.

use maud::{Markup, html};

use crate::axis::{Axis, Scale};
use crate::frame::{frame, path_through};
use crate::text::{FormatNumber, Text};

/// The number of shades in the style sheet.
const SHADES: u64 = 6;

/// How often values of two variables with the same bins occur together, on logarithmic scales, with the line of equal values. A script
/// can show the text of the cell under the pointer from its attributes: `data-at`, its middle in the view box, and `data-text`.
pub struct Heat<'a> {
    /// Bin edges of both axes, including both ends.
    pub edges: &'a [f64],
    /// The counts by bin of the horizontal, then of the vertical axis.
    pub counts: &'a [Vec<u32>],
    /// What the cell of these two bins is, for whoever points at it.
    pub describe: &'a dyn Fn(usize, usize) -> String,
    /// Label of the horizontal axis.
    pub horizontal: Text,
    /// Label of the vertical axis.
    pub vertical: Text,
    /// Formats numbers of both axes.
    pub format: FormatNumber<'a>,
}

impl Heat<'_> {
    /// Draws the plot; `None` without counts.
    #[must_use]
    pub fn draw(&self) -> Option<Markup> {
        let range = (*self.edges.first()?, *self.edges.last()?);
        let highest = self.counts.iter().flatten().copied().max().filter(|highest| *highest > 0)?;
        let horizontal = Axis::new(range, Scale::Logarithmic, 6, &self.horizontal, self.format);
        let vertical = Axis::new(range, Scale::Logarithmic, 6, &self.vertical, self.format);
        let cells = self.counts.iter().enumerate().flat_map(|(column, counts)| {
            counts.iter().enumerate().filter(|(_, count)| **count > 0).map(move |(row, count)| (column, row, *count))
        });
        let middle = |low: f64, high: f64| f64::midpoint(low, high);
        let content = html! {
            @for (column, row, count) in cells {
                @let (left, right) = (horizontal.x(self.edges[column]), horizontal.x(self.edges[column + 1]));
                @let (bottom, top) = (vertical.y(self.edges[row]), vertical.y(self.edges[row + 1]));
                rect class=(format!("heat heat-{}", shade(count, highest))) x=(format!("{left:.1}")) y=(format!("{top:.1}"))
                    width=(format!("{:.1}", right - left)) height=(format!("{:.1}", bottom - top))
                    data-at=(format!("{:.1},{:.1}", middle(left, right), middle(top, bottom)))
                    data-text=((self.describe)(column, row)) {}
            }
            path class="mark" d=(path_through([range.0, range.1].into_iter().map(|end| (horizontal.x(end), vertical.y(end))))) {}
        };
        Some(frame(&horizontal, &vertical, vertical.label(), &content))
    }
}

/// The shade of a count, from 1; the square root makes rare cells visible.
fn shade(count: u32, highest: u32) -> u64 {
    let is_enough = |shade: &u64| u64::from(count) * SHADES * SHADES <= u64::from(highest) * shade * shade;
    (1..SHADES).find(is_enough).unwrap_or(SHADES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_without_values_are_not_drawn() {
        let format = |number: f64| Text::plain(number.to_string());
        let draw = |counts: &[Vec<u32>]| {
            let heat = Heat {
                edges: &[1.0, 10.0, 100.0],
                counts,
                describe: &|column, row| format!("{column} and {row}"),
                horizontal: Text::plain("predicted"),
                vertical: Text::plain("listed"),
                format: &format,
            };
            heat.draw().map(Markup::into_string)
        };
        let drawn = draw(&[vec![100, 0], vec![1, 30]]).unwrap();
        assert_eq!(drawn.matches("<rect").count(), 3);
        assert!(
            drawn.contains("heat-6") && drawn.contains("heat-1") && drawn.contains("data-text=\"1 and 0\""),
            "{drawn}"
        );
        assert!(draw(&[vec![0, 0], vec![0, 0]]).is_none());
    }
}

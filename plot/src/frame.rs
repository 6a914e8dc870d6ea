//! The frame of a plot.

use maud::{Markup, html};

use crate::area::{HEIGHT, WIDTH};
use crate::axis::Axis;
use crate::text::Text;

/// Wraps the content of a plot with its title and axes.
pub(crate) fn frame(horizontal: &Axis, vertical: &Axis, title: &Text, content: &Markup) -> Markup {
    html! {
        svg class="plot" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" {
            title { (title.joined()) }
            (horizontal.draw_horizontal())
            (vertical.draw_vertical())
            (content)
        }
    }
}

/// SVG path data through the points in order.
pub(crate) fn path_through(points: impl Iterator<Item = (f64, f64)>) -> String {
    let segments: Vec<String> = points.map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    format!("M{}", segments.join("L"))
}

pub(crate) fn circle(class: &str, x: f64, y: f64, radius: &str) -> Markup {
    html! { circle class=(class) cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r=(radius) {} }
}

/// A circle that says what it is to whoever points at it.
pub(crate) fn circle_with(class: &str, (x, y): (f64, f64), radius: &str, text: &str) -> Markup {
    html! {
        circle class=(class) cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r=(radius) data-at=(format!("{x:.1},{y:.1}")) data-text=(text) {}
    }
}

//! What surrounds every plot.

use maud::{Markup, html};

use crate::area::{HEIGHT, WIDTH};
use crate::axis::Axis;
use crate::text::Text;

/// A plot around what is drawn, with its axes and what it shows as its title.
pub(crate) fn frame(horizontal: &Axis, vertical: &Axis, shows: &Text, drawn: &Markup) -> Markup {
    html! {
        svg class="plot" viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" {
            title { (shows.joined()) }
            (horizontal.draw_below())
            (vertical.draw_beside())
            (drawn)
        }
    }
}

/// The path through places in order.
pub(crate) fn path_through(places: impl Iterator<Item = (f64, f64)>) -> String {
    let lines: Vec<String> = places.map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    format!("M{}", lines.join("L"))
}

pub(crate) fn circle(class: &str, x: f64, y: f64, radius: &str) -> Markup {
    html! { circle class=(class) cx=(format!("{x:.1}")) cy=(format!("{y:.1}")) r=(radius) {} }
}

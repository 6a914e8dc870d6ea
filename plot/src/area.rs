//! The size and margins of a plot, in view box units.

pub(crate) const WIDTH: f64 = 520.0;
pub(crate) const HEIGHT: f64 = 280.0;
pub(crate) const LEFT: f64 = 74.0;
pub(crate) const RIGHT: f64 = 16.0;
pub(crate) const TOP: f64 = 18.0;
pub(crate) const BOTTOM: f64 = 44.0;

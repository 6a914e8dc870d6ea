//! SVG plots for HTML pages: no script, readable without hovering, colours from the style sheet.
//!
//! Why not a plotting library: `plotters` 0.3 writes colours as attributes, which a style sheet cannot change, and texts
//! in one language, whereas a page may switch between several; its logarithmic axis only marks powers of ten, and prices
//! span one or two.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "counts and powers of ten become coordinates"
)]

mod area;
mod axis;
mod curves;
mod fan;
mod frame;
mod heat;
mod histogram;
mod line;
mod parallel;
mod scatter;
mod text;

pub use axis::Scale;
pub use curves::{Curves, Series};
pub use fan::{Fan, FanBin};
pub use heat::Heat;
pub use histogram::Histogram;
pub use line::Line;
pub use parallel::{Parallel, ParallelAxis, Record};
pub use scatter::{Mark, Scatter};
pub use text::{FormatNumber, Text};

/// The style sheet of all plots. Its colours are variables that the page defines: `--ink`, `--soft`, `--accent` and
/// `--mark`, and where they are not light, `--card`, `--line`, `--field` and `--bar`.
pub const STYLE: &str = include_str!("plot.css");

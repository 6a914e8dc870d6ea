//! Plots as SVG within a page: no script, everything readable without hovering, colours by style sheet.
//!
//! Drawn here and not by a plotting library. Compared with `plotters` 0.3: that writes colours as attributes, which no
//! style sheet can turn dark, and each text in one language, where a page may switch between several; its logarithmic
//! axis marks powers of ten only, and prices span one or two.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "counts and powers of ten become places in a picture"
)]

mod area;
mod axis;
mod fan;
mod frame;
mod histogram;
mod line;
mod text;

pub use axis::Scale;
pub use fan::{Fan, FanBin};
pub use histogram::Histogram;
pub use line::Line;
pub use text::{Text, WriteNumber};

/// The style sheet of all plots. Its colours are variables that the page defines: `--ink`, `--soft`, `--accent` and
/// `--mark`.
pub const STYLE: &str = include_str!("plot.css");

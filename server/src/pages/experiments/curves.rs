//! The curves of runs.

use std::collections::BTreeMap;

use domain::Language;
use maud::{Markup, html};
use plot::{Curves, Scale, Series, Text};
use storage::Figure;

use crate::pages::words::format_number;

/// The number of points of a curve: more than a plot can show.
pub(super) const POINTS: u32 = 400;
/// The figures that are shown first.
const ORDER: [&str; 5] = ["validation_loss", "train_loss", "validation_mape", "learning_rate", "rows_per_second"];

/// A plot for each figure, with a curve for each run.
pub(super) fn draw(figures: Vec<Figure>, names: &BTreeMap<i64, String>, language: Language) -> Markup {
    let order: Vec<i64> = names.keys().copied().collect();
    let mut plots: BTreeMap<String, Vec<Series>> = BTreeMap::new();
    for Figure { run, name, points } in figures {
        let Some(index) = order.iter().position(|other| *other == run) else { continue };
        // Bytes have too many digits for an axis.
        let (name, unit) = if name.ends_with("memory") { (format!("{name}, MB"), 1e-6) } else { (name, 1.0) };
        let empty = |run: &i64| Series { name: names.get(run).cloned().unwrap_or_default(), points: Vec::new() };
        // Every plot has all runs, so that a run has the same colour in each.
        let series = plots.entry(name).or_insert_with(|| order.iter().map(empty).collect());
        series[index].points = points.into_iter().map(|[step, value]| (step, value * unit)).collect();
    }
    let format = |number: f64| Text::plain(format_number(language, number));
    let mut plots: Vec<(String, Vec<Series>)> = plots.into_iter().collect();
    plots.sort_by_key(|(name, _)| ORDER.iter().position(|other| other == name).unwrap_or(ORDER.len()));
    html! {
        @if names.len() > 1 {
            ul.legend {
                @for (index, (run, name)) in names.iter().enumerate() {
                    li {
                        svg viewBox="0 0 16 6" aria-hidden="true" { path class=(Series::class(index)) d="M0 3H16" {} }
                        " " a href=(format!("/experiments/{run}")) { (name) }
                    }
                }
            }
        }
        div.plots {
            @for (name, series) in &plots {
                @let curves = Curves {
                    series,
                    scale: Scale::Linear,
                    horizontal: Text::plain(language.of_both(("шаг", "step"))),
                    vertical: Text::plain(name.as_str()),
                    format_horizontal: &format,
                    format_vertical: &format,
                };
                @if let Some(drawn) = curves.draw() {
                    figure {
                        (drawn)
                        p.value {}
                    }
                }
            }
        }
        @if plots.is_empty() { p.hint { (language.of_both(("Кривых пока нет.", "There are no curves yet."))) } }
    }
}

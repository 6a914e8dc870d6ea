//! What runs differ in and what came of it, as parallel coordinates.

use std::collections::BTreeSet;

use domain::Language;
use maud::{Markup, html};
use plot::{Parallel, ParallelAxis, Record, Text};
use serde_json::Value;
use storage::Run;

use crate::pages::parts::{plain, title_of};
use crate::pages::words::format_number;

/// The maximum number of axes for settings: with more, none can be followed.
const MAX_SETTINGS: usize = 7;
/// The metrics with an axis.
const METRICS: [&str; 3] = ["validation_loss", "mape", "coverage_80"];
/// The maximum number of values without an order that have a tick each.
const MAX_TICKS: usize = 8;

/// A variable of runs, with its value of each.
struct Variable<'a> {
    name: &'a str,
    values: Vec<Option<&'a Value>>,
}

/// The differing settings and the metrics of runs; nothing for a single one.
pub(super) fn draw(runs: &[Run], language: Language) -> Markup {
    let settings = differing(runs, |run| &run.config);
    let left_out = settings.len().saturating_sub(MAX_SETTINGS);
    let metrics = METRICS.iter().map(|name| variable(runs, name, |run| &run.metrics));
    let metrics = metrics.filter(|variable| variable.values.iter().flatten().count() > 0);
    let variables: Vec<Variable> = settings.into_iter().take(MAX_SETTINGS).chain(metrics).collect();
    let mut records = vec![Record { values: Vec::new() }; runs.len()];
    let mut axes = Vec::new();
    for variable in &variables {
        let (drawn, positions) = variable.axis(language);
        axes.push(drawn);
        for (index, position) in positions.into_iter().enumerate() {
            let text = |at| {
                let value = variable.values[index].map(|value| shown(value, language)).unwrap_or_default();
                (at, format!("{} · {} = {value}", title_of(&runs[index], language), variable.name))
            };
            records[index].values.push(position.map(text));
        }
    }
    let title = language.of_both(("Настройки и показатели", "Settings and metrics"));
    let parallel = Parallel { axes: &axes, records: &records, title: Text::plain(title) };
    let Some(drawn) = parallel.draw().filter(|_| runs.len() > 1) else { return html! {} };
    html! {
        section.panel {
            h2 { (title) }
            p.hint {
                (language.of_both(("Каждая линия — прогон; те же числа — в таблицах ниже.",
                               "Each line is a run; the tables below have the same figures.")))
                @if left_out > 0 {
                    " " (language.of_both(("Настроек без оси: ", "Settings without an axis: "))) (left_out) "."
                }
            }
            figure {
                div.wide tabindex="0" role="region" aria-label=(title) { (drawn) }
                p.value {}
            }
        }
    }
}

/// The variables whose values differ between runs.
fn differing(runs: &[Run], object: impl Fn(&Run) -> &Value + Copy) -> Vec<Variable<'_>> {
    let first = runs.iter().filter_map(|run| object(run).as_object()).flat_map(|object| object.keys());
    let names: BTreeSet<&str> = first.map(String::as_str).collect();
    let variables = names.into_iter().map(|name| variable(runs, name, object));
    variables.filter(|variable| variable.values.iter().any(|value| *value != variable.values[0])).collect()
}

fn variable<'a>(runs: &'a [Run], name: &'a str, object: impl Fn(&'a Run) -> &'a Value) -> Variable<'a> {
    let value = |run| object(run).get(name).filter(|value| !value.is_null());
    Variable { name, values: runs.iter().map(value).collect() }
}

impl Variable<'_> {
    /// The axis, and the position of each value from 0 to 1: numbers by their size, anything else evenly.
    fn axis(&self, language: Language) -> (ParallelAxis, Vec<Option<f64>>) {
        let numbers: Option<Vec<f64>> = self.values.iter().flatten().map(|value| value.as_f64()).collect();
        let (ticks, positions) = match numbers {
            Some(numbers) => {
                let low = numbers.iter().copied().fold(f64::MAX, f64::min);
                let high = numbers.iter().copied().fold(f64::MIN, f64::max);
                let position = |number: f64| if high > low { (number - low) / (high - low) } else { 0.5 };
                let mut ticks: Vec<f64> = vec![low, f64::midpoint(low, high), high];
                ticks.dedup();
                let ticks =
                    ticks.into_iter().map(|number| (position(number), format_number(language, number))).collect();
                (ticks, self.values.iter().map(|value| value.and_then(Value::as_f64).map(position)).collect())
            }
            None => self.categories(),
        };
        (ParallelAxis { label: self.name.to_owned(), ticks }, positions)
    }

    fn categories(&self) -> (Vec<(f64, String)>, Vec<Option<f64>>) {
        let names: BTreeSet<String> = self.values.iter().flatten().map(|value| plain(value)).collect();
        let names: Vec<String> = names.into_iter().collect();
        #[expect(clippy::cast_precision_loss, reason = "at most as many as runs are compared")]
        let position = |index: usize| index as f64 / (names.len().max(2) - 1) as f64;
        let place = |value: &Value| names.iter().position(|name| *name == plain(value)).map(position);
        let positions = self.values.iter().map(|value| value.and_then(place)).collect();
        let short = |name: &String| name.chars().take(10).collect::<String>();
        let ticks = names.iter().enumerate().map(|(index, name)| (position(index), short(name)));
        (ticks.take(MAX_TICKS).collect(), positions)
    }
}

fn shown(value: &Value, language: Language) -> String {
    value.as_f64().map_or_else(|| plain(value), |number| format_number(language, number))
}

//! Runs beside each other.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::{Path, Query, State as Extracted};
use axum::response::Html;
use domain::Language;
use maud::{Markup, html};
use serde_json::{Value, json};
use storage::{Run, RunStatus};

use super::{coordinates, curves};
use crate::http::problem::Problem;
use crate::pages::parts::{Pairs, plain, title_of, wide};
use crate::pages::words::{format_number, take_language};
use crate::registry::runs::find_run;
use crate::state::State;

/// The maximum number of runs to compare.
const MAX_COMPARED: usize = 20;

/// The page that compares runs.
pub(in crate::pages) async fn compare(
    Extracted(state): Extracted<State>,
    Query(mut pairs): Query<Pairs>,
) -> Result<Html<String>, Problem> {
    let language = take_language(&mut pairs);
    let (runs, missing) = find_runs(&state, &pairs).await?;
    let names = runs.iter().map(|run| (run.id, title_of(run, language))).collect();
    let ids: Vec<i64> = runs.iter().map(|run| run.id).collect();
    let figures = state.database().runs().figures(&ids, None, curves::POINTS).await;
    let figures = figures.map_err(|error| Problem::from_storage(&error))?;
    let refresh = runs.iter().any(|run| run.status == RunStatus::Running).then_some("");
    let content = html! {
        h1 data-refresh=[refresh] { (language.of_both(("Сравнение", "Comparison"))) }
        @if !missing.is_empty() {
            p.warning {
                (language.of_both(("Этих прогонов нет, возможно, они удалены: ",
                               "These runs do not exist; they may have been deleted: ")))
                (missing.join(", "))
            }
        }
        @if runs.is_empty() {
            p { (language.of_both(("Отметьте прогоны в таблице: ", "Choose runs in the table: ")))
                a href="/experiments" { "/experiments" } }
        } @else {
            section.panel {
                h2 { (language.of_both(("Кривые", "Curves"))) }
                (curves::draw(figures, &names, language))
            }
            (coordinates::draw(&runs, language))
        }
        (tables(&runs, language))
    };
    Ok(Html(content.into_string()))
}

/// The chosen runs, and those that do not exist: one may have been deleted since.
async fn find_runs(state: &State, pairs: &Pairs) -> Result<(Vec<Run>, Vec<String>), Problem> {
    let chosen: BTreeSet<&str> =
        pairs.iter().filter(|(name, _)| name == "run").map(|(_, value)| value.as_str()).collect();
    let (mut runs, mut missing) = (Vec::new(), Vec::new());
    for id in chosen.into_iter().take(MAX_COMPARED) {
        match find_run(state, Ok(Path(id.to_owned()))).await {
            Ok(run) => runs.push(run),
            Err(Problem::NotFound { .. }) => missing.push(id.to_owned()),
            Err(problem) => return Err(problem),
        }
    }
    runs.sort_by_key(|run| run.id);
    Ok((runs, missing))
}

/// The metrics of runs, and where their settings and data differ.
fn tables(runs: &[Run], language: Language) -> Markup {
    let data: Vec<Value> = runs.iter().map(|run| json!(run.data)).collect();
    let metric = |value: &Value| value.as_f64().map_or_else(|| plain(value), |number| format_number(language, number));
    let settings = runs.iter().map(|run| &run.config);
    let parts = [
        (language.of_both(("Показатели", "Metrics")), rows_of(runs.iter().map(|run| &run.metrics), metric), false),
        (language.of_both(("Различия настроек", "Differing settings")), rows_of(settings, plain), true),
        (language.of_both(("Различия данных", "Differing data")), rows_of(data.iter(), plain), true),
    ];
    html! {
        @for (title, rows, only_differing) in &parts {
            @let rows: Vec<_> = rows.iter().filter(|(_, values)| !only_differing || differs(values)).collect();
            @if !rows.is_empty() {
                section.panel {
                    h2 { (title) }
                    (wide(title, &html! {
                        table.runs {
                            thead { tr { td {} @for run in runs { th scope="col" { (run.id) } } } }
                            @for (key, values) in rows {
                                tr { th scope="row" { (key) } @for value in values { td { (value) } } }
                            }
                        }
                    }))
                }
            }
        }
    }
}

fn differs(values: &[String]) -> bool {
    values.iter().any(|value| *value != values[0])
}

/// The values of each key, side by side.
fn rows_of<'a>(
    objects: impl Iterator<Item = &'a Value>,
    show: impl Fn(&Value) -> String,
) -> BTreeMap<String, Vec<String>> {
    let objects: Vec<&Value> = objects.collect();
    let keys = objects.iter().filter_map(|object| object.as_object()).flat_map(|object| object.keys());
    let row = |key: &String| objects.iter().map(|object| object.get(key).map(&show).unwrap_or_default()).collect();
    keys.map(|key| (key.clone(), row(key))).collect()
}

//! The table of sweeps.

use axum::extract::{Query, State as Extracted};
use axum::response::Html;
use domain::Language;
use maud::{Markup, html};
use storage::{Sweep, SweepCounts};

use crate::http::problem::Problem;
use crate::pages::parts::{Pairs, time, wide};
use crate::pages::words::{format_number, take_language};
use crate::state::State;

/// The page of all sweeps.
pub(in crate::pages) async fn list(
    Extracted(state): Extracted<State>,
    Query(mut pairs): Query<Pairs>,
) -> Result<Html<String>, Problem> {
    let language = take_language(&mut pairs);
    let sweeps = state.database().sweeps().counted().await.map_err(|error| Problem::from_storage(&error))?;
    let is_live = sweeps.iter().any(|(_, counts, _)| counts.running > 0);
    let title = language.of_both(("Поиски настроек", "Sweeps over settings"));
    let content = html! {
        h1 data-refresh=[is_live.then_some("")] { (title) }
        @if sweeps.is_empty() {
            p {
                (language.of_both(("Поисков ещё не было. Начните так: ", "There are no sweeps yet. Start one: ")))
                code { "probeg sweep --space space.toml" }
            }
        } @else {
            div.panel { (wide(title, &table(&sweeps, language))) }
        }
        p { a href="/experiments" { (language.of_both(("Все прогоны", "All runs"))) } }
    };
    Ok(Html(content.into_string()))
}

fn table(sweeps: &[(Sweep, SweepCounts, Option<f64>)], language: Language) -> Markup {
    let name = |russian, english| language.of_both((russian, english));
    html! {
        table.runs {
            thead { tr {
                th.text scope="col" { (name("Поиск", "Sweep")) }
                th.text scope="col" { (name("Задача", "Task")) }
                th.text scope="col" { (name("Начало, UTC", "Started, UTC")) }
                th scope="col" { (name("Закончено проб", "Trials ended")) }
                th scope="col" { (name("Идёт", "Running")) }
                th scope="col" { (name("Лучшие потери", "Best loss")) }
            } }
            tbody { @for (sweep, counts, best) in sweeps {
                tr {
                    td.text { a href=(format!("/experiments/sweeps/{}", sweep.name)) { (sweep.name) } }
                    td.text { (sweep.task) }
                    td.text { (time(sweep.created_at)) }
                    td { (counts.completed + counts.pruned + counts.failed) (name(" из ", " of ")) (sweep.trials) }
                    td { (counts.running) }
                    td { @if let Some(best) = best { (format_number(language, *best)) } }
                }
            } }
        }
    }
}

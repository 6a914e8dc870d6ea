//! The versions of each task, its champions over time, and what served at a moment.

use axum::extract::{Query, State as Extracted};
use axum::response::Html;
use chrono::{DateTime, Utc};
use domain::{Language, Task};
use maud::{Markup, html};
use storage::ModelRecord;

use super::served;
use crate::http::problem::{FieldError, Problem};
use crate::http::query::{TASK, read_pairs};
use crate::pages::parts::{Pairs, time, version_link, wide};
use crate::pages::words::{format_percent, take_language};
use crate::registry::served::{find_served, read_time};
use crate::state::State;

/// The page of all models.
pub(in crate::pages) async fn list(
    Extracted(state): Extracted<State>,
    Query(mut pairs): Query<Pairs>,
) -> Result<Html<String>, Problem> {
    let language = take_language(&mut pairs);
    let (mut at, mut chosen) = (None, None);
    read_pairs(&pairs, |name, value| {
        match name {
            "at" => at = Some(read_time(value)?),
            TASK => chosen = Some(value.to_owned()),
            _ => return Err(FieldError::unknown_parameter(name)),
        }
        Ok(())
    })
    .map_err(Problem::Invalid)?;
    let tasks = state.database().tasks().list().await.map_err(|error| Problem::from_storage(&error))?;
    let models = state.database().models();
    let versions = models.list().await.map_err(|error| Problem::from_storage(&error))?;
    let has_versions = |task: &&Task| versions.iter().any(|version| version.task == task.name);
    let used: Vec<&Task> = tasks.iter().filter(has_versions).collect();
    let mut sections = Vec::new();
    for task in used.iter().filter(|task| chosen.as_ref().is_none_or(|chosen| task.name == *chosen)) {
        let moment = at.unwrap_or_else(Utc::now);
        let served = find_served(&state, &task.name, moment).await?;
        let periods = models.served(&task.name).await.map_err(|error| Problem::from_storage(&error))?;
        let own: Vec<&ModelRecord> = versions.iter().filter(|version| version.task == task.name).collect();
        sections.push(html! {
            section.panel {
                h2 { (task.name) }
                (served::at_moment(served.as_ref(), moment, (task, language)))
                h3 { (language.of_both(("Версии", "Versions"))) }
                (table(&own, language))
                h3 { (language.of_both(("Какая версия когда работала", "What served when"))) }
                (served::history(&periods, &task.name, language))
            }
        });
    }
    let content = html! {
        h1 { (language.of_both(("Модели", "Models"))) }
        (filters((at, chosen.as_deref()), &used, language))
        @if used.is_empty() {
            p {
                (language.of_both(("Моделей пока нет. Обучите первую: ", "There are no models yet. Train one: ")))
                code { "probeg train" }
            }
        } @else if sections.is_empty() {
            p { (language.of_both(("У этой задачи нет моделей.", "This task has no models."))) }
        }
        @for section in &sections { (section) }
    };
    Ok(Html(content.into_string()))
}

fn filters((at, chosen): (Option<DateTime<Utc>>, Option<&str>), tasks: &[&Task], language: Language) -> Markup {
    let shown = at.map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string());
    html! {
        form #filter .filters {
            label { (language.of_both(("Какая версия работала в момент (UTC)", "What served at (UTC)")))
                input #moment type="datetime-local" step="1" name="at" value=[shown]; }
            @if tasks.len() > 1 {
                label { (language.of_both(("Задача", "Task")))
                    select #only-task name="task" {
                        option value="" { (language.of_both(("все", "all"))) }
                        @for Task { name, .. } in tasks {
                            option value=(name) selected[chosen == Some(name.as_str())] { (name) }
                        }
                    }
                }
            }
            button { (language.of_both(("Показать", "Show"))) }
        }
    }
}

fn table(versions: &[&ModelRecord], language: Language) -> Markup {
    let number = |version: &ModelRecord, name: &str| version.accuracy[name].as_f64();
    let title = language.of_both(("Версии", "Versions"));
    wide(
        title,
        &html! {
            table.runs {
                thead { tr {
                    th scope="col" { (language.of_both(("Версия", "Version"))) }
                    th.text scope="col" { (language.of_both(("Зарегистрирована, UTC", "Registered, UTC"))) }
                    th scope="col" { (language.of_both(("Прогон", "Run"))) }
                    th scope="col" { "MAPE" }
                    th scope="col" { (language.of_both(("Накрытие 80 %", "80 % coverage"))) }
                    th.text scope="col" { (language.of_both(("Работает", "Serves"))) }
                } }
                tbody { @for version in versions {
                    tr {
                        td { (version_link(version.version)) }
                        td.text { (time(version.created_at)) }
                        td { @if let Some(run) = version.run_id { a href=(format!("/experiments/{run}")) { (run) } } }
                        td { @if let Some(mape) = number(version, "mape") { (format_percent(language, mape)) } }
                        td { @if let Some(coverage) = number(version, "coverage_80") { (format_percent(language, coverage)) } }
                        td.text { @if served::is_champion(version) { strong { (language.of_both(("да", "yes"))) } } }
                    }
                } }
            }
        },
    )
}

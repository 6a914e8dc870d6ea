//! A run.

use std::collections::BTreeMap;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State as Extracted};
use axum::response::Html;
use domain::accuracy::AccuracyCard;
use domain::{Language, Task};
use maud::{Markup, html};
use storage::{LogLine, Run, RunStatus};

use super::{curves, residuals};
use crate::http::problem::Problem;
use crate::pages::parts::{Pairs, fact, learned_from, settings, status_name, time, title_of, version_link};
use crate::pages::segments::bars;
use crate::pages::words::{format_number, format_percent, take_language};
use crate::registry::runs::find_run;
use crate::state::State;

/// The page of a run.
pub(in crate::pages) async fn show(
    Extracted(state): Extracted<State>,
    Query(mut pairs): Query<Pairs>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Html<String>, Problem> {
    let language = take_language(&mut pairs);
    let run = find_run(&state, id).await?;
    let runs = state.database().runs();
    let figures = runs.figures(&[run.id], None, curves::POINTS).await.map_err(|error| Problem::from_storage(&error))?;
    let log = runs.log(run.id).await.map_err(|error| Problem::from_storage(&error))?;
    let accuracy = accuracy(&state, &run, language).await?;
    let refresh = (run.status == RunStatus::Running).then_some("");
    let names = BTreeMap::from([(run.id, title_of(&run, language))]);
    let content = html! {
        h1 data-refresh=[refresh] { (title_of(&run, language)) }
        section.panel { (facts(&run, language)) }
        section.panel {
            h2 { (language.of_both(("Кривые", "Curves"))) }
            (curves::draw(figures, &names, language))
        }
        @if let Some(accuracy) = &accuracy { (accuracy) }
        section.panel {
            h2 { (language.of_both(("Настройки", "Configuration"))) }
            (settings(&run.config, language))
        }
        @if !log.is_empty() { (draw_log(&log, language)) }
    };
    Ok(Html(content.into_string()))
}

/// How good the model of a run is, if it has one.
async fn accuracy(state: &State, run: &Run, language: Language) -> Result<Option<Markup>, Problem> {
    let Some(version) = run.model_version else { return Ok(None) };
    let database = state.database();
    let model = database.models().get(version).await.map_err(|error| Problem::from_storage(&error))?;
    let card: Option<AccuracyCard> = model.and_then(|model| serde_json::from_value(model.accuracy).ok());
    let Some(card) = card else { return Ok(None) };
    let residuals = database.runs().residuals(run.id).await.map_err(|error| Problem::from_storage(&error))?;
    let task: Task = database.tasks().get(&run.task).await.map_err(|error| Problem::from_storage(&error))?;
    Ok(Some(html! {
        section.panel {
            h2 { (language.of_both(("Точность на отложенных объявлениях", "Accuracy on held-out listings"))) }
            p {
                "MAPE " (format_percent(language, card.overall.mape)) "; "
                (language.of_both(("интервал 80 % накрывает", "the 80 % interval covers"))) " "
                (format_percent(language, card.overall.coverage_80)) ". "
                a href=(format!("/models/{version}")) { (language.of_both(("Модель ", "Model "))) (version) }
            }
            @match &residuals {
                Some(residuals) => (residuals::draw(residuals, &task, language)),
                None => p.hint {
                    (language.of_both(("Этот прогон — от прежней версии программы: отклонений по возрасту, цене и дате она не записывала.",
                                   "This run is of an earlier version of the program, which recorded no residuals by age, price and date.")))
                },
            }
            (bars(&card, language))
        }
    }))
}

fn facts(run: &Run, language: Language) -> Markup {
    let fact = |russian, english, value: &Markup| fact(language.of_both((russian, english)), value);
    html! {
        table.facts-table {
            (fact("Состояние", "Status", &html! { (status_name(run.status, language)) }))
            @if let Some(error) = &run.error { (fact("Ошибка", "Error", &html! { (error) })) }
            (fact("Задача", "Task", &html! { (run.task) }))
            (fact("Начало, UTC", "Started, UTC", &html! { (time(run.started_at)) }))
            @if let Some(end) = run.finished_at { (fact("Конец, UTC", "Ended, UTC", &html! { (time(end)) })) }
            @if !run.tags.is_empty() {
                (fact("Метки", "Tags", &html! { @for tag in &run.tags { span.tag { (tag) } } }))
            }
            @if let Some(notes) = &run.notes { (fact("Заметки", "Notes", &html! { (notes) })) }
            @if let Some(parent) = run.parent {
                (fact("Родитель", "Derived from", &html! { a href=(format!("/experiments/{parent}")) { (parent) } }))
            }
            @if let Some(sweep) = &run.sweep {
                @let sweep_page = format!("/experiments/sweeps/{sweep}");
                (fact("Поиск настроек", "Sweep", &html! { a href=(sweep_page) { (sweep) } }))
            }
            @if let Some(version) = run.model_version { (fact("Версия модели", "Model version", &version_link(version))) }
            @if let Some(program) = &run.program { (fact("Программа", "Program", &html! { (program) })) }
            (fact("Начальное число", "Seed", &html! { (run.seed) }))
            (learned_from(run, language))
            @for (name, value) in run.metrics.as_object().into_iter().flatten() {
                tr { th scope="row" { (name) } td { (value.as_f64().map(|value| format_number(language, value)).unwrap_or_default()) } }
            }
        }
    }
}

fn draw_log(log: &[LogLine], language: Language) -> Markup {
    html! {
        section.panel {
            h2 { (language.of_both(("Журнал", "Log"))) }
            ol.log { @for line in log { li { time { (time(line.at)) } (line.message) } } }
        }
    }
}

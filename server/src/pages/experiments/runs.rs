//! The table of runs, a run, and runs beside each other.

use std::collections::{BTreeMap, BTreeSet};

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State as Extracted};
use axum::response::Html;
use chrono::{DateTime, Utc};
use domain::accuracy::AccuracyCard;
use maud::{Markup, html};
use serde_json::{Value, json};
use storage::{LogLine, Run, RunStatus};

use super::curves;
use super::words::Language;
use crate::http::problem::Problem;
use crate::registry::runs::{find_run, read_query};
use crate::state::State;

/// The number of runs on a page of the table.
const PAGE: u32 = 200;
/// The number of points of a curve: more than a plot can show.
const POINTS: u32 = 400;
/// The maximum number of runs to compare.
const MAX_COMPARED: usize = 20;

type Pairs = Vec<(String, String)>;

/// The table of runs.
pub(super) async fn list(
    Extracted(state): Extracted<State>,
    Query(mut pairs): Query<Pairs>,
) -> Result<Html<String>, Problem> {
    let language = Language::take(&mut pairs);
    let mut query = read_query(&pairs).map_err(Problem::Invalid)?;
    query.limit = Some(query.limit.map_or(PAGE, |limit| limit.min(PAGE)));
    let runs = state.database().runs();
    let listed = runs.list(&query).await.map_err(|error| Problem::from_storage(&error))?;
    let total = runs.count(&query).await.map_err(|error| Problem::from_storage(&error))?;
    let tasks = state.database().tasks().list().await.map_err(|error| Problem::from_storage(&error))?;
    let given = |name: &str| pairs.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.as_str());
    let title = language.text("Обучение моделей", "Training runs");
    let is_live = listed.iter().any(|run| run.status == RunStatus::Running);
    // While somebody fills in the form, the table is not replaced: it is only refreshed without filters.
    let refresh = (is_live && pairs.is_empty()).then_some("");
    let offset = query.offset;
    let page = |offset: u32| {
        let others = pairs.iter().filter(|(name, _)| name != "offset");
        link("/experiments", others.cloned().chain([("offset".to_owned(), offset.to_string())]))
    };
    let content = html! {
        h1 { (title) }
        form #filter .filters {
            label { (language.text("Поиск", "Search")) input #search type="search" name="search" value=(given("search")); }
            label { (language.text("Задача", "Task"))
                select #task name="task" {
                    option value="" { (language.text("все", "all")) }
                    @for task in &tasks {
                        option value=(task.name) selected[given("task") == task.name] { (task.name) }
                    }
                }
            }
            label { (language.text("Состояние", "Status"))
                select #status name="status" {
                    option value="" { (language.text("все", "all")) }
                    @for status in [RunStatus::Running, RunStatus::Interrupted, RunStatus::Completed, RunStatus::Failed] {
                        option value=(status.name()) selected[given("status") == status.name()] {
                            (status_name(status, language))
                        }
                    }
                }
            }
            label { (language.text("Метка", "Tag")) input #tag name="tag" value=(given("tag")); }
            @for name in ["sort", "reverse", "sweep"] {
                @if !given(name).is_empty() { input type="hidden" name=(name) value=(given(name)); }
            }
            button { (language.text("Найти", "Find")) }
        }
        form #choice data-target="/experiments/compare" {
            p.hint {
                (language.text("Всего", "Total")) ": " (total) " "
                @if offset > 0 { a href=(page(offset.saturating_sub(PAGE))) { (language.text("← назад", "← previous")) } " " }
                @if u64::from(offset) + (listed.len() as u64) < total {
                    a href=(page(offset + PAGE)) { (language.text("дальше →", "next →")) }
                }
            }
            div.panel.wide tabindex="0" role="region" aria-label=(title) data-refresh=[refresh] {
                table.runs {
                    thead { tr {
                        th { span.announcement { (language.text("Сравнить", "Compare")) } }
                        @for (sort, label, is_text) in columns(language) {
                            (heading(&pairs, (sort, label, is_text)))
                        }
                        th.text { (language.text("Метки", "Tags")) }
                    } }
                    tbody { @for run in &listed { (row(run, language)) } }
                }
            }
            @if listed.is_empty() { p { (language.text("Ничего не найдено.", "Nothing was found.")) } }
            button.primary { (language.text("Сравнить отмеченные", "Compare the chosen ones")) }
        }
    };
    Ok(Html(content.into_string()))
}

/// The columns: what they sort by, their label, and whether they are texts.
fn columns(language: Language) -> [(&'static str, &'static str, bool); 9] {
    [
        ("run", language.text("№", "No."), false),
        ("name", language.text("Название", "Name"), true),
        ("task", language.text("Задача", "Task"), true),
        ("status", language.text("Состояние", "Status"), true),
        ("started", language.text("Начало, UTC", "Started, UTC"), true),
        ("rows", language.text("Объявлений", "Listings"), false),
        ("mape", "MAPE", false),
        ("validation_loss", language.text("Потери", "Val. loss"), false),
        ("version", language.text("Версия", "Version"), false),
    ]
}

/// A heading that sorts, and reverses the order if the table is sorted by it.
fn heading(pairs: &Pairs, (sort, label, is_text): (&str, &str, bool)) -> Markup {
    let value = |name: &str| pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    let is_sorted = value("sort") == Some(sort);
    let is_reversed = is_sorted && value("reverse") == Some("true");
    let others = pairs.iter().filter(|(name, _)| !["sort", "reverse", "offset"].contains(&name.as_str()));
    let mut target: Pairs = others.cloned().collect();
    target.push(("sort".to_owned(), sort.to_owned()));
    if is_sorted && !is_reversed {
        target.push(("reverse".to_owned(), "true".to_owned()));
    }
    let order = is_sorted.then_some(if is_reversed { "descending" } else { "ascending" });
    let mark = match order {
        Some("descending") => " ↓",
        Some(_) => " ↑",
        None => "",
    };
    html! {
        th scope="col" class=[is_text.then_some("text")] aria-sort=[order] {
            a href=(link("/experiments", target)) { (label) (mark) }
        }
    }
}

fn row(run: &Run, language: Language) -> Markup {
    let metric = |name: &str| run.metrics[name].as_f64();
    let choose = language.text("Сравнить прогон", "Compare run");
    html! {
        tr {
            td { input type="checkbox" name="run" value=(run.id) aria-label=(format!("{choose} {}", run.id)); }
            td { a href=(format!("/experiments/{}", run.id)) { (run.id) } }
            td.text.name { (run.name.as_deref().unwrap_or_default()) }
            td.text { (run.task) }
            td.text { (status_name(run.status, language)) }
            td.text { (time(run.started_at)) }
            td { @if let Some(rows) = run.rows { (rows.train) } }
            td { @if let Some(mape) = metric("mape") { (language.percent(mape)) } }
            td { @if let Some(loss) = metric("validation_loss") { (language.number(loss)) } }
            td { @if let Some(version) = run.model_version { (version) } }
            td.text { @for tag in &run.tags { span.tag { (tag) } } }
        }
    }
}

/// A run.
pub(super) async fn show(
    Extracted(state): Extracted<State>,
    Query(mut pairs): Query<Pairs>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Html<String>, Problem> {
    let language = Language::take(&mut pairs);
    let run = find_run(&state, id).await?;
    let runs = state.database().runs();
    let figures = runs.figures(&[run.id], None, POINTS).await.map_err(|error| Problem::from_storage(&error))?;
    let log = runs.log(run.id).await.map_err(|error| Problem::from_storage(&error))?;
    let card = match run.model_version {
        Some(version) => state.database().models().get(version).await.map_err(|error| Problem::from_storage(&error))?,
        None => None,
    };
    let card: Option<AccuracyCard> = card.and_then(|model| serde_json::from_value(model.accuracy).ok());
    let refresh = (run.status == RunStatus::Running).then_some("");
    let names = BTreeMap::from([(run.id, title_of(&run, language))]);
    let content = html! {
        h1 data-refresh=[refresh] { (title_of(&run, language)) }
        section.panel { (facts(&run, language)) }
        section.panel {
            h2 { (language.text("Кривые", "Curves")) }
            (curves::draw(figures, &names, language))
        }
        @if let Some(card) = &card { (accuracy(card, language)) }
        section.panel {
            h2 { (language.text("Настройки", "Configuration")) }
            div.wide tabindex="0" role="region" aria-label=(language.text("Настройки", "Configuration")) {
                table.facts-table {
                    @for (key, value) in run.config.as_object().into_iter().flatten() {
                        tr { th scope="row" { (key) } td { (plain(value)) } }
                    }
                }
            }
        }
        @if !log.is_empty() { (draw_log(&log, language)) }
    };
    Ok(Html(content.into_string()))
}

fn facts(run: &Run, language: Language) -> Markup {
    let day = |day: Option<chrono::NaiveDate>| day.map_or_else(|| "?".to_owned(), |day| day.to_string());
    let fact = |russian, english, value: &Markup| {
        html! { tr { th scope="row" { (language.text(russian, english)) } td { (value) } } }
    };
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
                @let trials = link("/experiments", [("sweep".to_owned(), sweep.clone())]);
                (fact("Поиск настроек", "Sweep", &html! { a href=(trials) { (sweep) } }))
            }
            @if let Some(version) = run.model_version { (fact("Версия модели", "Model version", &html! { (version) })) }
            @if let Some(program) = &run.program { (fact("Программа", "Program", &html! { (program) })) }
            (fact("Начальное число", "Seed", &html! { (run.seed) }))
            @if let Some(rows) = run.rows {
                (fact("Объявления: обучение, проверка, тест", "Listings: training, validation, test",
                      &html! { (rows.train) ", " (rows.validation) ", " (rows.test) }))
            }
            @if let Some(data) = &run.data {
                (fact("Данные", "Data", &html! {
                    (data.rows) ", " (day(data.first_date)) " – " (day(data.last_date)) ", "
                    (language.text("отпечаток", "fingerprint")) " " (data.fingerprint)
                }))
                (fact("Импорты", "Imports", &html! { (plain(&json!(data.imports))) }))
            }
            @for (name, value) in run.metrics.as_object().into_iter().flatten() {
                tr { th scope="row" { (name) } td { (value.as_f64().map(|value| language.number(value)).unwrap_or_default()) } }
            }
        }
    }
}

/// The accuracy by segment, as bars.
fn accuracy(card: &AccuracyCard, language: Language) -> Markup {
    let title = language.text("Точность на отложенных объявлениях", "Accuracy on held-out listings");
    let highest = card.segments.values().flat_map(BTreeMap::values).map(|segment| segment.mape).fold(0.0, f64::max);
    html! {
        section.panel {
            h2 { (title) }
            p {
                "MAPE " (language.percent(card.overall.mape)) "; "
                (language.text("интервал 80 % накрывает", "the 80 % interval covers")) " "
                (language.percent(card.overall.coverage_80))
            }
            @for (family, segments) in &card.segments {
                h3 { (family) }
                div.wide tabindex="0" role="region" aria-label=(family) {
                    table {
                        thead { tr {
                            th scope="col" { (language.text("Сегмент", "Segment")) }
                            th scope="col" { (language.text("Объявлений", "Listings")) }
                            th scope="col" { "MAPE" }
                            td {}
                        } }
                        @for (segment, accuracy) in segments {
                            tr {
                                th scope="row" { (segment) }
                                td { (accuracy.rows) }
                                td { (language.percent(accuracy.mape)) }
                                td { meter min="0" max=(highest) value=(accuracy.mape) aria-label="MAPE" {} }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn draw_log(log: &[LogLine], language: Language) -> Markup {
    html! {
        section.panel {
            h2 { (language.text("Журнал", "Log")) }
            ol.log { @for line in log { li { time { (time(line.at)) } (line.message) } } }
        }
    }
}

/// Runs beside each other.
pub(super) async fn compare(
    Extracted(state): Extracted<State>,
    Query(mut pairs): Query<Pairs>,
) -> Result<Html<String>, Problem> {
    let language = Language::take(&mut pairs);
    let chosen: BTreeSet<&str> =
        pairs.iter().filter(|(name, _)| name == "run").map(|(_, value)| value.as_str()).collect();
    let mut runs = Vec::new();
    for id in chosen.into_iter().take(MAX_COMPARED) {
        runs.push(find_run(&state, Ok(Path(id.to_owned()))).await?);
    }
    runs.sort_by_key(|run| run.id);
    let names = runs.iter().map(|run| (run.id, title_of(run, language))).collect();
    let ids: Vec<i64> = runs.iter().map(|run| run.id).collect();
    let figures = state.database().runs().figures(&ids, None, POINTS).await;
    let figures = figures.map_err(|error| Problem::from_storage(&error))?;
    let refresh = runs.iter().any(|run| run.status == RunStatus::Running).then_some("");
    let data: Vec<Value> = runs.iter().map(|run| json!(run.data)).collect();
    let parts = [
        (language.text("Показатели", "Metrics"), rows_of(runs.iter().map(|run| &run.metrics)), false),
        (language.text("Различия настроек", "Differing settings"), rows_of(runs.iter().map(|run| &run.config)), true),
        (language.text("Различия данных", "Differing data"), rows_of(data.iter()), true),
    ];
    let content = html! {
        h1 data-refresh=[refresh] { (language.text("Сравнение", "Comparison")) }
        @if runs.is_empty() {
            p { (language.text("Отметьте прогоны в таблице: ", "Choose runs in the table: "))
                a href="/experiments" { "/experiments" } }
        } @else {
            section.panel {
                h2 { (language.text("Кривые", "Curves")) }
                (curves::draw(figures, &names, language))
            }
        }
        @for (title, rows, only_differing) in &parts {
            @let rows: Vec<_> = rows.iter().filter(|(_, values)| !only_differing || differs(values)).collect();
            @if !rows.is_empty() {
                section.panel {
                    h2 { (title) }
                    div.wide tabindex="0" role="region" aria-label=(title) {
                        table.runs {
                            thead { tr { td {} @for run in &runs { th scope="col" { (run.id) } } } }
                            @for (key, values) in rows {
                                tr { th scope="row" { (key) } @for value in values { td { (value) } } }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(Html(content.into_string()))
}

fn differs(values: &[String]) -> bool {
    values.iter().any(|value| *value != values[0])
}

/// The values of each key, side by side.
fn rows_of<'a>(objects: impl Iterator<Item = &'a Value>) -> BTreeMap<String, Vec<String>> {
    let objects: Vec<&Value> = objects.collect();
    let keys = objects.iter().filter_map(|object| object.as_object()).flat_map(|object| object.keys());
    let row = |key: &String| objects.iter().map(|object| object.get(key).map(plain).unwrap_or_default()).collect();
    keys.map(|key| (key.clone(), row(key))).collect()
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn title_of(run: &Run, language: Language) -> String {
    let number = format!("{} {}", language.text("Прогон", "Run"), run.id);
    run.name.as_ref().map_or_else(|| number.clone(), |name| format!("{number}: {name}"))
}

fn status_name(status: RunStatus, language: Language) -> &'static str {
    match status {
        RunStatus::Running => language.text("идёт", "running"),
        RunStatus::Interrupted => language.text("прерван", "interrupted"),
        RunStatus::Completed => language.text("завершён", "completed"),
        RunStatus::Failed => language.text("с ошибкой", "failed"),
    }
}

fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// A path with parameters.
fn link(path: &str, parameters: impl IntoIterator<Item = (String, String)>) -> String {
    let encode = |text: &str| {
        let bytes = text.bytes().map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        });
        bytes.collect::<String>()
    };
    let pairs = parameters.into_iter().map(|(name, value)| format!("{}={}", encode(&name), encode(&value)));
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

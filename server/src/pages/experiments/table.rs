//! The table of runs.

use axum::extract::{Query, State as Extracted};
use axum::response::Html;
use domain::{Language, Task};
use maud::{Markup, html};
use storage::{Run, RunStatus};

use super::columns::{COLUMN, Column, chosen_columns, settings_of};
use crate::http::problem::Problem;
use crate::pages::parts::{Pairs, given, link, status_name};
use crate::pages::words::take_language;
use crate::registry::runs::read_query;
use crate::state::State;

/// The number of runs on a page of the table.
const PAGE: u32 = 200;

/// The table of runs.
pub(in crate::pages) async fn list(
    Extracted(state): Extracted<State>,
    Query(mut pairs): Query<Pairs>,
) -> Result<Html<String>, Problem> {
    let language = take_language(&mut pairs);
    let filters: Pairs = pairs.iter().filter(|(name, _)| name != COLUMN).cloned().collect();
    let mut query = read_query(&filters).map_err(Problem::Invalid)?;
    query.limit = Some(query.limit.map_or(PAGE, |limit| limit.min(PAGE)));
    let runs = state.database().runs();
    let listed = runs.list(&query).await.map_err(|error| Problem::from_storage(&error))?;
    let total = runs.count(&query).await.map_err(|error| Problem::from_storage(&error))?;
    let tasks = state.database().tasks().list().await.map_err(|error| Problem::from_storage(&error))?;
    let settings = settings_of(&listed);
    let columns = chosen_columns(&pairs, &settings);
    let refresh = listed.iter().any(|run| run.status == RunStatus::Running).then_some("");
    let title = language.of_both(("Обучение моделей", "Training runs"));
    let content = html! {
        h1 data-refresh=[refresh] { (title) }
        p { a href="/experiments/sweeps" { (language.of_both(("Поиски настроек", "Sweeps over settings"))) } }
        @if let Some(sweep) = &query.sweep {
            p {
                (language.of_both(("Только пробы поиска ", "Only the trials of the sweep ")))
                a href=(format!("/experiments/sweeps/{sweep}")) { (sweep) } ". "
                a href="/experiments" { (language.of_both(("Показать все прогоны", "Show all runs"))) }
            }
        }
        (filter(&pairs, &tasks, (&settings, &columns), language))
        form #comparison {
            p.hint { (pages(&pairs, query.offset, (listed.len(), total), language)) }
            div.panel.wide tabindex="0" role="region" aria-label=(title) {
                table.runs {
                    thead { tr {
                        th { span.announcement { (language.of_both(("Сравнить", "Compare"))) } }
                        @for column in &columns { (heading(&pairs, column, language)) }
                    } }
                    tbody { @for run in &listed { (row(run, &columns, language)) } }
                }
            }
            @if listed.is_empty() { p { (language.of_both(("Ничего не найдено.", "Nothing was found."))) } }
            button.primary { (language.of_both(("Сравнить отмеченные", "Compare the chosen ones"))) }
        }
    };
    Ok(Html(content.into_string()))
}

/// The form that says which runs and columns to show.
fn filter(pairs: &Pairs, tasks: &[Task], (settings, chosen): (&[String], &[Column]), language: Language) -> Markup {
    let statuses = [RunStatus::Running, RunStatus::Interrupted, RunStatus::Completed, RunStatus::Failed];
    let is_chosen = |column: &Column| chosen.iter().any(|other| other.name() == column.name());
    let defaults: Vec<String> = Column::fixed().filter(Column::is_default).map(|column| column.name()).collect();
    html! {
        form #filter .filters data-columns=(defaults.join(",")) {
            label { (language.of_both(("Поиск", "Search"))) input #search type="search" name="search" value=(given(pairs, "search")); }
            label { (language.of_both(("Задача", "Task")))
                select #only-task name="task" {
                    option value="" { (language.of_both(("все", "all"))) }
                    @for task in tasks {
                        option value=(task.name) selected[given(pairs, "task") == task.name] { (task.name) }
                    }
                }
            }
            label { (language.of_both(("Состояние", "Status")))
                select #status name="status" {
                    option value="" { (language.of_both(("все", "all"))) }
                    @for status in statuses {
                        option value=(status.name()) selected[given(pairs, "status") == status.name()] {
                            (status_name(status, language))
                        }
                    }
                }
            }
            label { (language.of_both(("Метка", "Tag"))) input #tag name="tag" value=(given(pairs, "tag")); }
            @for name in ["sort", "reverse", "sweep"] {
                @if !given(pairs, name).is_empty() { input type="hidden" name=(name) value=(given(pairs, name)); }
            }
            button { (language.of_both(("Найти", "Find"))) }
            details #columns {
                summary { (language.of_both(("Столбцы", "Columns"))) }
                div.choices {
                    @for column in Column::fixed().chain(settings.iter().map(|name| Column::Setting(name.clone()))) {
                        label {
                            input type="checkbox" name=(COLUMN) value=(column.name()) checked[is_chosen(&column)];
                            " " (column.label(language))
                        }
                    }
                }
                button { (language.of_both(("Показать эти столбцы", "Show these columns"))) }
            }
        }
    }
}

/// The number of runs, and links to the pages before and after.
fn pages(pairs: &Pairs, offset: u32, (shown, total): (usize, u64), language: Language) -> Markup {
    let page = |offset: u32| {
        let others = pairs.iter().filter(|(name, _)| name != "offset");
        link("/experiments", others.cloned().chain([("offset".to_owned(), offset.to_string())]))
    };
    html! {
        (language.of_both(("Всего", "Total"))) ": " (language.count(total)) " "
        @if offset > 0 { a href=(page(offset.saturating_sub(PAGE))) { (language.of_both(("← назад", "← previous"))) } " " }
        @if u64::from(offset) + (shown as u64) < total {
            a href=(page(offset + PAGE)) { (language.of_both(("дальше →", "next →"))) }
        }
    }
}

/// A heading, which sorts if runs can be sorted by it, and reverses the order if they are.
fn heading(pairs: &Pairs, column: &Column, language: Language) -> Markup {
    let class = column.is_text().then_some("text");
    let label = column.label(language);
    let Some(sort) = column.sort() else {
        return html! { th scope="col" class=[class] { (label) } };
    };
    let is_sorted = given(pairs, "sort") == sort;
    let is_reversed = is_sorted && given(pairs, "reverse") == "true";
    let others = pairs.iter().filter(|(name, _)| !["sort", "reverse", "offset"].contains(&name.as_str()));
    let mut target: Pairs = others.cloned().collect();
    target.push(("sort".to_owned(), sort.to_owned()));
    if is_sorted && !is_reversed {
        target.push(("reverse".to_owned(), "true".to_owned()));
    }
    let (order, mark) = match (is_sorted, is_reversed) {
        (false, _) => (None, ""),
        (true, false) => (Some("ascending"), " ↑"),
        (true, true) => (Some("descending"), " ↓"),
    };
    html! {
        th scope="col" class=[class] aria-sort=[order] { a href=(link("/experiments", target)) { (label) (mark) } }
    }
}

fn row(run: &Run, columns: &[Column], language: Language) -> Markup {
    let choose = language.of_both(("Сравнить прогон", "Compare run"));
    html! {
        tr {
            td { input type="checkbox" name="run" value=(run.id) aria-label=(format!("{choose} {}", run.id)); }
            @for column in columns {
                td class=(column.class()) { (column.value(run, language)) }
            }
        }
    }
}

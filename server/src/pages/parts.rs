//! What several pages show: facts, settings, the listings of a run, tables that may be wider than the page.

use chrono::{DateTime, NaiveDate, Utc};
use domain::Language;
use maud::{Markup, PreEscaped, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use storage::{Run, RunStatus};

/// What is encoded in addresses: all but letters, digits and these.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The parameters of an address.
pub(super) type Pairs = Vec<(String, String)>;

/// The value of a parameter; empty if it is not given.
pub(super) fn given<'a>(pairs: &'a Pairs, name: &str) -> &'a str {
    pairs.iter().find(|(other, _)| other == name).map_or("", |(_, value)| value.as_str())
}

/// A path with parameters.
pub(super) fn link(path: &str, parameters: impl IntoIterator<Item = (String, String)>) -> String {
    let pairs = parameters.into_iter().map(|(name, value)| {
        format!("{}={}", utf8_percent_encode(&name, ENCODED), utf8_percent_encode(&value, ENCODED))
    });
    format!("{path}?{}", pairs.collect::<Vec<_>>().join("&"))
}

pub(super) fn time(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

fn day(day: Option<NaiveDate>) -> String {
    day.map_or_else(|| "?".to_owned(), |day| day.to_string())
}

/// A value of a configuration as people write it.
pub(super) fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A row of a table of facts.
pub(super) fn fact(name: &str, value: &Markup) -> Markup {
    html! { tr { th scope="row" { (name) } td { (value) } } }
}

/// A table that may be wider than the page.
pub(super) fn wide(name: &str, table: &Markup) -> Markup {
    html! { div.wide tabindex="0" role="region" aria-label=(name) { (table) } }
}

/// The link to a version of a model.
pub(super) fn version_link(version: i64) -> Markup {
    html! { a href=(format!("/models/{version}")) { (version) } }
}

/// The link to a run, with its name.
fn run_link(run: &Run, language: Language) -> Markup {
    html! { a href=(format!("/experiments/{}", run.id)) { (title_of(run, language)) } }
}

pub(super) fn title_of(run: &Run, language: Language) -> String {
    let number = format!("{} {}", language.of_both(("Прогон", "Run")), run.id);
    run.name.as_ref().map_or_else(|| number.clone(), |name| format!("{number}: {name}"))
}

pub(super) fn status_name(status: RunStatus, language: Language) -> &'static str {
    match status {
        RunStatus::Running => language.of_both(("идёт", "running")),
        RunStatus::Interrupted => language.of_both(("прерван", "interrupted")),
        RunStatus::Completed => language.of_both(("завершён", "completed")),
        RunStatus::Failed => language.of_both(("с ошибкой", "failed")),
    }
}

/// What a run learned from, as rows of a table of facts.
pub(super) fn learned_from(run: &Run, language: Language) -> Markup {
    let name = |russian, english| language.of_both((russian, english));
    html! {
        @if let Some(rows) = run.rows {
            (fact(name("Объявления: обучение, проверка, тест", "Listings: training, validation, test"), &html! {
                (language.count(rows.train)) " / " (language.count(rows.validation)) " / " (language.count(rows.test))
            }))
        }
        @if let Some(data) = &run.data {
            (fact(name("Все объявления рынка", "All listings of the market"), &html! {
                (language.count(data.rows)) ", " (day(data.first_date)) " – " (day(data.last_date))
            }))
            (fact(name("Импорты", "Imports"), &html! {
                (data.imports.iter().map(i64::to_string).collect::<Vec<_>>().join(", "))
            }))
            (fact(name("Отпечаток данных", "Fingerprint of the data"), &html! { code { (data.fingerprint) } }))
        }
    }
}

/// The run that trained a model and what it learned from, as rows of a table of facts.
pub(super) fn trained_by(run: Option<&Run>, language: Language) -> Markup {
    let name = |russian, english| language.of_both((russian, english));
    let imported = name(
        "файл импортирован, его прогона в этой базе нет",
        "the file was imported; its run is not in this database",
    );
    html! {
        @match run {
            Some(run) => {
                (fact(name("Обучена прогоном", "Trained by"), &run_link(run, language)))
                (learned_from(run, language))
                @if let Some(program) = &run.program { (fact(name("Программа", "Program"), &html! { (program) })) }
                (fact(name("Начальное число", "Seed"), &html! { (run.seed) }))
            },
            None => (fact(name("Прогон", "Run"), &html! { (imported) })),
        }
    }
}

/// All settings of a run.
pub(super) fn settings(config: &Value, language: Language) -> Markup {
    wide(
        language.of_both(("Настройки", "Configuration")),
        &html! {
            table.facts-table {
                @for (key, value) in config.as_object().into_iter().flatten() { (fact(key, &html! { (plain(value)) })) }
            }
        },
    )
}

/// A plot with its values: those under the pointer, and all of them as a table for whoever has no pointer.
pub(super) fn picture(drawn: Option<Markup>, table: &Markup, id: &str, language: Language) -> Markup {
    let Some(drawn) = drawn else { return PreEscaped(String::new()) };
    let title = language.of_both(("Числа таблицей", "The figures as a table"));
    html! {
        figure {
            (drawn)
            p.value {}
            details id=(id) { summary { (title) } (wide(title, table)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_encoded() {
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(link("/a", [pair("b", "c&d=е"), pair("e", "f")]), "/a?b=c%26d%3D%D0%B5&e=f");
    }
}

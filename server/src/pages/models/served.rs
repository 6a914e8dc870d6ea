//! What served when.

use chrono::{DateTime, Utc};
use domain::{Language, Task};
use maud::{Markup, html};
use storage::{Action, ModelRecord, ServedPeriod, champion_of};

use crate::pages::parts::{fact, settings, time, trained_by, version_link, wide};
use crate::pages::words::{fill, format_percent};
use crate::registry::served::ServedVersion;

/// Whether a version serves now.
pub(super) fn is_champion(version: &ModelRecord) -> bool {
    version.aliases.contains(&champion_of(&version.task))
}

/// What served at a moment, trained on what, by which settings.
pub(super) fn at_moment(
    served: Option<&ServedVersion>,
    moment: DateTime<Utc>,
    (task, language): (&Task, Language),
) -> Markup {
    let moment = time(moment);
    let Some(served) = served else {
        return html! {
            p { (moment) " UTC: " (language.of_both(("не работала ни одна версия.", "no version served."))) }
        };
    };
    let name = |russian, english| language.of_both((russian, english));
    let until = served.until.map_or_else(|| name("сих пор", "now").to_owned(), time);
    html! {
        p {
            (moment) " UTC: " strong { (name("версия ", "version ")) (version_link(served.model.version)) }
            (fill(language, ", с {} до {}; ", ", from {} to {}; ", &[time(served.since), until]))
            (action(served.action, language)) ": " (served.by) "."
        }
        table.facts-table {
            @if let Some(mape) = served.model.accuracy["mape"].as_f64() {
                (fact("MAPE", &html! { (format_percent(language, mape)) }))
            }
            (trained_by(served.run.as_ref(), language))
        }
        @if let Some(run) = &served.run {
            details id=(format!("settings-{}", task.name)) {
                summary { (name("С какими настройками", "By which settings")) }
                (settings(&run.config, language))
            }
        }
    }
}

/// Periods with the version that served in each.
pub(super) fn history(periods: &[ServedPeriod], task: &str, language: Language) -> Markup {
    let name = |russian, english| language.of_both((russian, english));
    if periods.is_empty() {
        return html! { p.hint { (name("Ещё не работала.", "It has not served yet.")) } };
    }
    wide(
        &format!("{}: {task}", name("Какая версия когда работала", "What served when")),
        &html! {
            table.runs {
                thead { tr {
                    th scope="col" { (name("Версия", "Version")) }
                    th.text scope="col" { (name("С, UTC", "From, UTC")) }
                    th.text scope="col" { (name("До, UTC", "To, UTC")) }
                    th.text scope="col" { (name("Как", "How")) }
                    th.text scope="col" { (name("Кто", "By")) }
                } }
                tbody { @for ServedPeriod { change, until } in periods {
                    tr {
                        td { (version_link(change.version)) }
                        td.text { (time(change.at)) }
                        td.text { @match until { Some(until) => (time(*until)), None => (name("сейчас", "now")) } }
                        td.text { (action(change.action, language)) }
                        td.text { (change.who) }
                    }
                } }
            }
        },
    )
}

fn action(action: Action, language: Language) -> &'static str {
    match action {
        Action::Promote => language.of_both(("назначена", "promoted")),
        Action::Rollback => language.of_both(("возвращена", "rolled back to")),
    }
}

//! A sweep: its trials as they come, the best so far, and what each setting does.

use std::collections::BTreeSet;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State as Extracted};
use axum::response::Html;
use domain::Language;
use maud::{Markup, html};
use plot::{Mark, Scale, Scatter, Text};
use serde_json::Value;
use storage::{Sweep, Trial, TrialStatus};

use crate::http::problem::Problem;
use crate::pages::parts::{Pairs, fact, plain, time, wide};
use crate::pages::words::{format_number, format_percent, take_language};
use crate::registry::sweeps::find_sweep;
use crate::state::State;

/// The page of a sweep.
pub(in crate::pages) async fn show(
    Extracted(state): Extracted<State>,
    Query(mut pairs): Query<Pairs>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Html<String>, Problem> {
    let language = take_language(&mut pairs);
    let (sweep, trials) = find_sweep(&state, name).await?;
    let ended = trials.iter().filter(|trial| trial.status != TrialStatus::Running).count();
    let is_live = u32::try_from(ended).is_ok_and(|ended| ended < sweep.trials);
    let name = |russian, english| language.of_both((russian, english));
    let slices = slices(&sweep, &trials, language);
    let content = html! {
        h1 data-refresh=[is_live.then_some("")] { (name("Поиск настроек ", "Sweep ")) (sweep.name) }
        section.panel { (facts(&sweep, &trials, language)) }
        @if let Some(progress) = progress(&trials, language) {
            section.panel { h2 { (name("Лучшее на данный момент", "Best so far")) } figure.single { (progress) p.value {} } }
        }
        (importance(&sweep, &trials, language))
        @if !slices.is_empty() {
            section.panel {
                h2 { (name("Потери по каждой настройке", "Loss by each setting")) }
                p.hint {
                    (name("Кружок — проба; светлый остановлен раньше срока.",
                          "A circle is a trial; a pale one was stopped early."))
                }
                div.plots { @for slice in &slices { figure { (slice) p.value {} } } }
            }
        }
        section.panel { h2 { (name("Пробы", "Trials")) } (table(&sweep, &trials, language)) }
        p { a href="/experiments/sweeps" { (name("Все поиски", "All sweeps")) } }
    };
    Ok(Html(content.into_string()))
}

fn facts(sweep: &Sweep, trials: &[Trial], language: Language) -> Markup {
    let name = |russian, english| language.of_both((russian, english));
    let count = |status| trials.iter().filter(|trial| trial.status == status).count();
    html! {
        table.facts-table {
            (fact(name("Задача", "Task"), &html! { (sweep.task) }))
            (fact(name("Начало, UTC", "Started, UTC"), &html! { (time(sweep.created_at)) }))
            (fact(name("Пробы", "Trials"), &html! {
                (trials.len()) (name(" из ", " of ")) (sweep.trials) ": "
                (count(TrialStatus::Completed)) (name(" до конца, ", " completed, "))
                (count(TrialStatus::Pruned)) (name(" остановлено раньше, ", " stopped early, "))
                (count(TrialStatus::Failed)) (name(" с ошибкой, ", " failed, "))
                (count(TrialStatus::Running)) (name(" идёт", " running"))
            }))
            (fact(name("Программа", "Program"), &html! { (sweep.program) }))
            @if let Some(best) = Sweep::best(trials) {
                (fact(name("Лучшая проба", "Best trial"), &html! {
                    (trial_link(best)) ": " (settings_text(best, language))
                }))
                (fact(name("Обучить с ней", "Train with it"), &html! {
                    code {
                        "probeg sweep show " (sweep.name) " --best > " (sweep.name) "-best.toml; "
                        "probeg train --config " (sweep.name) "-best.toml"
                    }
                }))
            }
        }
        p { a href=(format!("/experiments?sweep={}", sweep.name)) {
            (name("Прогоны этого поиска", "The runs of this sweep"))
        } }
    }
}

/// The loss of each trial, and the best so far.
fn progress(trials: &[Trial], language: Language) -> Option<Markup> {
    let mut best: Vec<(f64, f64)> = Vec::new();
    for trial in trials.iter().filter(|trial| trial.status == TrialStatus::Completed) {
        let (number, loss) = (f64::from(trial.number), trial.loss?);
        let before = best.last().map(|(_, before)| *before);
        // The best loss stays until a trial is better.
        best.extend(before.map(|before| (number, before)));
        best.push((number, before.map_or(loss, |before| before.min(loss))));
    }
    let marks: Vec<Mark> = trials.iter().filter_map(|trial| mark(trial, f64::from(trial.number), language)).collect();
    let scatter = Scatter {
        marks: &marks,
        lines: &[("median", best)],
        scales: (Scale::Linear, Scale::Logarithmic),
        ticks: None,
        horizontal: Text::plain(language.of_both(("проба", "trial"))),
        vertical: Text::plain(language.of_both(("потери на проверке", "validation loss"))),
        format_horizontal: &|number| {
            Text::plain(if number.fract() == 0.0 { format!("{number:.0}") } else { String::new() })
        },
        format_vertical: &|number| Text::plain(format_number(language, number)),
    };
    scatter.draw()
}

/// The mark of a trial that has a loss.
fn mark(trial: &Trial, at: f64, language: Language) -> Option<Mark> {
    let loss = trial.loss?;
    let class = if trial.status == TrialStatus::Pruned { "point" } else { "knot" };
    let text = format!(
        "{} {}: {}; {}",
        language.of_both(("проба", "trial")),
        trial.number,
        format_number(language, loss),
        settings_text(trial, language)
    );
    Some(Mark { at: (at, loss), class, text })
}

/// How much each setting matters, as bars.
fn importance(sweep: &Sweep, trials: &[Trial], language: Language) -> Markup {
    let shares = sweep.importance(trials);
    let title = language.of_both(("Важность настроек", "Importance of the settings"));
    html! {
        section.panel {
            h2 { (title) }
            @if shares.is_empty() {
                p.hint { (language.of_both(("Пока проб слишком мало.", "There are too few trials yet."))) }
            } @else {
                p.hint {
                    (language.of_both(("Какую долю разброса потерь объясняет настройка одна.",
                                   "The share of the variance of the losses that a setting explains alone.")))
                }
                (wide(title, &html! {
                    table.bars {
                        thead { tr {
                            th scope="col" { (language.of_both(("Настройка", "Setting"))) }
                            th scope="col" { (language.of_both(("Доля", "Share"))) }
                            td {}
                        } }
                        tbody { @for (name, share) in &shares {
                            tr {
                                th scope="row" { (name) }
                                td { (format_percent(language, *share)) }
                                td { meter min="0" max="1" value=(share) aria-label=(name) {} }
                            }
                        } }
                    }
                }))
            }
        }
    }
}

/// The losses along each setting.
fn slices(sweep: &Sweep, trials: &[Trial], language: Language) -> Vec<Markup> {
    let settings = sweep.space.as_object().into_iter().flatten();
    settings.filter_map(|(name, definition)| slice(name, definition, trials, language)).collect()
}

fn slice(name: &str, definition: &Value, trials: &[Trial], language: Language) -> Option<Markup> {
    let of_trial = |trial: &Trial| trial.settings.get(name).filter(|_| trial.loss.is_some()).map(plain);
    let tried: BTreeSet<String> = trials.iter().filter_map(of_trial).collect();
    // Values without an order are at even distances, as far as they were tried.
    let values = definition.get("values").and_then(Value::as_array);
    let choices: Option<Vec<(f64, String)>> = values.map(|values| {
        let known = values.iter().map(plain).filter(|value| tried.contains(value));
        (0_u32..).map(f64::from).zip(known).collect()
    });
    let place = |value: &Value| match &choices {
        Some(choices) => choices.iter().find(|(_, choice)| *choice == plain(value)).map(|(at, _)| *at),
        None => value.as_f64(),
    };
    let marks: Vec<Mark> =
        trials.iter().filter_map(|trial| mark(trial, place(trial.settings.get(name)?)?, language)).collect();
    let is_log = definition.get("log").and_then(Value::as_bool) == Some(true);
    let format = |number: f64| {
        let choice = choices.iter().flatten().find(|(at, _)| (at - number).abs() < 0.5);
        Text::plain(choice.map_or_else(|| format_number(language, number), |(_, choice)| choice.clone()))
    };
    let ticks = choices.as_ref().map(|choices| choices.iter().map(|(at, _)| *at).collect());
    let scatter = Scatter {
        marks: &marks,
        lines: &[],
        scales: (if is_log { Scale::Logarithmic } else { Scale::Linear }, Scale::Logarithmic),
        ticks,
        horizontal: Text::plain(name),
        vertical: Text::plain(language.of_both(("потери на проверке", "validation loss"))),
        format_horizontal: &format,
        format_vertical: &|number| Text::plain(format_number(language, number)),
    };
    scatter.draw()
}

fn table(sweep: &Sweep, trials: &[Trial], language: Language) -> Markup {
    let name = |russian, english| language.of_both((russian, english));
    let settings: Vec<&String> = sweep.space.as_object().map(|space| space.keys().collect()).unwrap_or_default();
    wide(
        name("Пробы", "Trials"),
        &html! {
            table.runs {
                thead { tr {
                    th scope="col" { (name("Проба", "Trial")) }
                    th scope="col" { (name("Прогон", "Run")) }
                    th.text scope="col" { (name("Состояние", "Status")) }
                    th scope="col" { (name("Потери", "Loss")) }
                    @for setting in &settings { th scope="col" { (setting) } }
                    th.text scope="col" { (name("Кто", "Worker")) }
                    th.text scope="col" { (name("Ошибка", "Error")) }
                } }
                tbody { @for trial in trials.iter().rev() {
                    tr {
                        td { (trial.number) }
                        td { @if let Some(run) = trial.run_id { a href=(format!("/experiments/{run}")) { (run) } } }
                        td.text { (status_name(trial.status, language)) }
                        td { @if let Some(loss) = trial.loss { (format_number(language, loss)) } }
                        @for setting in &settings {
                            td { @if let Some(value) = trial.settings.get(setting.as_str()) { (value_text(value, language)) } }
                        }
                        td.text { (trial.worker) }
                        td.text.name { (trial.error.as_deref().unwrap_or_default()) }
                    }
                } }
            }
        },
    )
}

fn trial_link(trial: &Trial) -> Markup {
    html! {
        @match trial.run_id {
            Some(run) => a href=(format!("/experiments/{run}")) { (trial.number) },
            None => (trial.number),
        }
    }
}

/// The settings of a trial, as `--set` takes them.
fn settings_text(trial: &Trial, language: Language) -> String {
    let settings = trial.settings.as_object().into_iter().flatten();
    settings.map(|(name, value)| format!("{name}={}", value_text(value, language))).collect::<Vec<_>>().join(", ")
}

fn value_text(value: &Value, language: Language) -> String {
    value.as_f64().map_or_else(|| plain(value), |number| format_number(language, number))
}

fn status_name(status: TrialStatus, language: Language) -> &'static str {
    match status {
        TrialStatus::Running => language.of_both(("идёт", "running")),
        TrialStatus::Completed => language.of_both(("до конца", "completed")),
        TrialStatus::Pruned => language.of_both(("остановлена раньше", "stopped early")),
        TrialStatus::Failed => language.of_both(("с ошибкой", "failed")),
    }
}

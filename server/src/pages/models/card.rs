//! The card of a version, for people: what it is for, what it learned from, how sure it is, where not to trust it, and when it served.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State as Extracted};
use axum::response::Html;
use domain::accuracy::AccuracyCard;
use domain::{Column, Task};
use maud::{Markup, html};
use serde_json::json;
use storage::{ModelRecord, Run, ServedPeriod};

use super::{served, trust};
use crate::http::problem::Problem;
use crate::pages::parts::{Pairs, fact, learned_from, run_link, settings, time, version_link};
use crate::pages::segments::bars;
use crate::pages::words::Language;
use crate::registry::models::find_model;
use crate::state::State;

/// What the card is made of.
struct Card {
    model: ModelRecord,
    task: Task,
    run: Option<Run>,
    accuracy: Option<AccuracyCard>,
    /// All periods of its task.
    periods: Vec<ServedPeriod>,
    /// Whether the server accepts changes of the champion.
    accepts_changes: bool,
}

/// The page of a version.
pub(in crate::pages) async fn show(
    Extracted(state): Extracted<State>,
    Query(mut pairs): Query<Pairs>,
    version: Result<Path<String>, PathRejection>,
) -> Result<Html<String>, Problem> {
    let language = Language::take(&mut pairs);
    let model = find_model(&state, &version.map(|Path(version)| version).unwrap_or_default()).await?;
    let database = state.database();
    let task = database.tasks().get(&model.task).await.map_err(|error| Problem::from_storage(&error))?;
    let run = match model.run_id {
        Some(run) => database.runs().get(run).await.map_err(|error| Problem::from_storage(&error))?,
        None => None,
    };
    let periods = database.models().served(&task.name).await.map_err(|error| Problem::from_storage(&error))?;
    let accuracy = serde_json::from_value(model.accuracy.clone()).ok();
    let accepts_changes = state.config().admin_token.is_some();
    Ok(Html(Card { model, task, run, accuracy, periods, accepts_changes }.draw(language).into_string()))
}

impl Card {
    fn draw(&self, language: Language) -> Markup {
        let name = |russian, english| language.text(russian, english);
        let newest = self.run.as_ref().and_then(|run| run.data.as_ref()?.last_date);
        html! {
            h1 { (name("Модель", "Model")) " " (self.model.version) }
            p { (self.status(language)) }
            section.panel { h2 { (name("Для чего она", "What it is for")) } (self.purpose(language)) }
            section.panel { h2 { (name("На чём училась", "What it learned from")) } (self.origin(language)) }
            @if let Some(card) = &self.accuracy {
                section.panel { h2 { (name("Насколько ей верить", "How sure it is")) } (trust::how_sure(card, language)) }
                section.panel { h2 { (name("Где ей не верить", "Where not to trust it")) } (trust::where_not(card, (newest, self.task.is_price()), language)) }
                section.panel {
                    h2 { (name("Точность по сегментам", "Accuracy by segment")) }
                    (bars(card, language))
                }
            } @else {
                section.panel { p { (name("Её точность не измерена.", "Its accuracy has not been measured.")) } }
            }
            section.panel { h2 { (name("Когда работала", "When it served")) } (self.history(language)) }
            section.panel { h2 { (name("Сменить рабочую модель", "Change what serves")) } (self.changes(language)) }
        }
    }

    /// Whether it serves, or what does instead.
    fn status(&self, language: Language) -> Markup {
        let current = self.periods.first();
        html! {
            @match current {
                Some(period) if period.change.version == self.model.version => {
                    strong { (language.text("Работает сейчас", "Serves now")) } ", " (language.text("с ", "since ")) (time(period.change.at)) " UTC."
                },
                Some(period) => {
                    (language.text("Сейчас не работает: работает версия ", "Does not serve now; version "))
                    (version_link(period.change.version)) (language.text(".", " does."))
                },
                None => (language.text("Сейчас не работает: у её задачи рабочей версии ещё не было.", "Does not serve now: its task has had no champion.")),
            }
        }
    }

    fn purpose(&self, language: Language) -> Markup {
        let name = |russian, english| language.text(russian, english);
        let purpose = match self.task.target {
            Column::SalePrice => name(
                "Говорит, за сколько продают подержанные машины, и в каком диапазоне.",
                "It says what used cars are sold for, and the range.",
            ),
            Column::DaysListed => name(
                "Говорит, сколько дней подержанные машины стоят в объявлениях, и в каком диапазоне.",
                "It says for how many days used cars are listed, and the range.",
            ),
            _ => name(
                "Говорит, какую цену просят за подержанные машины в объявлениях, и в каком диапазоне. Это не цена сделки.",
                "It says what price used cars are offered for in listings, and the range. That is not what they are sold for.",
            ),
        };
        html! {
            p { (purpose) }
            table.facts-table {
                (fact(name("Задача", "Task"), &html! { (self.task.name) }))
                (fact(name("Рынок", "Market"), &html! { (self.task.market.name()) }))
                (fact(name("Единица", "Unit"), &html! { (self.task.unit()) }))
                @if !self.task.conditions.is_empty() {
                    (fact(name("Только машины", "Only cars with"), &html! { (self.task.conditions.join(", ")) }))
                }
            }
        }
    }

    fn origin(&self, language: Language) -> Markup {
        let name = |russian, english| language.text(russian, english);
        html! {
            table.facts-table {
                (fact(name("Зарегистрирована, UTC", "Registered, UTC"), &html! { (time(self.model.created_at)) }))
                @match &self.run {
                    Some(run) => {
                        (fact(name("Обучена прогоном", "Trained by"), &html! { (run_link(run, language)) }))
                        (learned_from(run, language))
                        @if let Some(program) = &run.program { (fact(name("Программа", "Program"), &html! { (program) })) }
                        (fact(name("Начальное число", "Seed"), &html! { (run.seed) }))
                    },
                    None => (fact(name("Прогон", "Run"), &html! {
                        (name("файл импортирован, его прогона в этой базе нет", "the file was imported; its run is not in this database"))
                    })),
                }
                (fact(name("Файл", "File"), &html! {
                    (language.count(self.model.size.div_ceil(1024))) " " (name("КБ", "KB")) ", SHA-256 " code { (self.model.sha256) }
                }))
            }
            @if let Some(run) = &self.run {
                details #settings { summary { (name("Настройки", "Configuration")) } (settings(&run.config, language)) }
            }
        }
    }

    fn history(&self, language: Language) -> Markup {
        let own = self.periods.iter().filter(|period| period.change.version == self.model.version);
        html! {
            (served::history(&own.cloned().collect::<Vec<_>>(), &self.task.name, language))
            p { a href=(format!("/models?task={}", self.task.name)) {
                (language.text("Все версии, и какая когда работала", "All versions, and what served when"))
            } }
        }
    }

    /// Forms that change the champion with the admin token.
    fn changes(&self, language: Language) -> Markup {
        let name = |russian, english| language.text(russian, english);
        let version = self.model.version;
        let is_champion = served::is_champion(&self.model);
        if !self.accepts_changes {
            return html! {
                p {
                    (name("Этот сервер изменений не принимает: переменная PROBEG_ADMIN_TOKEN не задана. Командой: ",
                          "This server accepts no changes, since PROBEG_ADMIN_TOKEN is not set. The command is "))
                    code {
                        @if is_champion { "probeg models rollback --task " (self.task.name) } @else { "probeg models promote " (version) }
                    }
                }
            };
        }
        html! {
            @if is_champion {
                p { (name("Откат вернёт версию, которая работала до этой.", "Rolling back restores the version that served before this one.")) }
                (form("POST", &format!("/v1/models/rollback?task={}", self.task.name), None, name("Откатить", "Roll back"), language))
            } @else {
                p { (name("Эта версия сменит ту, что работает сейчас. Предыдущую можно вернуть откатом.",
                          "This version replaces the one that serves now. A rollback restores that one.")) }
                (form("PUT", "/v1/models/champion", Some(json!({ "version": version }).to_string()),
                      name("Назначить", "Promote"), language))
            }
            p #outcome role="status" {}
        }
    }
}

fn form(method: &str, path: &str, body: Option<String>, label: &str, language: Language) -> Markup {
    html! {
        form.filters data-method=(method) data-path=(path) data-body=[body] {
            label { (language.text("Токен администратора", "Admin token"))
                input #token name="token" type="password" autocomplete="off" required; }
            button.primary { (label) }
        }
    }
}

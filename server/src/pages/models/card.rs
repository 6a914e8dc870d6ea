//! The card of a version, for people: what it is for, what it learned from, how sure it is, where not to trust it, and when it
//! served.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Query, State as Extracted};
use axum::response::Html;
use domain::accuracy::AccuracyCard;
use domain::{Column, Language, Task};
use maud::{Markup, html};
use storage::{ModelRecord, Run, ServedPeriod};

use super::{change, served, trust};
use crate::http::problem::Problem;
use crate::pages::parts::{Pairs, fact, settings, time, trained_by, version_link};
use crate::pages::segments::bars;
use crate::pages::words::{fill, take_language};
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
    let language = take_language(&mut pairs);
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
        let name = |russian, english| language.of_both((russian, english));
        let newest = self.run.as_ref().and_then(|run| run.data.as_ref()?.last_date);
        html! {
            h1 { (name("Модель", "Model")) " " (self.model.version) }
            p { (self.status(language)) }
            section.panel { h2 { (name("Для чего она", "What it is for")) } (self.purpose(language)) }
            section.panel { h2 { (name("На чём училась", "What it learned from")) } (self.origin(language)) }
            @if let Some(card) = &self.accuracy {
                section.panel {
                    h2 { (name("Насколько ей верить", "How sure it is")) }
                    (trust::how_sure(card, language))
                }
                section.panel {
                    h2 { (name("Где ей не верить", "Where not to trust it")) }
                    (trust::where_not(card, (newest, self.task.is_price()), language))
                }
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
        let name = |russian, english| language.of_both((russian, english));
        let never = name(
            "Сейчас не работает: у её задачи рабочей версии ещё не было.",
            "Does not serve now: its task has had no champion.",
        );
        html! {
            @match self.periods.first() {
                Some(period) if period.change.version == self.model.version => {
                    strong { (name("Работает сейчас", "Serves now")) }
                    (fill(language, ", с {} UTC.", ", since {} UTC.", &[time(period.change.at)]))
                },
                Some(period) => {
                    (name("Сейчас не работает: работает версия ", "Does not serve now; version "))
                    (version_link(period.change.version)) (name(".", " does."))
                },
                None => (never),
            }
        }
    }

    fn purpose(&self, language: Language) -> Markup {
        let name = |russian, english| language.of_both((russian, english));
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
        let name = |russian, english| language.of_both((russian, english));
        html! {
            table.facts-table {
                (fact(name("Зарегистрирована, UTC", "Registered, UTC"), &html! { (time(self.model.created_at)) }))
                (trained_by(self.run.as_ref(), language))
                (fact(name("Файл", "File"), &html! {
                    (fill(language, "{} КБ, SHA-256 ", "{} KB, SHA-256 ", &[language.count(self.model.size.div_ceil(1024))]))
                    code { (self.model.sha256) }
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
                (language.of_both(("Все версии, и какая когда работала", "All versions, and what served when")))
            } }
        }
    }

    fn changes(&self, language: Language) -> Markup {
        let (version, is_champion) = ((self.model.version, self.task.name.as_str()), served::is_champion(&self.model));
        if self.accepts_changes {
            change::forms(version, is_champion, language)
        } else {
            change::command(version, is_champion, language)
        }
    }
}

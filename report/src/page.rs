//! The report as one HTML file without external resources; its content security policy forbids them.

mod columns;
mod findings;
mod market;
mod methods;
mod missing;
mod numbers;
mod parts;
mod plots;
mod relations;
mod repeats;
mod rows;
mod texts;

use domain::{Column, capitalized};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::figures::Figures;
use crate::findings::Finding;
use crate::section::Section;
use crate::words::{EN, LocalizedText, RU};

/// The content security policy of the page: it loads nothing.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// The style sheet of the report itself.
pub(crate) const STYLE: &str = include_str!("page/report.css");

/// The table of contents.
const CONTENTS: [(Section, &str, &str); 11] = [
    (Section::Findings, "Главное", "Key findings"),
    (Section::Columns, "Столбцы", "Columns"),
    (Section::Rows, "Объявления", "Listings"),
    (Section::Market, "Рынок", "Market"),
    (Section::Missing, "Пропуски", "Missing"),
    (Section::Numbers, "Числа", "Numbers"),
    (Section::Prices, "Цена", "Price"),
    (Section::Texts, "Категории", "Categories"),
    (Section::Repeats, "Повторы", "Repeats"),
    (Section::Suspicions, "Сомнительное", "Suspicious"),
    (Section::Relations, "Связи", "Relations"),
];

/// Renders the whole page.
pub(crate) fn render(figures: &Figures, found: &[Finding]) -> String {
    let title = LocalizedText::new("Отчёт об объявлениях", "Listings data report");
    let page = html! {
        (DOCTYPE)
        html lang="ru" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                link rel="icon" href="data:,";
                title { "Probeg · " (title.ru) " / " (title.en) }
                style { (PreEscaped(plot::STYLE)) (PreEscaped(include_str!("page/page.css"))) (PreEscaped(STYLE)) }
            }
            body {
                header.head {
                    div.languages role="group" aria-label="Язык / Language" {
                        button type="button" data-language="ru" { "Русский" }
                        button type="button" data-language="en" { "English" }
                    }
                    p.product { "Probeg" }
                    h1 { (title) }
                    p.lead { (lead(figures)) }
                }
                (contents(figures))
                main.sections { (sections(figures, found)) }
                script { (PreEscaped(include_str!("page/report.js"))) }
            }
        }
    };
    page.into_string() + "\n"
}

fn sections(figures: &Figures, found: &[Finding]) -> Markup {
    html! {
        (findings::section(found))
        (columns::section(figures))
        (rows::section(figures))
        (market::section(figures))
        (missing::section(figures))
        (numbers::section(figures))
        (relations::prices(figures))
        (texts::section(figures))
        (repeats::section(figures))
        (repeats::suspicions(figures))
        (relations::section(figures))
        (methods::section(figures))
    }
}

fn lead(figures: &Figures) -> LocalizedText {
    let overview = &figures.overview;
    let days = LocalizedText::each(|language| match (overview.first_day, overview.last_day) {
        (Some(first), Some(last)) if first != last => format!("{} – {}", language.day(first), language.day(last)),
        (Some(first), _) => language.day(first),
        _ => LocalizedText::new("дат нет", "no dates").get(language).to_owned(),
    });
    let target = figures.target().name;
    let (rows, cars, sources) = (overview.rows, overview.cars, overview.sources);
    LocalizedText::new(
        format!(
            "Задача {}: {}, {}. Объявлений: {} · машин: {} · источников: {} · {}. Отчёт от {}.",
            figures.task.name,
            target.0,
            figures.unit(RU, Column::Price),
            RU.count(rows),
            RU.count(cars),
            RU.count(sources),
            days.ru,
            RU.day(figures.created_on)
        ),
        format!(
            "Task {}: {}, {}. {} listings · {} cars · {} sources · {}. Created on {}.",
            figures.task.name,
            target.1,
            figures.unit(EN, Column::Price),
            EN.count(rows),
            EN.count(cars),
            EN.count(sources),
            days.en,
            EN.day(figures.created_on)
        ),
    )
}

fn contents(figures: &Figures) -> Markup {
    let name = |section, ru, en| match section {
        Section::Prices => LocalizedText::each(|language| capitalized(figures.label(language, Column::Price))),
        _ => LocalizedText::new(ru, en),
    };
    html! {
        nav.contents aria-label="Содержание / Contents" {
            @for (section, ru, en) in CONTENTS {
                a href=(format!("#{}", section.id())) { (name(section, ru, en)) }
            }
        }
    }
}

//! The report as one HTML file: no address in it leads anywhere, and its policy forbids to follow one.

mod columns;
mod missing;
mod numbers;
mod parts;
mod relations;
mod repeats;
mod rows;

use crate::figures::Figures;
use crate::findings::{Finding, Severity};
use crate::words::{EN, RU, Words};
use parts::{both, paragraph, section};

/// The whole page.
pub(crate) fn render(figures: &Figures, found: &[Finding]) -> String {
    let body = [
        findings(found),
        columns::section(figures),
        rows::section(figures),
        rows::market(figures),
        missing::section(figures),
        numbers::section(figures),
        relations::prices(figures),
        numbers::texts(figures),
        repeats::section(figures),
        repeats::suspicions(figures),
        relations::section(figures),
        methods(figures),
    ]
    .concat();
    let title = Words::new("Объявления: что в данных", "Listings: what the data hold");
    format!(
        "<!DOCTYPE html>\n<html lang=\"ru\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'; img-src data:\">\n<link rel=\"icon\" href=\"data:,\">\n\
         <title>Probeg · {} / {}</title>\n<style>{}</style>\n</head>\n<body>\n\
         <header><div class=\"languages\" role=\"group\" aria-label=\"Язык / Language\">\
         <button type=\"button\" data-language=\"ru\">Русский</button>\
         <button type=\"button\" data-language=\"en\">English</button></div>\
         <p class=\"product\">Probeg</p><h1>{}</h1>{}</header>\n{}\n<main>{body}</main>\n<script>{}</script>\n</body>\n</html>\n",
        title.ru,
        title.en,
        include_str!("page/report.css"),
        both(&title),
        paragraph("lead", &lead(figures)),
        contents(),
        include_str!("page/report.js"),
    )
}

fn lead(figures: &Figures) -> Words {
    let overview = &figures.overview;
    let days = Words::each(|language| match (overview.first_day, overview.last_day) {
        (Some(first), Some(last)) if first != last => format!("{} – {}", language.day(first), language.day(last)),
        (Some(first), _) => language.day(first),
        _ => Words::new("дат нет", "no dates").get(language).to_owned(),
    });
    let (rows, cars, sources) = (overview.rows, overview.cars, overview.sources);
    Words::new(
        format!(
            "Объявлений: {} · машин: {} · источников: {} · {}. Отчёт от {}.",
            RU.count(rows),
            RU.count(cars),
            RU.count(sources),
            days.ru,
            RU.day(figures.made_on)
        ),
        format!(
            "{} listings · {} cars · {} sources · {}. Report of {}.",
            EN.count(rows),
            EN.count(cars),
            EN.count(sources),
            days.en,
            EN.day(figures.made_on)
        ),
    )
}

fn contents() -> String {
    let links: Vec<String> =
        SECTIONS.iter().map(|(id, ru, en)| format!("<a href=\"#{id}\">{}</a>", both(&Words::new(*ru, *en)))).collect();
    format!("<nav>{}</nav>", links.join(""))
}

const SECTIONS: [(&str, &str, &str); 11] = [
    ("findings", "Главное", "First"),
    ("columns", "Столбцы", "Columns"),
    ("rows", "Объявления", "Listings"),
    ("market", "Рынок", "Market"),
    ("missing", "Пропуски", "Missing"),
    ("numbers", "Числа", "Numbers"),
    ("prices", "Цена", "Price"),
    ("texts", "Категории", "Categories"),
    ("repeats", "Повторы", "Repeats"),
    ("suspicions", "Сомнительное", "Doubtful"),
    ("relations", "Связи", "Relations"),
];

fn findings(found: &[Finding]) -> String {
    let mut body: String = found.iter().map(finding).collect();
    if body.is_empty() {
        body = paragraph("", &Words::new("Ничего примечательного не найдено.", "Nothing remarkable was found."));
    }
    section("findings", &Words::new("Главное", "What to know first"), &format!("<ol class=\"findings\">{body}</ol>"))
}

fn finding(finding: &Finding) -> String {
    let (class, mark) = match finding.severity {
        Severity::Grave => ("grave", Words::new("Важно", "Grave")),
        Severity::Warning => ("warning", Words::new("Учесть", "Mind")),
        Severity::Note => ("note", Words::new("К сведению", "Note")),
    };
    format!(
        "<li class=\"{class}\"><b class=\"badge\">{}</b><div>{}{}</div></li>",
        both(&mark),
        paragraph("", &finding.text),
        format_args!("<p class=\"advice\">{} <a href=\"#{}\">↓</a></p>", both(&finding.advice), finding.section.id()),
    )
}

fn methods(figures: &Figures) -> String {
    let sampled = figures.sampled as i64;
    let of = if sampled < figures.overview.rows {
        Words::new(
            format!("равномерной выборке {} объявлений", RU.count(sampled)),
            format!("a uniform sample of {} listings", EN.count(sampled)),
        )
    } else {
        Words::new("всех объявлениях", "all listings")
    };
    let body = paragraph(
        "",
        &Words::new(
            format!(
                "Все цифры — из одного снимка базы. Количества, квантили, выбросы, пропуски, повторы и уровень рынка посчитаны \
                 точно, по всем объявлениям; гистограммы, цены вдоль признаков, связи, изменения и «выдаёт источник по значению» — \
                 на {}. Цены — цены предложения.",
                of.ru
            ),
            format!(
                "All figures are of one snapshot of the database. Counts, quantiles, outliers, missing values, repetitions and \
                 the market's level are exact, of all listings; histograms, prices along features, relations, drift and “the \
                 value betrays the source” are of {}. Prices are asking prices.",
                of.en
            ),
        ),
    );
    section("methods", &Words::new("Как посчитано", "How it was computed"), &body)
}

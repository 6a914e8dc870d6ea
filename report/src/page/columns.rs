//! The verdict on each column.

use domain::Column;
use maud::{Markup, html};

use super::parts::{each, paragraph, render_section, table};
use crate::figures::Figures;
use crate::figures::fitness::{Fault, Fitness};
use crate::section::Section;
use crate::words::{EN, LocalizedText, RU};

pub(super) fn section(figures: &Figures) -> Markup {
    let heads = [
        LocalizedText::new("Столбец", "Column"),
        LocalizedText::new("Заполнено", "Known"),
        LocalizedText::new("Значений", "Values"),
        LocalizedText::new("Типично", "Typical"),
        LocalizedText::new("Вердикт и почему", "Verdict and why"),
    ];
    let rows: Vec<Vec<Markup>> = figures.fitness.iter().map(|fitness| row(figures, fitness)).collect();
    let thresholds = LocalizedText::new(
        "Годится ли столбец для модели. Пороги: постоянный — одно значение; почти постоянный — одно значение от 97 %; \
         выдаёт источник — источник объясняет не меньше половины; меняется — PSI от 0,25 между старейшей и новейшей третью.",
        "Whether a column is suitable as a feature. Thresholds: constant, a single value; nearly constant, one value in at \
         least 97 %; reveals the source, at least half explained by the source; drifts, PSI of at least 0.25 between the \
         oldest and the newest third.",
    );
    let title = LocalizedText::new("Столбцы: что годится для модели", "Columns: suitability as features");
    render_section(Section::Columns, &title, &html! { (paragraph(&thresholds)) (table("verdicts", &heads, &rows)) })
}

fn row(figures: &Figures, fitness: &Fitness) -> Vec<Markup> {
    let column = fitness.column;
    let name = LocalizedText::each(|language| language.of_both(column.label()).to_owned());
    let verdicts = html! {
        @for fault in &fitness.faults {
            div.verdict { (verdict(figures, column, *fault)) }
        }
        @if fitness.faults.is_empty() {
            div.verdict { (badge("suitable", &LocalizedText::new("годится", "suitable"))) }
        }
    };
    vec![
        html! { code { (column.name()) } " " (name) },
        labelled("заполнено", "known", &LocalizedText::each(|language| language.percent(fitness.known))),
        labelled("значений", "values", &LocalizedText::each(|language| language.count(fitness.distinct))),
        typical(figures, column),
        verdicts,
    ]
}

/// A figure with a label that is shown where the page is too narrow for the table head.
fn labelled(ru: &str, en: &str, figure: &LocalizedText) -> Markup {
    html! { span.narrow { (LocalizedText::new(ru, en)) ": " } (figure) }
}

fn badge(class: &str, words: &LocalizedText) -> Markup {
    html! { b class=(format!("badge {class}")) { (words) } }
}

fn verdict(figures: &Figures, column: Column, fault: Fault) -> Markup {
    let (class, name, reason) = match fault {
        Fault::Absent => (
            "critical",
            LocalizedText::new("пуст", "empty"),
            LocalizedText::new("не заполнен ни разу", "no listing has a value"),
        ),
        Fault::Constant => (
            "critical",
            LocalizedText::new("постоянный", "constant"),
            LocalizedText::new("все известные значения одинаковы", "all known values are the same"),
        ),
        Fault::NearlyConstant { largest } => (
            "warning",
            LocalizedText::new("почти постоянный", "nearly constant"),
            LocalizedText::new(
                format!("одно значение у {} заполненных", RU.percent(largest)),
                format!("one value makes up {} of the known values", EN.percent(largest)),
            ),
        ),
        Fault::AbsenceLeaksSource { uncertainty } => (
            "critical",
            LocalizedText::new("пропуск выдаёт источник", "absence reveals the source"),
            absence_reason(figures, column, uncertainty),
        ),
        Fault::ValueLeaksSource { information } => (
            "warning",
            LocalizedText::new("значение выдаёт источник", "value reveals the source"),
            LocalizedText::new(
                format!("взаимная информация с источником: {}", RU.percent(information)),
                format!("mutual information with the source: {}", EN.percent(information)),
            ),
        ),
        Fault::SourceSpecificValues { share } => (
            "warning",
            LocalizedText::new("источники пишут по-разному", "sources spell differently"),
            LocalizedText::new(
                format!("{} заполненных значений встречаются только у одного источника", RU.percent(share)),
                format!("{} of the known values occur in one source only", EN.percent(share)),
            ),
        ),
        Fault::Drifts { index } => (
            "warning",
            LocalizedText::new("меняется", "drifts"),
            LocalizedText::each(|language| {
                let of = if column == Column::Year {
                    LocalizedText::new(" (возраст на день объявления)", " (age on the listing date)")
                } else {
                    LocalizedText::new("", "")
                };
                format!("PSI {}{}", language.decimal(index, 2), of.get(language))
            }),
        ),
        Fault::MostlyMissing => (
            "warning",
            LocalizedText::new("чаще пуст", "mostly missing"),
            LocalizedText::new("пустых больше, чем заполненных", "missing in more than half of the listings"),
        ),
        Fault::LongTail { values, share } => (
            "note",
            LocalizedText::new("длинный хвост", "long tail"),
            LocalizedText::new(
                format!("{} значений реже 10 раз ({} объявлений)", RU.count(values), RU.percent(share)),
                format!(
                    "{} values occur fewer than 10 times ({} of the listings)",
                    EN.count(values),
                    EN.percent(share)
                ),
            ),
        ),
    };
    html! { (badge(class, &name)) " " span { (reason) } }
}

fn absence_reason(figures: &Figures, column: Column, uncertainty: f64) -> LocalizedText {
    let association = figures.missing.column(column).map_or(0.0, |missing| missing.cramers_v);
    LocalizedText::new(
        format!("источник объясняет пропуск на {} (V Крамера {})", RU.percent(uncertainty), RU.decimal(association, 2)),
        format!(
            "the source explains {} of the absence (Cramér's V {})",
            EN.percent(uncertainty),
            EN.decimal(association, 2)
        ),
    )
}

/// The three most frequent values, or the quartiles.
fn typical(figures: &Figures, column: Column) -> Markup {
    if let Some(text) = figures.text(column) {
        let frequent: Vec<&str> = text.profile.top.iter().take(3).map(|value| value.value.as_str()).collect();
        return html! { (frequent.join(", ")) };
    }
    if let Some(quartiles) = figures.number(column).and_then(|number| number.profile.quartiles()) {
        return each(|language| quartiles.map(|quartile| figures.quantity(language, column, quartile)).join(" · "));
    }
    match (figures.overview.first_day, figures.overview.last_day) {
        (Some(first), Some(last)) => each(|language| format!("{} – {}", language.day(first), language.day(last))),
        _ => Markup::default(),
    }
}

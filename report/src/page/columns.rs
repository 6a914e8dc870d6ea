//! A verdict a column.

use domain::Column;

use super::parts::{both, each, joined, paragraph, table};
use crate::figures::Figures;
use crate::figures::fitness::{Fault, Fitness};
use crate::plot::escape;
use crate::words::{EN, RU, Words};

pub(super) fn section(figures: &Figures) -> String {
    let heads = [
        Words::new("Столбец", "Column"),
        Words::new("Заполнено", "Known"),
        Words::new("Значений", "Values"),
        Words::new("Типично", "Typical"),
        Words::new("Вердикт и почему", "Verdict and why"),
    ];
    let rows: Vec<Vec<String>> = figures.fitness.iter().map(|fitness| row(figures, fitness)).collect();
    let body = paragraph(
        "",
        &Words::new(
            "Годится ли столбец для модели. Пороги: постоянный — одно значение; почти постоянный — одно значение от 97 %; \
             выдаёт источник — источник объясняет не меньше половины; меняется — PSI от 0,25 между старейшей и новейшей третью.",
            "Whether a column is fit for the model. Thresholds: constant, one value; nearly constant, one value from 97 %; \
             betrays the source, the source explains half or more; drifts, PSI from 0.25 between the oldest and the newest third.",
        ),
    ) + &table("verdicts", &heads, &rows);
    super::section(
        "columns",
        &Words::new("Столбцы: что годится для модели", "Columns: what is fit for the model"),
        &body,
    )
}

fn row(figures: &Figures, fitness: &Fitness) -> Vec<String> {
    let column = fitness.column;
    let verdicts: Vec<String> = if fitness.faults.is_empty() {
        vec![badge("fit", &Words::new("годится", "fit"))]
    } else {
        fitness.faults.iter().map(|fault| verdict(figures, column, *fault)).collect()
    };
    vec![
        format!("<code>{}</code> {}", column.name(), each(|language| language.column(column).to_owned())),
        label("заполнено", "known") + &each(|language| language.percent(fitness.known)),
        label("значений", "values") + &each(|language| language.count(fitness.distinct)),
        typical(figures, column),
        joined(&verdicts, |verdict| format!("<div class=\"verdict\">{verdict}</div>")),
    ]
}

/// What a figure is, where the page is too narrow for the table's head.
fn label(ru: &str, en: &str) -> String {
    format!("<span class=\"narrow\">{}: </span>", both(&Words::new(ru, en)))
}

fn badge(class: &str, words: &Words) -> String {
    format!("<b class=\"badge {class}\">{}</b>", both(words))
}

fn verdict(figures: &Figures, column: Column, fault: Fault) -> String {
    let (class, name, reason) = match fault {
        Fault::Absent => {
            ("grave", Words::new("пуст", "empty"), Words::new("не заполнен ни разу", "no listing has a value"))
        }
        Fault::Constant => (
            "grave",
            Words::new("постоянный", "constant"),
            Words::new("все известные значения одинаковы", "all known values are the same"),
        ),
        Fault::NearlyConstant { largest } => (
            "warning",
            Words::new("почти постоянный", "nearly constant"),
            Words::new(
                format!("одно значение у {} заполненных", RU.percent(largest)),
                format!("{} of the known values are one", EN.percent(largest)),
            ),
        ),
        Fault::AbsenceTellsSource { told } => (
            "grave",
            Words::new("пропуск выдаёт источник", "absence betrays the source"),
            absence_reason(figures, column, told),
        ),
        Fault::ValueTellsSource { told } => (
            "warning",
            Words::new("значение выдаёт источник", "value betrays the source"),
            Words::new(
                format!("общая информация с источником {}", RU.percent(told)),
                format!("information shared with the source: {}", EN.percent(told)),
            ),
        ),
        Fault::OwnWords { share } => (
            "warning",
            Words::new("источники пишут по-разному", "sources write differently"),
            Words::new(
                format!("у {} заполненных значение, которое пишет только один источник", RU.percent(share)),
                format!("{} of the known have a value that only one source writes", EN.percent(share)),
            ),
        ),
        Fault::Drifts { index } => (
            "warning",
            Words::new("меняется", "drifts"),
            Words::each(|language| {
                let of = if column == Column::Year {
                    Words::new(" (возраст на день объявления)", " (age on the day of the listing)")
                } else {
                    Words::new("", "")
                };
                format!("PSI {}{}", language.decimal(index, 2), of.get(language))
            }),
        ),
        Fault::MostlyMissing => (
            "warning",
            Words::new("чаще пуст", "mostly missing"),
            Words::new("пустых больше, чем заполненных", "missing more often than known"),
        ),
        Fault::LongTail { values, share } => (
            "note",
            Words::new("длинный хвост", "long tail"),
            Words::new(
                format!("{} значений реже 10 раз ({} объявлений)", RU.count(values), RU.percent(share)),
                format!("{} values occur under 10 times ({} of the listings)", EN.count(values), EN.percent(share)),
            ),
        ),
    };
    format!("{} <span>{}</span>", badge(class, &name), both(&reason))
}

fn absence_reason(figures: &Figures, column: Column, told: f64) -> Words {
    let association = figures.missing.column(column).map_or(0.0, |missing| missing.cramers_v);
    Words::new(
        format!("источник объясняет пропуск на {} (V Крамера {})", RU.percent(told), RU.decimal(association, 2)),
        format!("the source decides {} of the absence (Cramér's V {})", EN.percent(told), EN.decimal(association, 2)),
    )
}

/// The three most frequent values, or the quartiles.
fn typical(figures: &Figures, column: Column) -> String {
    if let Some(text) = figures.texts.iter().find(|text| text.column == column) {
        let frequent = text.profile.top.iter().take(3).map(|value| escape(&value.value));
        return frequent.collect::<Vec<_>>().join(", ");
    }
    if let Some(number) = figures.number(column).filter(|number| number.profile.known > 0) {
        let quantiles = &number.profile.quantiles;
        return each(|language| {
            format!(
                "{} · {} · {}",
                language.of(column, quantiles[3]),
                language.of(column, quantiles[4]),
                language.of(column, quantiles[5])
            )
        });
    }
    match (figures.overview.first_day, figures.overview.last_day) {
        (Some(first), Some(last)) => each(|language| format!("{} – {}", language.day(first), language.day(last))),
        _ => String::new(),
    }
}

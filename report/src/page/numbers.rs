//! The distributions of numbers.

use domain::{Column, Language};
use maud::{Markup, html};
use plot::{Histogram, Scale};
use storage::profile::{NumberCount, QUANTILE_LEVELS};

use super::parts::{column_title, each, figure, render_section, table};
use super::plots::{number as plot_number, text};
use crate::figures::Figures;
use crate::figures::distribution::NumberColumn;
use crate::section::Section;
use crate::words::{LocalizedText, RU};

pub(super) fn section(figures: &Figures) -> Markup {
    let body = html! { div.two { @for number in &figures.numbers { (draw(figures, number)) } } };
    render_section(Section::Numbers, &LocalizedText::new("Числа", "Numbers"), &body)
}

fn draw(figures: &Figures, number: &NumberColumn) -> Markup {
    let title = column_title(figures, number.column);
    let scale = if number.is_logarithmic {
        LocalizedText::new(" (логарифмическая шкала)", " (logarithmic scale)")
    } else {
        LocalizedText::new("", "")
    };
    let mark = number.profile.quartiles().map(|[_, median, _]| {
        let name = LocalizedText::new("медиана", "median");
        let words = |language| format!("{} {}", name.get(language), short(number.column, language, median));
        (median, plot_number(words))
    });
    let histogram = Histogram {
        edges: &number.histogram.edges,
        counts: &number.histogram.rows,
        scale: if number.is_logarithmic { Scale::Logarithmic } else { Scale::Linear },
        mark,
        horizontal: text(title.clone().then(&scale)),
        vertical: text(LocalizedText::new("доля объявлений", "share of listings")),
        format_horizontal: &|value| plot_number(|language| short(number.column, language, value)),
        format_vertical: &|share| plot_number(|language| format!("{}\u{a0}%", language.number(share))),
    };
    figure(&title, histogram.draw(), Some(caption(figures, number)))
}

/// A number of a column in short form.
fn short(column: Column, language: Language, value: f64) -> String {
    match column {
        Column::Year => format!("{value:.0}"),
        _ => language.short(value),
    }
}

/// Quantiles, frequent numbers and outliers.
fn caption(figures: &Figures, number: &NumberColumn) -> Markup {
    let (column, profile) = (number.column, &number.profile);
    if profile.quantiles.len() < QUANTILE_LEVELS.len() {
        return html! { (LocalizedText::new("Не заполнен ни разу.", "No listing has a value.")) };
    }
    let summary = LocalizedText::each(|language| {
        let (known, distinct) = (language.count(profile.known), language.count(profile.distinct));
        let frequent = join_counts(figures, language, column, &profile.frequent);
        if language == RU {
            format!("Известно {known}, разных значений {distinct}. Чаще всего: {frequent}.")
        } else {
            format!("{known} known, {distinct} distinct values. Most frequent: {frequent}.")
        }
    });
    let outliers = LocalizedText::each(|language| outliers(figures, language, number));
    html! { (quantiles(number)) p { (summary) } p { (outliers) } }
}

fn quantiles(number: &NumberColumn) -> Markup {
    let heads = QUANTILE_LEVELS.map(|tail| match tail {
        0.0 => LocalizedText::new("наим.", "min"),
        1.0 => LocalizedText::new("наиб.", "max"),
        tail => LocalizedText::same(format!("{}\u{a0}%", 100.0 * tail)),
    });
    let quantiles = number.profile.quantiles.iter();
    let cells = quantiles.map(|value| each(|language| short(number.column, language, *value)));
    table("quantiles", &heads, &[cells.collect()])
}

fn join_counts(figures: &Figures, language: Language, column: Column, counted: &[NumberCount]) -> String {
    let values = counted.iter().map(|counted| {
        format!("{} ({}×)", figures.quantity(language, column, counted.number), language.count(counted.rows))
    });
    values.collect::<Vec<_>>().join(", ")
}

fn outliers(figures: &Figures, language: Language, number: &NumberColumn) -> String {
    let (column, profile) = (number.column, &number.profile);
    if profile.below + profile.above == 0 {
        return LocalizedText::new("Крайних выбросов нет.", "No extreme outliers.").get(language).to_owned();
    }
    let side = |rows: i64, fence: f64, shown: &[NumberCount], words: LocalizedText| {
        let (rows, fence, shown) = (
            language.count(rows),
            figures.quantity(language, column, fence),
            join_counts(figures, language, column, shown),
        );
        if rows == "0" { String::new() } else { format!("{} {fence}: {rows} — {shown}. ", words.get(language)) }
    };
    let above = LocalizedText::new("Крайние выбросы выше", "Extreme outliers above");
    let below = LocalizedText::new("Крайние выбросы ниже", "Extreme outliers below");
    side(profile.above, profile.fences.1, &profile.highest, above)
        + &side(profile.below, profile.fences.0, &profile.lowest, below)
}

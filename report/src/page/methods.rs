//! How the report was computed.

use maud::Markup;

use super::parts::{paragraph, render_section};
use crate::figures::Figures;
use crate::section::Section;
use crate::words::{EN, RU, Words};

pub(super) fn section(figures: &Figures) -> Markup {
    let sampled = figures.sampled as i64;
    let of = if sampled < figures.overview.rows {
        Words::new(
            format!("равномерной выборке {} объявлений", RU.count(sampled)),
            format!("a uniform sample of {} listings", EN.count(sampled)),
        )
    } else {
        Words::new("всех объявлениях", "all listings")
    };
    let body = paragraph(&Words::new(
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
    ));
    render_section(Section::Methods, &Words::new("Как посчитано", "How it was computed"), &body)
}

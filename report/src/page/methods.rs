//! How the figures were computed.

use maud::Markup;

use super::parts::{paragraph, render_section};
use crate::figures::Figures;
use crate::section::Section;
use crate::words::{EN, LocalizedText, RU};

pub(super) fn section(figures: &Figures) -> Markup {
    let sampled = figures.sampled as i64;
    let of = if sampled < figures.overview.rows {
        LocalizedText::new(
            format!("равномерной выборке {} объявлений", RU.count(sampled)),
            format!("a uniform sample of {} listings", EN.count(sampled)),
        )
    } else {
        LocalizedText::new("всех объявлениях", "all listings")
    };
    let target = figures.target().definition;
    let body = paragraph(&LocalizedText::new(
        format!(
            "Все цифры — из одного снимка базы. Количества, квантили, выбросы, пропуски, повторы и уровень рынка посчитаны \
             точно, по всем объявлениям; гистограммы, графики, связи, изменения и «значение выдаёт источник» — \
             на {}. {}",
            of.ru, target.0
        ),
        format!(
            "All figures come from one database snapshot. Counts, quantiles, outliers, missing values, duplicates and the \
             market index are exact, over all listings; histograms, plots, relations, drift and “value reveals the \
             source” are computed on {}. {}",
            of.en, target.1
        ),
    ));
    render_section(Section::Methods, &LocalizedText::new("Как посчитано", "Methods"), &body)
}

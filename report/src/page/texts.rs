//! Frequent texts and the long tail.

use domain::Column;
use maud::{Markup, html};
use storage::profile::TextProfile;

use super::parts::{Bar, bars, column_title, each, figure, render_section};
use crate::figures::Figures;
use crate::figures::distribution::TextColumn;
use crate::section::Section;
use crate::words::{EN, LocalizedText, RU};

pub(super) fn section(figures: &Figures) -> Markup {
    let body = html! {
        div.two {
            @for text in figures.texts.iter().filter(|text| text.column != Column::Brand) {
                (figure(&column_title(figures, text.column), Some(text_bars(figures, text)), tail(&text.profile)))
            }
        }
    };
    render_section(Section::Texts, &LocalizedText::new("Категории и их хвост", "Categories and their long tail"), &body)
}

/// The frequent values of a text column.
pub(super) fn text_bars(figures: &Figures, text: &TextColumn) -> Markup {
    let profile = &text.profile;
    let bar = |name: LocalizedText, rows: i64, length: i64| Bar {
        name,
        length: length as f64,
        label: LocalizedText::each(|language| {
            format!("{} · {}", language.count(rows), language.percent(figures.share(rows)))
        }),
    };
    let mut shown: Vec<Bar> =
        profile.top.iter().map(|value| bar(LocalizedText::same(&value.value), value.rows, value.rows)).collect();
    let others = profile.distinct - profile.top.len() as i64;
    if others > 0 {
        let rows = profile.known - profile.top.iter().map(|value| value.rows).sum::<i64>();
        let name = LocalizedText::new(format!("ещё {}", RU.count(others)), format!("{} more", EN.count(others)));
        shown.push(bar(name, rows, 0));
    }
    let missing = figures.overview.rows - profile.known;
    if missing > 0 {
        shown.push(bar(LocalizedText::new("— нет —", "— missing —"), missing, 0));
    }
    bars(&shown)
}

/// The length of the tail, where not all values are shown.
pub(super) fn tail(profile: &TextProfile) -> Option<Markup> {
    if profile.distinct <= profile.top.len() as i64 {
        return None;
    }
    Some(each(|language| {
        let count = |number: i64| language.count(number);
        let (half, ninety, ninety_nine) =
            (count(profile.values_for_50), count(profile.values_for_90), count(profile.values_for_99));
        let (distinct, rare, rows) = (count(profile.distinct), count(profile.rare_values), count(profile.rare_rows));
        if language == RU {
            format!(
                "Значений {distinct}. Половину заполненных дают {half}, 90 % — {ninety}, 99 % — {ninety_nine}. Реже 10 раз встречаются {rare} \
                 ({rows} объявлений)."
            )
        } else {
            format!(
                "{distinct} values. {half} of them cover half of the known rows, {ninety} cover 90 %, {ninety_nine} cover 99 %. \
                 Fewer than 10 listings each: {rare} ({rows} listings)."
            )
        }
    }))
}

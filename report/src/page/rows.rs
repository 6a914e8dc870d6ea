//! The listings by source, time and make.

use std::collections::BTreeMap;

use domain::Column;
use maud::{Markup, Render as _, html};

use super::parts::{Bar, bars, figure, render_section};
use super::texts::{tail, text_bars};
use crate::figures::Figures;
use crate::section::Section;
use crate::words::LocalizedText;

/// With more months, listings are counted by year.
const MAX_MONTHS: usize = 36;

pub(super) fn section(figures: &Figures) -> Markup {
    let makes = figures.text(Column::Brand);
    let by_make = makes.map(|makes| text_bars(figures, makes));
    let tail_of_makes = makes.and_then(|makes| tail(&makes.profile));
    let body = html! {
        (figure(&LocalizedText::new("По источникам", "By source"), Some(sources(figures)), None))
        div.two {
            (figure(&LocalizedText::new("По времени", "By date"), Some(times(figures)), Some(times_caption().render())))
            (figure(&LocalizedText::new("По маркам", "By make"), by_make, tail_of_makes))
        }
    };
    let title = LocalizedText::new("Объявления по источникам, времени и маркам", "Listings by source, date and make");
    render_section(Section::Rows, &title, &body)
}

fn sources(figures: &Figures) -> Markup {
    let mut shown: Vec<Bar> = figures
        .sources
        .iter()
        .map(|source| Bar {
            name: source
                .source
                .clone()
                .map_or_else(|| LocalizedText::new("источник не указан", "no source"), LocalizedText::same),
            length: source.rows as f64,
            label: LocalizedText::each(|language| {
                let days = match (source.first_day, source.last_day) {
                    (Some(first), Some(last)) if first == last => format!(" · {}", language.day(first)),
                    (Some(first), Some(last)) => format!(" · {} – {}", language.day(first), language.day(last)),
                    _ => String::new(),
                };
                let share = language.percent(figures.share(source.rows));
                let median = LocalizedText::new("медиана", "median").get(language).to_owned();
                let price = figures.quantity(language, Column::Price, source.median_price);
                format!("{} · {share}{days} · {median} {price}", language.count(source.rows))
            }),
        })
        .collect();
    let rest = figures.overview.rows - figures.sources.iter().map(|source| source.rows).sum::<i64>();
    if rest > 0 {
        shown.push(Bar {
            name: LocalizedText::new("остальные источники", "other sources"),
            length: rest as f64,
            label: LocalizedText::each(|language| language.count(rest)),
        });
    }
    bars(&shown)
}

fn times(figures: &Figures) -> Markup {
    let mut rows: BTreeMap<String, (i64, f64)> = BTreeMap::new();
    let is_monthly = figures.months.len() <= MAX_MONTHS;
    for month in &figures.months {
        let name = month.month.format(if is_monthly { "%Y-%m" } else { "%Y" }).to_string();
        let period = rows.entry(name).or_default();
        *period = (period.0 + month.rows, period.1 + month.largest_source * month.rows as f64);
    }
    let mut shown: Vec<Bar> = rows
        .into_iter()
        .map(|(name, (rows, largest))| Bar {
            name: LocalizedText::same(name),
            length: rows as f64,
            label: LocalizedText::each(|language| {
                let from_one = LocalizedText::new("из одного", "from one");
                let share = language.percent(largest / rows.max(1) as f64);
                format!("{} · {} {share}", language.count(rows), from_one.get(language))
            }),
        })
        .collect();
    let without = figures.overview.rows - figures.overview.dated;
    if without > 0 {
        shown.push(Bar {
            name: LocalizedText::new("без даты", "no date"),
            length: without as f64,
            label: LocalizedText::each(|language| {
                format!("{} · {}", language.count(without), language.percent(figures.share(without)))
            }),
        });
    }
    bars(&shown)
}

fn times_caption() -> LocalizedText {
    LocalizedText::new(
        "«Из одного» — доля крупнейшего источника в этом периоде.",
        "“From one” is the share of the largest source in that period.",
    )
}

//! Duplicates, relisted cars and suspicious listings.

use domain::Language;
use maud::{Markup, html};
use storage::profile::Check;

use super::parts::{Bar, bars, figure, paragraph, render_section};
use crate::figures::Figures;
use crate::findings::check_label;
use crate::section::Section;
use crate::words::{LocalizedText, RU};

pub(super) fn section(figures: &Figures) -> Markup {
    let repeats = &figures.repeats;
    let sizes = ["2", "3", "4", "5", "6+"];
    let shown: Vec<Bar> = sizes
        .iter()
        .zip(&repeats.by_listings)
        .map(|(size, cars)| Bar {
            name: LocalizedText::new(format!("объявлений: {size}"), format!("{size} listings")),
            length: *cars as f64,
            label: LocalizedText::each(|language| {
                let cars = language.count(*cars);
                if language == RU { format!("{cars} машин") } else { format!("{cars} cars") }
            }),
        })
        .collect();
    let by_listings = (repeats.cars > 0).then(|| bars(&shown));
    let body = html! {
        (paragraph(&LocalizedText::each(|language| summary(figures, language))))
        div.two {
            (figure(&LocalizedText::new("Машины по числу объявлений", "Cars by number of listings"), by_listings, None))
            (figure(&LocalizedText::new("Объявления", "Listings"), Some(listings(figures)), None))
        }
    };
    let title = LocalizedText::new("Повторы и перевыставленные машины", "Duplicates and relisted cars");
    render_section(Section::Repeats, &title, &body)
}

fn listings(figures: &Figures) -> Markup {
    let repeats = &figures.repeats;
    let bar = |name: LocalizedText, rows: i64| Bar {
        name,
        length: rows as f64,
        label: LocalizedText::each(|language| {
            format!("{} · {}", language.count(rows), language.percent(figures.share(rows)))
        }),
    };
    bars(&[
        bar(LocalizedText::new("точные повторы (не записаны)", "exact duplicates (not stored)"), repeats.exact),
        bar(LocalizedText::new("машина выставлена не раз", "cars listed more than once"), repeats.rows),
        bar(
            LocalizedText::new(
                format!("из них {}", figures.target().different.0),
                format!("of these, {}", figures.target().different.1),
            ),
            repeats.repriced_rows,
        ),
        bar(
            LocalizedText::new("то же описание у другой машины", "same description as another car"),
            repeats.same_description,
        ),
        bar(
            LocalizedText::new("из них в другой части выборки", "of these, in another split"),
            repeats.same_description_other_split,
        ),
    ])
}

fn summary(figures: &Figures, language: Language) -> String {
    let repeats = &figures.repeats;
    let (rows, cars) = (language.count(repeats.rows), language.count(repeats.cars));
    let (across, most) = (language.count(repeats.across_sources), language.count(repeats.most));
    let ratio = repeats.median_price_ratio.map_or_else(|| "—".to_owned(), |ratio| language.percent(ratio - 1.0));
    let extremes = language.of_both(figures.target().extremes);
    let days = repeats.median_days.map_or_else(|| "—".to_owned(), |days| language.decimal(days, 0));
    if language == RU {
        format!(
            "Перевыставлено {cars} машин, {rows} объявлений; в нескольких источниках — {across}. {extremes} на {ratio} \
             (медиана), между первым и последним объявлением — {days} дней (медиана, где дни разные). Больше всего \
             объявлений одной машины: {most}. Машина узнаётся по столбцу car_group, а без него — по совпадению всего, кроме цены, \
             даты, региона и числа владельцев."
        )
    } else {
        format!(
            "{cars} cars were relisted, in {rows} listings; {across} of them in several sources. The median difference between the \
             {extremes} of a car is {ratio}; the median time between its first and last listing is {days} days \
             (where the dates differ). Maximum listings per car: {most}. Cars are identified by the car_group column or, without \
             one, by equality of all columns except price, date, region and owners."
        )
    }
}

pub(super) fn suspicions(figures: &Figures) -> Markup {
    let shown: Vec<Bar> = figures
        .suspicions
        .iter()
        .map(|suspicion| Bar {
            name: check_label(figures, suspicion.check),
            // Far more frequent than the other checks: its bar would dwarf them.
            length: if suspicion.check == Check::RoundMileage { 0.0 } else { suspicion.rows as f64 },
            label: LocalizedText::each(|language| {
                format!("{} · {}", language.count(suspicion.rows), language.percent(figures.share(suspicion.rows)))
            }),
        })
        .collect();
    let title = LocalizedText::new("Сомнительные объявления", "Suspicious listings");
    render_section(Section::Suspicions, &title, &bars(&shown))
}

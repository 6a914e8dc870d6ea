//! Repetitions, relisted cars, and listings that contradict themselves.

use maud::{Markup, html};
use storage::profile::Check;

use super::parts::{Bar, bars, figure, paragraph, render_section};
use crate::figures::Figures;
use crate::findings::check_words;
use crate::section::Section;
use crate::words::{Language, RU, Words};

pub(super) fn section(figures: &Figures) -> Markup {
    let repeats = &figures.repeats;
    let sizes = ["2", "3", "4", "5", "6+"];
    let shown: Vec<Bar> = sizes
        .iter()
        .zip(&repeats.by_listings)
        .map(|(size, cars)| Bar {
            name: Words::new(format!("объявлений: {size}"), format!("{size} listings")),
            length: *cars as f64,
            says: Words::each(|language| {
                let cars = language.count(*cars);
                if language == RU { format!("{cars} машин") } else { format!("{cars} cars") }
            }),
        })
        .collect();
    let by_listings = (repeats.cars > 0).then(|| bars(&shown));
    let body = html! {
        (paragraph(&Words::each(|language| told(figures, language))))
        div.two {
            (figure(&Words::new("Машины по числу объявлений", "Cars by the number of their listings"), by_listings, None))
            (figure(&Words::new("Объявления", "Listings"), Some(listings(figures)), None))
        }
    };
    let title = Words::new("Повторы и перевыставленные машины", "Repetitions and relisted cars");
    render_section(Section::Repeats, &title, &body)
}

fn listings(figures: &Figures) -> Markup {
    let repeats = &figures.repeats;
    let bar = |name: Words, rows: i64| Bar {
        name,
        length: rows as f64,
        says: Words::each(|language| format!("{} · {}", language.count(rows), language.percent(figures.share(rows)))),
    };
    bars(&[
        bar(Words::new("точные повторы (не записаны)", "exact repetitions (not stored)"), repeats.exact),
        bar(Words::new("машина выставлена не раз", "of cars listed more than once"), repeats.rows),
        bar(Words::new("из них по разной цене", "of those, at another price"), repeats.repriced_rows),
        bar(Words::new("то же описание у другой машины", "same description, another car"), repeats.same_description),
        bar(
            Words::new("из них в другой части выборки", "of those, in another split"),
            repeats.same_description_other_split,
        ),
    ])
}

fn told(figures: &Figures, language: Language) -> String {
    let repeats = &figures.repeats;
    let (rows, cars) = (language.count(repeats.rows), language.count(repeats.cars));
    let (across, most) = (language.count(repeats.across_sources), language.count(repeats.most));
    let ratio = repeats.median_price_ratio.map_or_else(|| "—".to_owned(), |ratio| language.percent(ratio - 1.0));
    let days = repeats.median_days.map_or_else(|| "—".to_owned(), |days| language.decimal(days, 0));
    if language == RU {
        format!(
            "Перевыставлено {cars} машин, {rows} объявлений; в нескольких источниках — {across}. Высшая цена машины обычно больше \
             низшей на {ratio} (медиана), между первым и последним объявлением — {days} дней (медиана, где дни разные). Больше всего \
             объявлений одной машины: {most}. Машина узнаётся по столбцу car_group, а без него — по совпадению всего, кроме цены, \
             даты, региона и числа владельцев."
        )
    } else {
        format!(
            "{cars} cars were relisted, in {rows} listings; {across} of them in several sources. A car's highest price is usually \
             {ratio} above its lowest (median), its last listing {days} days after its first (median, where the days differ). \
             Most listings of one car: {most}. A car is known by the column car_group or, without one, by agreeing in all but \
             price, date, region and owners."
        )
    }
}

pub(super) fn suspicions(figures: &Figures) -> Markup {
    let shown: Vec<Bar> = figures
        .suspicions
        .iter()
        .map(|suspicion| Bar {
            name: check_words(suspicion.check),
            // A habit of sellers, far more frequent than slips: it would leave no room for them.
            length: if suspicion.check == Check::RoundMileage { 0.0 } else { suspicion.rows as f64 },
            says: Words::each(|language| {
                format!("{} · {}", language.count(suspicion.rows), language.percent(figures.share(suspicion.rows)))
            }),
        })
        .collect();
    let title = Words::new("Сомнительные объявления", "Doubtful listings");
    render_section(Section::Suspicions, &title, &bars(&shown))
}

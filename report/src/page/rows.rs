//! The listings by source, time and make, and the market's level.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use domain::Column;

use super::parts::{Bar, bars, both, each, figure, paragraph, table};
use crate::figures::Figures;
use crate::plot::{escape, line};
use crate::words::{EN, RU, Words};

/// More bars than these are put together by year.
const MONTHS: usize = 36;

pub(super) fn section(figures: &Figures) -> String {
    let body = format!(
        "{}<div class=\"two\">{}{}</div>",
        figure(&Words::new("По источникам", "By source"), &sources(figures), ""),
        figure(&Words::new("По времени", "By time"), &times(figures), &times_caption()),
        figure(&Words::new("По маркам", "By make"), &super::numbers::frequent(figures, Column::Brand), ""),
    );
    super::section(
        "rows",
        &Words::new("Объявления по источникам, времени и маркам", "Listings by source, time and make"),
        &body,
    )
}

fn sources(figures: &Figures) -> String {
    let mut shown: Vec<Bar> = figures
        .sources
        .iter()
        .map(|source| Bar {
            name: source.source.clone().map_or_else(
                || Words::new("источник не указан", "no source named"),
                |name| Words::new(name.clone(), name),
            ),
            length: source.rows as f64,
            says: Words::each(|language| {
                let days = match (source.first_day, source.last_day) {
                    (Some(first), Some(last)) if first == last => format!(" · {}", language.day(first)),
                    (Some(first), Some(last)) => format!(" · {} – {}", language.day(first), language.day(last)),
                    _ => String::new(),
                };
                let share = language.percent(figures.share(source.rows));
                let median = Words::new("медиана", "median").get(language).to_owned();
                let price = language.of(Column::Price, source.median_price);
                format!("{} · {share}{days} · {median} {price}", language.count(source.rows))
            }),
        })
        .collect();
    let rest = figures.overview.rows - figures.sources.iter().map(|source| source.rows).sum::<i64>();
    if rest > 0 {
        shown.push(Bar {
            name: Words::new("остальные источники", "other sources"),
            length: rest as f64,
            says: Words::each(|language| language.count(rest)),
        });
    }
    bars(&shown)
}

fn times(figures: &Figures) -> String {
    let mut rows: BTreeMap<String, (i64, f64)> = BTreeMap::new();
    let is_monthly = figures.months.len() <= MONTHS;
    for month in &figures.months {
        let name = month.month.format(if is_monthly { "%Y-%m" } else { "%Y" }).to_string();
        let period = rows.entry(name).or_default();
        *period = (period.0 + month.rows, period.1 + month.largest_source * month.rows as f64);
    }
    let mut shown: Vec<Bar> = rows
        .into_iter()
        .map(|(name, (rows, largest))| Bar {
            name: Words::new(name.clone(), name),
            length: rows as f64,
            says: Words::each(|language| {
                let of_one = Words::new("из одного", "from one");
                let share = language.percent(largest / rows.max(1) as f64);
                format!("{} · {} {share}", language.count(rows), of_one.get(language))
            }),
        })
        .collect();
    let without = figures.overview.rows - figures.overview.dated;
    if without > 0 {
        shown.push(Bar {
            name: Words::new("без даты", "no date"),
            length: without as f64,
            says: Words::each(|language| {
                format!("{} · {}", language.count(without), language.percent(figures.share(without)))
            }),
        });
    }
    bars(&shown)
}

fn times_caption() -> String {
    both(&Words::new(
        "«Из одного» — какая доля объявлений этого времени пришла из одного, крупнейшего источника.",
        "“From one” is the share of that time's listings that come from one source, the largest.",
    ))
}

pub(super) fn market(figures: &Figures) -> String {
    let title = Words::new("Уровень рынка", "The market's level");
    let Some(market) = &figures.market else {
        let words = Words::new(
            "Уровень не посчитать: нужны датированные объявления одинаковых машин хотя бы за два периода.",
            "There is no level: it takes dated listings of like cars in at least two periods.",
        );
        return super::section("market", &title, &paragraph("nothing", &words));
    };
    let year = |date: NaiveDate| f64::from(date.year()) + f64::from(date.ordinal0()) / 366.0;
    let points: Vec<(f64, f64)> = market.points.iter().map(|point| (year(point.period), point.level)).collect();
    let ends = (points.first().map_or(0.0, |point| point.0), points.last().map_or(0.0, |point| point.0));
    let years = (ends.0.ceil() as i32..=ends.1.floor() as i32).map(f64::from).collect();
    let labels = (
        Words::new("начало года", "begin of the year"),
        Words::new("цены одинаковых машин, первый период = 1", "prices of like cars, first period = 1"),
    );
    let drawn =
        line(&points, labels, years, &|_, year| format!("{year:.0}"), &|language, level| language.decimal(level, 2));
    let heads = [
        Words::new("Период", "Period"),
        Words::new("Уровень", "Level"),
        Words::new("Сравнимых объявлений", "Comparable listings"),
    ];
    let rows: Vec<Vec<String>> = market
        .points
        .iter()
        .map(|point| {
            vec![
                escape(&point.period.format("%Y-%m").to_string()),
                each(|language| language.decimal(point.level, 2)),
                each(|language| language.count(point.rows)),
            ]
        })
        .collect();
    let body = format!(
        "{}<div class=\"two\"><figure>{drawn}</figure>{}</div>",
        paragraph("", &explanation(market.cells, market.rows)),
        table("figures", &heads, &rows)
    );
    super::section("market", &title, &body)
}

fn explanation(cells: usize, rows: i64) -> Words {
    let cells = cells as i64;
    Words::new(
        format!(
            "Во сколько раз дороже одинаковые машины: логарифм цены разложен на уровень группы (марка, модель, возраст) и уровень \
             периода (индекс time-product dummy по медианам групп). Состав объявлений на него не влияет; пробег и комплектация не \
             учтены. Групп, встречающихся в нескольких периодах: {}; объявлений в них: {}.",
            RU.count(cells),
            RU.count(rows)
        ),
        format!(
            "How many times dearer like cars are: the logarithm of the price is split into a level of the group (make, model, age) \
             and a level of the period (time-product dummy index of the groups' medians). Which cars happen to be listed has no \
             influence; mileage and trim are not accounted for. Groups listed in several periods: {}, with {} listings.",
            EN.count(cells),
            EN.count(rows)
        ),
    )
}

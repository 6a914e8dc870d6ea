//! The market's level over time.

use chrono::{Datelike, NaiveDate};
use maud::{Markup, html};
use plot::{Line, Text};

use super::parts::{each, nothing, paragraph, render_section, table};
use super::plots::{number, text};
use crate::figures::Figures;
use crate::section::Section;
use crate::words::{EN, RU, Words};

pub(super) fn section(figures: &Figures) -> Markup {
    let title = Words::new("Уровень рынка", "The market's level");
    let Some(market) = &figures.market else {
        let words = Words::new(
            "Уровень не посчитать: нужны датированные объявления одинаковых машин хотя бы за два периода.",
            "There is no level: it takes dated listings of like cars in at least two periods.",
        );
        return render_section(Section::Market, &title, &nothing(&words));
    };
    let year = |date: NaiveDate| f64::from(date.year()) + f64::from(date.ordinal0()) / 366.0;
    let points: Vec<(f64, f64)> = market.points.iter().map(|point| (year(point.period), point.level)).collect();
    let ends = (points.first().map_or(0.0, |point| point.0), points.last().map_or(0.0, |point| point.0));
    let years = (ends.0.ceil() as i32..=ends.1.floor() as i32).map(f64::from).collect();
    let line = Line {
        points: &points,
        ticks: years,
        horizontal: text(Words::new("начало года", "begin of the year")),
        vertical: text(Words::new("цены одинаковых машин, первый период = 1", "prices of like cars, first period = 1")),
        write_horizontal: &|year| Text::plain(format!("{year:.0}")),
        write_vertical: &|level| number(|language| language.decimal(level, 2)),
    };
    let heads = [
        Words::new("Период", "Period"),
        Words::new("Уровень", "Level"),
        Words::new("Сравнимых объявлений", "Comparable listings"),
    ];
    let rows: Vec<Vec<Markup>> = market
        .points
        .iter()
        .map(|point| {
            vec![
                html! { (point.period.format("%Y-%m")) },
                each(|language| language.decimal(point.level, 2)),
                each(|language| language.count(point.rows)),
            ]
        })
        .collect();
    let body = html! {
        (paragraph(&explanation(market.cells, market.rows)))
        div.two {
            figure { @if let Some(drawn) = line.draw() { (drawn) } }
            (table("figures", &heads, &rows))
        }
    };
    render_section(Section::Market, &title, &body)
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

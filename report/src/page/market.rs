//! The market index over time.

use chrono::{Datelike, NaiveDate};
use maud::{Markup, html};
use plot::{Line, Text};

use super::parts::{each, paragraph, placeholder, render_section, table};
use super::plots::{number, text};
use crate::figures::Figures;
use crate::section::Section;
use crate::words::{EN, LocalizedText, RU, TargetWords};

pub(super) fn section(figures: &Figures) -> Markup {
    let title = LocalizedText::new("Уровень рынка", "Market index");
    let Some(market) = &figures.market else {
        let words = LocalizedText::new(
            "Уровень не посчитать: нужны датированные объявления одинаковых машин хотя бы за два периода.",
            "No index: it requires dated listings of comparable cars in at least two periods.",
        );
        return render_section(Section::Market, &title, &placeholder(&words));
    };
    let year = |date: NaiveDate| f64::from(date.year()) + f64::from(date.ordinal0()) / 366.0;
    let points: Vec<(f64, f64)> = market.points.iter().map(|point| (year(point.period), point.level)).collect();
    let ends = (points.first().map_or(0.0, |point| point.0), points.last().map_or(0.0, |point| point.0));
    let years = (ends.0.ceil() as i32..=ends.1.floor() as i32).map(f64::from).collect();
    let line = Line {
        points: &points,
        ticks: years,
        horizontal: text(LocalizedText::new("начало года", "start of year")),
        vertical: text(LocalizedText::new("уровень, первый период = 1", "index, first period = 1")),
        format_horizontal: &|year| Text::plain(format!("{year:.0}")),
        format_vertical: &|level| number(|language| language.decimal(level, 2)),
    };
    let heads = [
        LocalizedText::new("Период", "Period"),
        LocalizedText::new("Уровень", "Index"),
        LocalizedText::new("Сравнимых объявлений", "Comparable listings"),
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
        (paragraph(&explanation(figures.target(), market.cells, market.rows)))
        div.two {
            figure { @if let Some(drawn) = line.draw() { (drawn) } }
            (table("figures", &heads, &rows))
        }
    };
    render_section(Section::Market, &title, &body)
}

fn explanation(target: TargetWords, cells: usize, rows: i64) -> LocalizedText {
    let cells = cells as i64;
    LocalizedText::new(
        format!(
            "Во сколько раз больше {} одинаковых машин: логарифм разложен на уровень группы (марка, модель, возраст) и уровень \
             периода (индекс time-product dummy по медианам групп). Состав объявлений на него не влияет; пробег и комплектация не \
             учтены. Групп, встречающихся в нескольких периодах: {}; объявлений в них: {}.",
            target.name.0,
            RU.count(cells),
            RU.count(rows)
        ),
        format!(
            "The {} of comparable cars over time: its logarithm is decomposed into a group effect (make, model, age) and a period \
             effect (time-product dummy index of the group medians). The mix of listed cars does not affect it; mileage and trim \
             are not accounted for. Groups listed in several periods: {}, with {} listings.",
            target.name.1,
            EN.count(cells),
            EN.count(rows)
        ),
    )
}

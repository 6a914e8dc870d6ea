//! How the prices of a model differ from the listed ones on the test split, and how well its quantiles are calibrated.

use chrono::{DateTime, Datelike};
use domain::residuals::{ResidualBand, Residuals};
use domain::{Language, Task};
use maud::{Markup, html};
use plot::{Fan, FanBin, Heat, Mark, Scale, Scatter, Text};

use crate::pages::parts::picture;
use crate::pages::words::{format_number, format_percent};

/// Seconds of a day.
const DAY: f64 = 86_400.0;

/// All plots of residuals.
pub(super) fn draw(residuals: &Residuals, task: &Task, language: Language) -> Markup {
    let name = |russian, english| language.of_both((russian, english));
    let unit = task.unit();
    let price = |number: f64| language.short(number);
    let age = |number: f64| format_number(language, (10.0 * number).round() / 10.0);
    let parts = [
        (
            name("Цена модели и цена объявления", "Predicted and listed price"),
            name(
                "Чем темнее, тем больше объявлений; на пунктире цены равны.",
                "The darker, the more listings; on the dashed line both are equal.",
            ),
            against_each_other(residuals, unit, language),
        ),
        (
            name("Калибровка", "Calibration"),
            name(
                "Какая доля цен оказалась ниже предсказанного квантиля; при точной калибровке точки лежат на пунктире.",
                "The share of prices below each predicted quantile; with perfect calibration, the points are on the dashed line.",
            ),
            calibration(residuals, language),
        ),
        (
            name("Отклонения по возрасту", "Residuals by age"),
            "",
            fan(&residuals.by_age, "residuals-age", (name("возраст, лет", "age, years"), &age), language),
        ),
        (
            name("Отклонения по цене", "Residuals by price"),
            "",
            fan(
                &residuals.by_price,
                "residuals-price",
                (&format!("{}, {unit}", name("цена модели", "predicted price")), &price),
                language,
            ),
        ),
        (
            name("Отклонения по дате", "Residuals by date"),
            "",
            fan(&residuals.by_date, "residuals-date", (name("дата объявления", "listing date"), &date), language),
        ),
    ];
    html! {
        p.hint {
            (name("Насколько цена объявления выше или ниже цены модели: медиана, половина и 80 % объявлений. Посчитано на ",
                  "How far listed prices are above or below the predicted ones: the median, half and 80 % of the listings. Measured on "))
            (language.count(residuals.rows)) (name(" объявлениях.", " listings."))
        }
        div.plots {
            @for (title, hint, picture) in &parts {
                @if !picture.0.is_empty() {
                    div {
                        h3 { (title) }
                        @if !hint.is_empty() { p.hint { (hint) } }
                        (picture)
                    }
                }
            }
        }
    }
}

fn against_each_other(residuals: &Residuals, unit: &str, language: Language) -> Markup {
    let Residuals { price_edges: edges, counts, .. } = residuals;
    let name = |russian, english| language.of_both((russian, english));
    let band = |index: usize| format!("{} – {}", language.short(edges[index]), language.short(edges[index + 1]));
    let describe = |predicted: usize, listed: usize| {
        format!(
            "{} {}, {} {}: {}",
            name("модель", "predicted"),
            band(predicted),
            name("объявление", "listed"),
            band(listed),
            language.count(counts[predicted][listed])
        )
    };
    let heat = Heat {
        edges,
        counts,
        describe: &describe,
        horizontal: Text::plain(format!("{}, {unit}", name("цена модели", "predicted price"))),
        vertical: Text::plain(format!("{}, {unit}", name("цена объявления", "listed price"))),
        format: &|number| Text::plain(language.short(number)),
    };
    let table = html! {
        table {
            thead { tr {
                th scope="col" { (name("Цена модели", "Predicted price")) }
                th scope="col" { (name("Объявлений", "Listings")) }
                th scope="col" { (name("Чаще всего в объявлении", "Most often listed at")) }
            } }
            tbody { @for (predicted, row) in counts.iter().enumerate() {
                @let total: u32 = row.iter().sum();
                @if total > 0 {
                    @let most = row.iter().enumerate().max_by_key(|(_, count)| **count).map_or(0, |(index, _)| index);
                    tr { th scope="row" { (band(predicted)) } td { (language.count(total)) } td { (band(most)) } }
                }
            } }
        }
    };
    picture(heat.draw(), &table, "predicted-listed", language)
}

fn calibration(residuals: &Residuals, language: Language) -> Markup {
    let name = |russian, english| language.of_both((russian, english));
    let text = |level: f64, observed: f64| {
        format!(
            "{} {}: {} {}",
            name("квантиль", "quantile"),
            format_percent(language, level),
            format_percent(language, observed),
            name("цен ниже", "of prices are below")
        )
    };
    let quantiles = residuals.calibration.iter();
    let marks: Vec<Mark> = quantiles
        .map(|quantile| Mark {
            at: (quantile.level, quantile.observed),
            class: "knot",
            text: text(quantile.level, quantile.observed),
        })
        .collect();
    let curve = marks.iter().map(|mark| mark.at).collect();
    let percent = |share: f64| Text::plain(format!("{:.0} %", 100.0 * share));
    let scatter = Scatter {
        marks: &marks,
        lines: &[("mark", vec![(0.0, 0.0), (1.0, 1.0)]), ("median", curve)],
        scales: (Scale::Linear, Scale::Linear),
        ticks: None,
        horizontal: Text::plain(name("уровень квантиля", "level of the quantile")),
        vertical: Text::plain(name("доля цен ниже него", "share of prices below it")),
        format_horizontal: &percent,
        format_vertical: &percent,
    };
    let table = html! {
        table {
            thead { tr {
                th scope="col" { (name("Уровень", "Level")) }
                th scope="col" { (name("Цен ниже", "Prices below")) }
            } }
            tbody { @for quantile in &residuals.calibration {
                tr { th scope="row" { (format_percent(language, quantile.level)) } td { (format_percent(language, quantile.observed)) } }
            } }
        }
    };
    picture(scatter.draw(), &table, "calibration", language)
}

/// The residuals along a variable, whose label and numbers are given.
fn fan(
    bands: &[ResidualBand],
    id: &str,
    (label, format): (&str, &dyn Fn(f64) -> String),
    language: Language,
) -> Markup {
    let name = |russian, english| language.of_both((russian, english));
    let difference = |ratio: f64| signed_percent(ratio - 1.0);
    let range = |band: &ResidualBand| match (format(band.low), format(band.high)) {
        (low, high) if low == high => low,
        (low, high) => format!("{low} – {high}"),
    };
    let text = |band: &ResidualBand| {
        let [low, .., high] = band.quantiles.map(difference);
        format!("{}: {} ({low} … {high}), {}", range(band), difference(band.quantiles[2]), language.count(band.rows))
    };
    let bins: Vec<FanBin> = bands
        .iter()
        .map(|band| FanBin { at: band.middle, quantiles: band.quantiles.map(|ratio| ratio.max(0.01)) })
        .collect();
    let texts: Vec<String> = bands.iter().map(text).collect();
    let plot = Fan {
        bins: &bins,
        texts: &texts,
        points: &[],
        margin: 1.04,
        ticks: None,
        horizontal: Text::plain(label),
        vertical: Text::plain(name("отклонение объявления", "listed against predicted")),
        format_horizontal: &|number| Text::plain(format(number)),
        format_vertical: &|ratio| Text::plain(difference(ratio)),
    };
    let table = html! {
        table {
            thead { tr {
                th scope="col" { (label) }
                th scope="col" { (name("Объявлений", "Listings")) }
                @for share in ["10 %", "25 %", "50 %", "75 %", "90 %"] { th scope="col" { (share) } }
            } }
            tbody { @for band in bands {
                tr {
                    th scope="row" { (range(band)) }
                    td { (language.count(band.rows)) }
                    @for ratio in band.quantiles { td { (difference(ratio)) } }
                }
            } }
        }
    };
    // A single band has no course.
    picture(plot.draw().filter(|_| bands.len() > 1), &table, id, language)
}

fn signed_percent(share: f64) -> String {
    let percent = (100.0 * share).round();
    match percent {
        _ if percent > 0.0 => format!("+{percent:.0} %"),
        _ if percent < 0.0 => format!("\u{2212}{:.0} %", -percent),
        _ => "0 %".to_owned(),
    }
}

/// The month of a day since 1970-01-01.
fn date(days: f64) -> String {
    #[expect(clippy::cast_possible_truncation, reason = "days of listings")]
    let time = DateTime::from_timestamp((days * DAY) as i64, 0);
    time.map(|time| format!("{}-{:02}", time.year(), time.month())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_have_signs_and_days_are_months() {
        assert_eq!([0.104, -0.251, 0.001].map(signed_percent), ["+10 %", "\u{2212}25 %", "0 %"]);
        assert_eq!(date(20_454.0), "2026-01");
    }
}

//! Prices against age, mileage, power and date, and correlations.

use domain::identity::DAYS_PER_YEAR;
use domain::{Column, capitalized};
use maud::{Markup, Render as _, html};
use plot::{Fan, FanBin, Text};

use super::parts::{Bar, Cell, HeatRow, bars, column_title, figure, heat_map, paragraph, render_section};
use super::plots::{number, text};
use crate::figures::Figures;
use crate::figures::relations::{Measure, PriceAgainst, PriceAxis};
use crate::section::Section;
use crate::words::{EN, LocalizedText, RU};

pub(super) fn prices(figures: &Figures) -> Markup {
    let legend = LocalizedText::new(
        "Линия — медиана; тёмная полоса — половина объявлений (25–75 %); светлая — восемь из десяти (10–90 %); точки — \
         отдельные объявления.",
        "Line: median; dark band: half of the listings (25–75 %); light band: 80 % of the listings (10–90 %); dots: \
         individual listings.",
    );
    let title = LocalizedText::new(
        capitalized(figures.target().name.0) + " в зависимости от возраста, пробега, мощности и даты",
        capitalized(figures.target().name.1) + " against age, mileage, power and date",
    );
    let body = html! {
        (paragraph(&legend))
        div.two { @for prices in &figures.prices { (price_plot(figures, prices)) } }
    };
    render_section(Section::Prices, &title, &body)
}

fn price_plot(figures: &Figures, prices: &PriceAgainst) -> Markup {
    let (title, label) = match prices.axis {
        PriceAxis::Age => {
            (LocalizedText::new("Возраст", "Age"), LocalizedText::new("возраст машины, лет", "age of the car, years"))
        }
        PriceAxis::Mileage => (
            LocalizedText::new("Пробег", "Mileage"),
            LocalizedText::each(|language| column_title(figures, Column::Mileage).get(language).to_lowercase()),
        ),
        PriceAxis::Power => {
            (LocalizedText::new("Мощность", "Engine power"), LocalizedText::new("мощность, л. с.", "engine power, hp"))
        }
        PriceAxis::Date => {
            (LocalizedText::new("Дата объявления", "Listing date"), LocalizedText::new("начало года", "start of year"))
        }
    };
    let is_date = prices.axis == PriceAxis::Date;
    let bins: Vec<FanBin> = prices.bins.iter().map(|bin| FanBin { at: bin.at, quantiles: bin.prices }).collect();
    let fan = Fan {
        texts: &[],
        margin: 1.3,
        bins: &bins,
        points: &prices.points,
        ticks: is_date.then(|| year_ticks(&bins)),
        horizontal: text(label),
        vertical: text(LocalizedText::new(
            format!("{}, {} (логарифмическая шкала)", figures.target().name.0, figures.unit(RU, Column::Price)),
            format!("{}, {} (logarithmic scale)", figures.target().name.1, figures.unit(EN, Column::Price)),
        )),
        format_horizontal: &|value| {
            if is_date {
                Text::plain(format!("{:.0}", year_of(value)))
            } else {
                number(|language| language.short(value))
            }
        },
        format_vertical: &|price| number(|language| language.short(price)),
    };
    let caption = LocalizedText::new(
        "Здесь видно и то, какие машины когда выставлены; об одинаковых машинах — раздел «Уровень рынка».",
        "This also reflects the mix of cars listed at the time; for comparable cars see “Market index”.",
    );
    figure(&title, fan.draw(), (is_date && !bins.is_empty()).then(|| caption.render()))
}

/// The year of a day counted from 1970-01-01.
fn year_of(day: f64) -> f64 {
    1970.0 + day / DAYS_PER_YEAR
}

fn year_ticks(bins: &[FanBin]) -> Vec<f64> {
    let (Some(first), Some(last)) = (bins.first(), bins.last()) else { return Vec::new() };
    let years = year_of(first.at).ceil() as i32..=year_of(last.at).floor() as i32;
    years.map(|year| (f64::from(year) - 1970.0) * DAYS_PER_YEAR).collect()
}

pub(super) fn section(figures: &Figures) -> Markup {
    let target = figures.target();
    let explains: Vec<Bar> = figures
        .explains
        .iter()
        .map(|explains| Bar {
            name: LocalizedText::each(|language| figures.label(language, explains.column).to_owned()),
            length: explains.share,
            label: LocalizedText::each(|language| language.percent(explains.share)),
        })
        .collect();
    let caption = LocalizedText::new(
        format!(
            "Доля разброса логарифма {} между значениями столбца (эпсилон-квадрат, с поправкой на число значений) среди \
             объявлений, где он известен. Модель — вместе с маркой, поколение — вместе с маркой и моделью.",
            target.of.0
        ),
        format!(
            "Share of the variance of the log {} explained by the column (epsilon squared, corrected for the number of \
             values), among listings that have it. The model is taken with its make, the generation with make and model.",
            target.of.1
        ),
    );
    let title = LocalizedText::new(
        format!("Какую долю разброса {} объясняет один столбец", target.of.0),
        format!("Variance of the log {} explained by each column", target.of.1),
    );
    let drawn = (!explains.is_empty()).then(|| bars(&explains));
    let body = html! {
        (figure(&title, drawn, Some(caption.render())))
        (correlations(figures))
    };
    render_section(Section::Relations, &LocalizedText::new("Связи", "Relations"), &body)
}

fn correlations(figures: &Figures) -> Markup {
    let name = |measure: &Measure| match measure {
        Measure::Age => LocalizedText::new("возраст", "age"),
        Measure::Of(column) => LocalizedText::each(|language| figures.label(language, *column).to_owned()),
    };
    let cell = |rho: &Option<f64>| Cell {
        intensity: rho.unwrap_or(0.0),
        label: rho.map_or_else(
            || LocalizedText::same("—"),
            |rho| LocalizedText::each(|language| language.decimal(rho, 2).replace('-', "−")),
        ),
    };
    let correlations = &figures.correlations;
    let heads: Vec<LocalizedText> = correlations.names.iter().map(name).collect();
    let cells = correlations.rho.iter().map(|rho| rho.iter().map(cell).collect());
    let rows: Vec<HeatRow> = heads.iter().cloned().zip(cells).collect();
    let caption = LocalizedText::new(
        "От −1 до 1; оранжевый — положительная связь, синий — отрицательная; «—» — слишком мало данных.",
        "From −1 to 1; orange is positive, blue is negative; “—” means not enough data.",
    );
    html! {
        h3 { (LocalizedText::new("Ранговая корреляция (Спирмен)", "Rank correlation (Spearman)")) }
        (paragraph(&caption))
        (heat_map(&heads, &rows))
    }
}

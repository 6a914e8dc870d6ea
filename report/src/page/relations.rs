//! Prices along age, mileage, power and date, and what goes with what.

use super::parts::{Bar, Cell, bars, both, figure, heading, heat_map, paragraph};
use crate::figures::Figures;
use crate::figures::relations::{Along, Measure, PriceAgainst};
use crate::plot::fan;
use crate::words::{Language, Words};
use domain::identity::DAYS_PER_YEAR;

pub(super) fn prices(figures: &Figures) -> String {
    let drawn: String = figures.prices.iter().map(against).collect();
    let legend = paragraph(
        "",
        &Words::new(
            "Линия — медиана цены; тёмная полоса — половина объявлений (25–75 %); светлая — восемь из десяти (10–90 %); точки — \
             отдельные объявления.",
            "The line is the median price, the dark band half of the listings (25–75 %), the light band eight in ten (10–90 %), the \
             dots single listings.",
        ),
    );
    let title = Words::new(
        "Цена в зависимости от возраста, пробега, мощности и даты",
        "Price against age, mileage, power and date",
    );
    super::section("prices", &title, &format!("{legend}<div class=\"two\">{drawn}</div>"))
}

fn against(prices: &PriceAgainst) -> String {
    let (title, label) = match prices.along {
        Along::Age => (Words::new("Возраст", "Age"), Words::new("возраст машины, лет", "age of the car, years")),
        Along::Mileage => (Words::new("Пробег", "Mileage"), Words::new("пробег, км", "mileage, km")),
        Along::Power => (Words::new("Мощность", "Engine power"), Words::new("мощность, л. с.", "engine power, hp")),
        Along::Date => (Words::new("Дата объявления", "Listing date"), Words::new("начало года", "begin of the year")),
    };
    let drawn = if prices.along == Along::Date {
        let year = |days: f64| 1970.0 + days / DAYS_PER_YEAR;
        let ends = prices.bins.first().zip(prices.bins.last()).map(|(first, last)| (year(first.at), year(last.at)));
        let years = ends.map_or(0..=0, |(first, last)| first.ceil() as i32..=last.floor() as i32);
        let ticks = years.map(|year| (f64::from(year) - 1970.0) * DAYS_PER_YEAR).collect();
        fan(prices, &label, Some(ticks), &|_, days| format!("{:.0}", year(days)))
    } else {
        fan(prices, &label, None, &Language::short)
    };
    let caption = if prices.along == Along::Date && !prices.bins.is_empty() {
        both(&Words::new(
            "Здесь видно и то, какие машины когда выставлены; рост цен одинаковых машин — в разделе «Уровень рынка».",
            "This shows as well which cars were listed when; the rise of like cars' prices is under “The market's level”.",
        ))
    } else {
        String::new()
    };
    figure(&title, &drawn, &caption)
}

pub(super) fn section(figures: &Figures) -> String {
    let explains: Vec<Bar> = figures
        .explains
        .iter()
        .map(|explains| Bar {
            name: Words::each(|language| language.column(explains.column).to_owned()),
            length: explains.share,
            says: Words::each(|language| language.percent(explains.share)),
        })
        .collect();
    let alone = figure(
        &Words::new("Что один столбец объясняет в цене", "What a column alone explains of the price"),
        &if explains.is_empty() { String::new() } else { bars(&explains) },
        &both(&Words::new(
            "Доля разброса логарифма цены между значениями столбца (эпсилон-квадрат, с поправкой на число значений) среди \
             объявлений, где он известен. Модель — вместе с маркой, поколение — вместе с маркой и моделью.",
            "The share of the spread of the log price between the column's values (epsilon squared, corrected for their number), \
             among listings that have it. The model is taken with its make, the generation with make and model.",
        )),
    );
    super::section("relations", &Words::new("Связи", "Relations"), &(alone + &correlations(figures)))
}

fn correlations(figures: &Figures) -> String {
    let name = |measure: &Measure| {
        both(&Words::each(|language| match measure {
            Measure::Age => Words::new("возраст", "age").get(language).to_owned(),
            Measure::Of(column) => language.column(*column).to_owned(),
        }))
    };
    let correlations = &figures.correlations;
    let heads: Vec<String> = correlations.names.iter().map(name).collect();
    let cell = |rho: &Option<f64>| Cell {
        warmth: rho.unwrap_or(0.0),
        says: rho.map_or_else(
            || Words::new("—", "—"),
            |rho| Words::each(|language| language.decimal(rho, 2).replace('-', "−")),
        ),
    };
    let rows: Vec<(String, Vec<Cell>)> = correlations
        .names
        .iter()
        .zip(&correlations.rho)
        .map(|(measure, rho)| (name(measure), rho.iter().map(cell).collect()))
        .collect();
    heading(&Words::new("Ранговая корреляция (Спирмен)", "Rank correlation (Spearman)"))
        + &paragraph(
            "",
            &Words::new(
                "От −1 до 1; оранжевое растёт вместе, синее — одно растёт, другое падает; «—» — слишком мало данных.",
                "From −1 to 1; orange rises together, blue falls as the other rises; “—” means too few data.",
            ),
        )
        + &heat_map(&Words::new("", ""), &heads, &rows)
}

//! How numbers spread and which texts are frequent.

use domain::Column;
use storage::exploration::{Counted, TextProfile};

use super::parts::{Bar, bars, both, figure};
use crate::explore::Exploration;
use crate::explore::distribution::{NumberColumn, TextColumn};
use crate::explore::plot::histogram;
use crate::explore::words::{EN, Language, RU, Words};

pub(super) fn section(figures: &Exploration) -> String {
    let drawn: String = figures.numbers.iter().map(number).collect();
    super::section("numbers", &Words::new("Числа", "Numbers"), &format!("<div class=\"two\">{drawn}</div>"))
}

fn title(column: Column) -> Words {
    Words::each(|language| {
        let (name, unit) = (language.column(column), language.unit(column));
        let mut title = name.to_owned();
        if let Some(first) = name.chars().next() {
            title.replace_range(..first.len_utf8(), &first.to_uppercase().to_string());
        }
        if unit.is_empty() { title } else { format!("{title}, {unit}") }
    })
}

fn number(number: &NumberColumn) -> String {
    let column = number.column;
    let write = |language: Language, value: f64| match column {
        Column::Year => format!("{value:.0}"),
        _ => language.short(value),
    };
    let median = number.profile.quantiles.get(4).copied();
    let scale = if number.is_logarithmic {
        Words::new(" (логарифмическая шкала)", " (logarithmic scale)")
    } else {
        Words::new("", "")
    };
    let drawn = histogram(&number.histogram, number.is_logarithmic, median, title(column).then(&scale), &write);
    figure(&title(column), &drawn, &caption(number))
}

/// Quantiles, outliers and frequent numbers in sentences.
fn caption(number: &NumberColumn) -> String {
    let (column, profile) = (number.column, &number.profile);
    if profile.quantiles.len() < 9 {
        return both(&Words::new("Не заполнен ни разу.", "No listing has a value."));
    }
    let words = Words::each(|language| {
        let of = |value: f64| language.of(column, value);
        let quantiles: Vec<String> = profile.quantiles.iter().map(|value| of(*value)).collect();
        let values = |counted: &[Counted]| {
            counted
                .iter()
                .map(|counted| format!("{} ({}×)", of(counted.number), language.count(counted.rows)))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (known, distinct) = (language.count(profile.known), language.count(profile.distinct));
        let mut told = if language == RU {
            format!(
                "Известно {known}, разных значений {distinct}. Наименьшее {}; 1 % — {}; 5 % — {}; четверть — {}; половина — {}; \
                 три четверти — {}; 95 % — {}; 99 % — {}; наибольшее {}. Чаще всего: {}.",
                quantiles[0],
                quantiles[1],
                quantiles[2],
                quantiles[3],
                quantiles[4],
                quantiles[5],
                quantiles[6],
                quantiles[7],
                quantiles[8],
                values(&profile.frequent)
            )
        } else {
            format!(
                "Known {known}, different values {distinct}. Lowest {}; 1 % {}; 5 % {}; quarter {}; half {}; three quarters {}; \
                 95 % {}; 99 % {}; highest {}. Most frequent: {}.",
                quantiles[0],
                quantiles[1],
                quantiles[2],
                quantiles[3],
                quantiles[4],
                quantiles[5],
                quantiles[6],
                quantiles[7],
                quantiles[8],
                values(&profile.frequent)
            )
        };
        told += &outliers(language, number, &values);
        told
    });
    both(&words)
}

fn outliers(language: Language, number: &NumberColumn, values: &dyn Fn(&[Counted]) -> String) -> String {
    let profile = &number.profile;
    let of = |value: f64| language.of(number.column, value);
    let mut told = String::new();
    if profile.below + profile.above == 0 {
        return Words::new(" Далёких выбросов нет.", " There is no far outlier.").get(language).to_owned();
    }
    if profile.above > 0 {
        let (above, fence) = (language.count(profile.above), of(profile.fences.1));
        let words = Words::new(" Далеко вверху (больше {fence}): ", " Far above (over {fence}): ");
        told += &words.get(language).replace("{fence}", &fence);
        told += &format!("{above} — {}.", values(&profile.highest));
    }
    if profile.below > 0 {
        let (below, fence) = (language.count(profile.below), of(profile.fences.0));
        let words = Words::new(" Далеко внизу (меньше {fence}): ", " Far below (under {fence}): ");
        told += &words.get(language).replace("{fence}", &fence);
        told += &format!("{below} — {}.", values(&profile.lowest));
    }
    told
}

pub(super) fn texts(figures: &Exploration) -> String {
    let shown = figures.texts.iter().filter(|text| text.column != Column::Brand);
    let drawn: String =
        shown.map(|text| figure(&title(text.column), &text_bars(figures, text), &tail(&text.profile))).collect();
    super::section(
        "texts",
        &Words::new("Категории и их хвост", "Categories and their long tail"),
        &format!("<div class=\"two\">{drawn}</div>"),
    )
}

/// The frequent values of a text column, and its tail.
pub(super) fn frequent(figures: &Exploration, column: Column) -> String {
    let text = figures.texts.iter().find(|text| text.column == column);
    text.map_or_else(String::new, |text| {
        format!("{}<figcaption>{}</figcaption>", text_bars(figures, text), tail(&text.profile))
    })
}

fn text_bars(figures: &Exploration, text: &TextColumn) -> String {
    let profile = &text.profile;
    let bar = |name: Words, rows: i64| Bar {
        name,
        length: rows as f64,
        says: Words::each(|language| format!("{} · {}", language.count(rows), language.percent(figures.share(rows)))),
    };
    let mut shown: Vec<Bar> =
        profile.top.iter().map(|value| bar(Words::new(value.value.clone(), value.value.clone()), value.rows)).collect();
    let others = profile.distinct - profile.top.len() as i64;
    if others > 0 {
        let rows = profile.known - profile.top.iter().map(|value| value.rows).sum::<i64>();
        let name = Words::new(format!("ещё {}", RU.count(others)), format!("{} more", EN.count(others)));
        shown.push(bar(name, rows));
    }
    let missing = figures.overview.rows - profile.known;
    if missing > 0 {
        shown.push(bar(Words::new("— нет —", "— missing —"), missing));
    }
    bars(&shown)
}

fn tail(profile: &TextProfile) -> String {
    both(&Words::each(|language| {
        let count = |number: i64| language.count(number);
        let (half, most, nearly) =
            (count(profile.values_for_50), count(profile.values_for_90), count(profile.values_for_99));
        let (distinct, rare, rows) = (count(profile.distinct), count(profile.rare_values), count(profile.rare_rows));
        if language == RU {
            format!(
                "Значений {distinct}. Половину заполненных дают {half}, 90 % — {most}, 99 % — {nearly}. Реже 10 раз встречаются {rare} \
                 ({rows} объявлений)."
            )
        } else {
            format!(
                "{distinct} values. Half of the known are {half} of them, 90 % {most}, 99 % {nearly}. Under 10 listings each: \
                 {rare} ({rows} listings)."
            )
        }
    }))
}

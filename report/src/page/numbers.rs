//! How numbers spread and which texts are frequent.

use domain::Column;
use storage::profile::{Counted, TAILS, TextProfile};

use super::parts::{Bar, bars, both, figure, table};
use crate::figures::Figures;
use crate::figures::distribution::{NumberColumn, TextColumn};
use crate::plot::histogram;
use crate::words::{EN, Language, RU, Words};

pub(super) fn section(figures: &Figures) -> String {
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
    let drawn = histogram(&number.histogram, number.is_logarithmic, median, &title(column).then(&scale), &write);
    figure(&title(column), &drawn, &caption(number))
}

/// Quantiles, frequent numbers, and what lies far out.
fn caption(number: &NumberColumn) -> String {
    let (column, profile) = (number.column, &number.profile);
    if profile.quantiles.len() < TAILS.len() {
        return both(&Words::new("Не заполнен ни разу.", "No listing has a value."));
    }
    let told = Words::each(|language| {
        let (known, distinct) = (language.count(profile.known), language.count(profile.distinct));
        let frequent = values(language, column, &profile.frequent);
        if language == RU {
            format!("Известно {known}, разных значений {distinct}. Чаще всего: {frequent}.")
        } else {
            format!("Known {known}, different values {distinct}. Most frequent: {frequent}.")
        }
    });
    let outliers = Words::each(|language| outliers(language, number));
    format!("{}<p>{}</p><p>{}</p>", quantiles(number), both(&told), both(&outliers))
}

fn quantiles(number: &NumberColumn) -> String {
    let heads = TAILS.map(|tail| match tail {
        0.0 => Words::new("наим.", "lowest"),
        1.0 => Words::new("наиб.", "highest"),
        tail => Words::each(|_| format!("{}\u{a0}%", 100.0 * tail)),
    });
    let write = |language: Language, value: f64| match number.column {
        Column::Year => format!("{value:.0}"),
        _ => language.short(value),
    };
    let cells = number.profile.quantiles.iter().map(|value| both(&Words::each(|language| write(language, *value))));
    table("quantiles", &heads, &[cells.collect()])
}

fn values(language: Language, column: Column, counted: &[Counted]) -> String {
    let told = counted
        .iter()
        .map(|counted| format!("{} ({}×)", language.of(column, counted.number), language.count(counted.rows)));
    told.collect::<Vec<_>>().join(", ")
}

fn outliers(language: Language, number: &NumberColumn) -> String {
    let (column, profile) = (number.column, &number.profile);
    if profile.below + profile.above == 0 {
        return Words::new("Далёких выбросов нет.", "There is no far outlier.").get(language).to_owned();
    }
    let side = |rows: i64, fence: f64, shown: &[Counted], words: Words| {
        let (rows, fence, shown) = (language.count(rows), language.of(column, fence), values(language, column, shown));
        if rows == "0" { String::new() } else { format!("{} {fence}: {rows} — {shown}. ", words.get(language)) }
    };
    let above = Words::new("Далеко вверху, больше", "Far above, over");
    let below = Words::new("Далеко внизу, меньше", "Far below, under");
    side(profile.above, profile.fences.1, &profile.highest, above)
        + &side(profile.below, profile.fences.0, &profile.lowest, below)
}

pub(super) fn texts(figures: &Figures) -> String {
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
pub(super) fn frequent(figures: &Figures, column: Column) -> String {
    let text = figures.texts.iter().find(|text| text.column == column);
    text.map_or_else(String::new, |text| {
        format!("{}<figcaption>{}</figcaption>", text_bars(figures, text), tail(&text.profile))
    })
}

fn text_bars(figures: &Figures, text: &TextColumn) -> String {
    let profile = &text.profile;
    let bar = |name: Words, rows: i64, length: i64| Bar {
        name,
        length: length as f64,
        says: Words::each(|language| format!("{} · {}", language.count(rows), language.percent(figures.share(rows)))),
    };
    let mut shown: Vec<Bar> = profile
        .top
        .iter()
        .map(|value| bar(Words::new(value.value.clone(), value.value.clone()), value.rows, value.rows))
        .collect();
    let others = profile.distinct - profile.top.len() as i64;
    if others > 0 {
        let rows = profile.known - profile.top.iter().map(|value| value.rows).sum::<i64>();
        let name = Words::new(format!("ещё {}", RU.count(others)), format!("{} more", EN.count(others)));
        shown.push(bar(name, rows, 0));
    }
    let missing = figures.overview.rows - profile.known;
    if missing > 0 {
        shown.push(bar(Words::new("— нет —", "— missing —"), missing, 0));
    }
    bars(&shown)
}

/// How long the tail is, where not all values are shown.
fn tail(profile: &TextProfile) -> String {
    if profile.distinct <= profile.top.len() as i64 {
        return String::new();
    }
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

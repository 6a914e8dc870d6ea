//! Findings about rows: the market, relisted cars, sources and dates.

use domain::Column;

use super::finding::{Finding, Severity, finding};
use crate::figures::Figures;
use crate::section::Section;
use crate::words::{EN, LocalizedText, RU};

/// Number of listings below which figures are unreliable.
const MIN_RELIABLE_ROWS: i64 = 2_000;
/// Smallest change of the market worth reporting, as a factor up or down.
const MIN_MARKET_CHANGE: f64 = 1.15;
/// Share of the largest source from which a month counts as having a single source.
const SINGLE_SOURCE_SHARE: f64 = 0.9;
/// Share of relisted cars that is critical.
const CRITICAL_RELISTED_SHARE: f64 = 0.01;
/// Share of relisted cars worth reporting.
const MIN_RELISTED_SHARE: f64 = 0.000_5;

pub(super) fn market_change(figures: &Figures) -> Option<Finding> {
    let market = figures.market.as_ref()?;
    let (first, last) = (market.points.first()?, market.points.last()?);
    let rise = market.total_change();
    if (1.0 / MIN_MARKET_CHANGE..MIN_MARKET_CHANGE).contains(&rise) {
        return None;
    }
    let text = LocalizedText::each(|language| {
        let month = |period: chrono::NaiveDate| period.format("%Y-%m").to_string();
        let (from, to) = (month(first.period), month(last.period));
        let (times, cells, rows) =
            (language.decimal(rise, 2), language.count(market.cells as i64), language.count(market.rows));
        let change = match rise {
            rise if rise >= 2.2 => language.of_both(("рынок вырос больше чем вдвое", "the market more than doubled")),
            rise if rise >= 1.8 => language.of_both(("рынок удвоился", "the market doubled")),
            rise if rise > 1.0 => language.of_both(("рынок вырос", "the market rose")),
            _ => language.of_both(("рынок упал", "the market fell")),
        };
        if language == RU {
            let cost = if rise > 1.0 { "подорожали в" } else { "стоят от прежней цены" };
            let unit = if rise > 1.0 { " раза" } else { "" };
            format!(
                "С {from} по {to} {change}: одинаковые машины {cost} {times}{unit} (та же марка, модель и возраст; {cells} групп, \
                 {rows} объявлений)."
            )
        } else {
            format!(
                "From {from} to {to} {change}: comparable cars cost {times} times as much (same make, model and age; {cells} \
                 groups, {rows} listings)."
            )
        }
    });
    Some(finding(
        Severity::Critical,
        Section::Market,
        text,
        LocalizedText::new(
            "Цены номинальные: дата объявления должна быть признаком модели, а оценка — на уровне названного дня.",
            "Prices are nominal: use the listing date as a feature, and value cars as of a given date.",
        ),
    ))
}

pub(super) fn confounded_dates(figures: &Figures) -> Option<Finding> {
    if figures.overview.sources < 2 || figures.months.len() < 2 {
        return None;
    }
    let alone: Vec<_> = figures.months.iter().filter(|month| month.largest_source >= SINGLE_SOURCE_SHARE).collect();
    let rows: i64 = alone.iter().map(|month| month.rows).sum();
    let share = rows as f64 / figures.overview.dated.max(1) as f64;
    if share < 0.5 {
        return None;
    }
    let text = LocalizedText::each(|language| {
        let (alone, months) = (language.count(alone.len() as i64), language.count(figures.months.len() as i64));
        let share = language.percent(share);
        if language == RU {
            format!(
                "Дату и источник не разделить: в {alone} месяцах из {months} почти все объявления — из одного источника \
                 ({share} датированных объявлений)."
            )
        } else {
            format!(
                "Date and source are confounded: in {alone} of {months} months nearly all listings come from a single source \
                 ({share} of the dated listings)."
            )
        }
    });
    Some(finding(
        Severity::Critical,
        Section::Rows,
        text,
        LocalizedText::new(
            "Всё, что отличает источники (регион, состав полей), модель может принять за время. Сверяйте точность по источникам.",
            "The model may mistake any difference between sources (region, filled-in fields) for a trend. Compare accuracy by source.",
        ),
    ))
}

pub(super) fn relisted_cars(figures: &Figures) -> Option<Finding> {
    let repeats = &figures.repeats;
    if figures.share(repeats.rows) < MIN_RELISTED_SHARE {
        return None;
    }
    let text = LocalizedText::each(|language| {
        let (rows, cars) = (language.count(repeats.rows), language.count(repeats.cars));
        let (share, repriced) = (language.percent(figures.share(repeats.rows)), language.count(repeats.repriced_rows));
        let different = language.of_both(figures.target().different);
        let ratio = repeats.median_price_ratio.map_or_else(String::new, |ratio| {
            let ratio = language.percent(ratio - 1.0);
            if language == RU {
                format!("; медианная разница — {ratio}")
            } else {
                format!("; the median difference is {ratio}")
            }
        });
        if language == RU {
            format!(
                "Повторно выставленные машины: {rows} объявлений ({share}) — это {cars} машин; {repriced} из них — \
                 {different}{ratio}."
            )
        } else {
            format!(
                "Relisted cars: {rows} listings ({share}) belong to {cars} cars listed more than once, {repriced} of them \
                 {different}{ratio}."
            )
        }
    });
    let severity =
        if figures.share(repeats.rows) >= CRITICAL_RELISTED_SHARE { Severity::Critical } else { Severity::Warning };
    Some(finding(
        severity,
        Section::Repeats,
        text,
        LocalizedText::new(
            "Делите на обучение и проверку по машинам, а не по объявлениям (Probeg так и делает), иначе на проверке окажутся уже знакомые машины.",
            "Split by car, not by listing (as Probeg does), or the test set contains cars seen in training.",
        ),
    ))
}

pub(super) fn identical_descriptions(figures: &Figures) -> Option<Finding> {
    let rows = figures.repeats.same_description_other_split;
    let share = figures.share(rows);
    if share < 0.002 {
        return None;
    }
    Some(finding(
        if share >= 0.05 { Severity::Critical } else { Severity::Warning },
        Section::Repeats,
        LocalizedText::each(|language| {
            let (rows, share) = (language.count(rows), language.percent(share));
            if language == RU {
                format!(
                    "{rows} объявлений ({share}) описаны слово в слово как другая машина из другой части выборки: либо одна машина \
                     под двумя номерами, либо одинаковые машины."
                )
            } else {
                format!(
                    "{rows} listings ({share}) have the same description as a car in another split: one car under two \
                     identifiers, or two identical cars."
                )
            }
        }),
        LocalizedText::new(
            "Точность на проверке немного завышена этими строками; сравните её без них.",
            "They slightly inflate the test accuracy; compare it without them.",
        ),
    ))
}

pub(super) fn missing_dates(figures: &Figures) -> Option<Finding> {
    let without = figures.overview.rows - figures.overview.dated;
    if figures.share(without) < 0.05 {
        return None;
    }
    Some(finding(
        Severity::Critical,
        Section::Rows,
        LocalizedText::each(|language| {
            let (without, share) = (language.count(without), language.percent(figures.share(without)));
            if language == RU {
                format!("Без даты объявления: {without} ({share}).")
            } else {
                format!("Listings without a date: {without} ({share}).")
            }
        }),
        LocalizedText::new(
            "Уровень рынка и возраст машины по ним не определить: добавьте столбец listing_date.",
            "Their market level and the age of the car are unknown: add a listing_date column.",
        ),
    ))
}

pub(super) fn missing_sources(figures: &Figures) -> Option<Finding> {
    (figures.overview.sources == 0).then(|| {
        finding(
            Severity::Note,
            Section::Rows,
            LocalizedText::new("Источник не указан ни в одном объявлении.", "No listing has a source."),
            LocalizedText::new(
                "Со столбцом source отчёт покажет, чем различаются источники.",
                "With a source column, the report compares the sources.",
            ),
        )
    })
}

pub(super) fn few_listings(figures: &Figures) -> Option<Finding> {
    (figures.overview.rows < MIN_RELIABLE_ROWS).then(|| {
        finding(
            Severity::Warning,
            Section::Rows,
            LocalizedText::new(
                format!("Объявлений всего {}: доли и квантили ниже ненадёжны.", RU.count(figures.overview.rows)),
                format!(
                    "There are only {} listings: the shares and quantiles below are unreliable.",
                    EN.count(figures.overview.rows)
                ),
            ),
            LocalizedText::new("Для обучения нужны тысячи объявлений.", "Training needs thousands of listings."),
        )
    })
}

pub(super) fn dominant_make(figures: &Figures) -> Option<Finding> {
    let brands = figures.text(Column::Brand)?;
    let first = brands.profile.top.first()?;
    let share = figures.share(first.rows);
    (share >= 0.15 && brands.profile.distinct > 1).then(|| {
        finding(
            Severity::Note,
            Section::Rows,
            LocalizedText::each(|language| {
                let (rows, share, brand) = (language.count(first.rows), language.percent(share), &first.value);
                let others = language.count(brands.profile.distinct - 1);
                if language == RU {
                    format!("Одна марка преобладает: {brand} — {rows} объявлений ({share}); остальных марок {others}.")
                } else {
                    format!(
                        "One make dominates: {brand} has {rows} listings ({share}); there are {others} other makes."
                    )
                }
            }),
            LocalizedText::new(
                "Средняя точность — это во многом точность на ней: смотрите карту точности по маркам.",
                "Mean accuracy is largely accuracy on this make: check the accuracy card by make.",
            ),
        )
    })
}

pub(super) fn skipped_rows(figures: &Figures) -> Option<Finding> {
    let repeats = &figures.repeats;
    (repeats.exact > 0 || repeats.rejected > 0).then(|| {
        finding(
            Severity::Note,
            Section::Repeats,
            LocalizedText::each(|language| {
                let (exact, rejected) = (language.count(repeats.exact), language.count(repeats.rejected));
                if language == RU {
                    format!("При импорте не записано: точных повторов — {exact}, отвергнутых строк — {rejected}.")
                } else {
                    format!("Imports skipped {exact} exact duplicates and {rejected} rejected rows.")
                }
            }),
            LocalizedText::new(
                "Ничего делать не нужно; отвергнутые строки — в файле *.rejects.csv.",
                "No action needed; rejected rows are in *.rejects.csv.",
            ),
        )
    })
}

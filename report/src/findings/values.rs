//! Findings about values: outliers and contradictions.

use domain::Column;
use storage::profile::Check;

use super::finding::{Finding, Severity, column_name, finding, join_list};
use crate::figures::Figures;
use crate::section::Section;
use crate::words::{EN, LocalizedText, RU};

pub(super) fn outliers(figures: &Figures) -> Option<Finding> {
    let columns: Vec<_> =
        figures.numbers.iter().filter(|number| number.profile.below + number.profile.above > 0).collect();
    if columns.is_empty() {
        return None;
    }
    let listed = LocalizedText::each(|language| {
        join_list(columns.iter().map(|number| {
            let profile = &number.profile;
            let extreme = profile.highest.first().or(profile.lowest.first());
            let extreme =
                extreme.map_or_else(String::new, |extreme| figures.quantity(language, number.column, extreme.number));
            let rows = language.count(profile.below + profile.above);
            let until = if language == RU { "до" } else { "up to" };
            format!("{} — {rows} ({until} {extreme})", column_name(language, number.column))
        }))
    });
    Some(finding(
        Severity::Warning,
        Section::Numbers,
        LocalizedText::new(
            format!("Далёкие выбросы (дальше трёх межквартильных размахов от квартилей): {}.", listed.ru),
            format!("Extreme outliers (more than three interquartile ranges beyond the quartiles): {}.", listed.en),
        ),
        LocalizedText::new(
            "Ограничьте или пересмотрите эти значения и не меряйте точность средней абсолютной ошибкой в деньгах.",
            "Clip or review these values, and do not judge accuracy by the mean absolute error in money.",
        ),
    ))
}

pub(super) fn contradictions(figures: &Figures) -> Option<Finding> {
    let found: Vec<_> = figures
        .suspicions
        .iter()
        .filter(|suspicion| suspicion.check != Check::RoundMileage && suspicion.rows > 0)
        .collect();
    if found.is_empty() {
        return None;
    }
    let listed = LocalizedText::each(|language| {
        join_list(found.iter().map(|suspicion| {
            format!("{} — {}", check_label(figures, suspicion.check).get(language), language.count(suspicion.rows))
        }))
    });
    Some(finding(
        Severity::Warning,
        Section::Suspicions,
        LocalizedText::new(
            format!("Сомнительные объявления: {}.", listed.ru),
            format!("Suspicious listings: {}.", listed.en),
        ),
        LocalizedText::new(
            "Просмотрите их: опечатки и машины на запчасти сбивают модель.",
            "Review them: typos and wrecks mislead the model.",
        ),
    ))
}

pub(super) fn rounded_mileages(figures: &Figures) -> Option<Finding> {
    let rows = figures.suspicions.iter().find(|suspicion| suspicion.check == Check::RoundMileage)?.rows;
    // Only one mileage in ten thousand would be round by chance.
    (figures.share(rows) >= 0.05).then(|| {
        finding(
            Severity::Note,
            Section::Suspicions,
            LocalizedText::each(|language| {
                let (rows, share) = (language.count(rows), language.percent(figures.share(rows)));
                let unit = figures.unit(language, Column::Mileage);
                if language == RU {
                    format!("Пробег округлён до 10 000 {unit} в {rows} объявлениях ({share}): его назвали на глаз.")
                } else {
                    format!(
                        "The mileage is rounded to 10,000 {unit} in {rows} listings ({share}): these are estimates."
                    )
                }
            }),
            LocalizedText::new(
                "Точности выше этой от пробегов ждать не стоит.",
                "Do not expect mileages to be more precise than that.",
            ),
        )
    })
}

/// The description of a check.
pub(crate) fn check_label(figures: &Figures, check: Check) -> LocalizedText {
    let distance = |ru: &str, en: &str| {
        LocalizedText::new(
            ru.replace("{}", figures.unit(RU, Column::Mileage)),
            en.replace("{}", figures.unit(EN, Column::Mileage)),
        )
    };
    let target = figures.target().name;
    match check {
        Check::VeryHighMileage => distance("пробег от 1 000 000 {}", "mileage of 1,000,000 {} or more"),
        Check::HardlyDriven => {
            distance("машине от трёх лет, а пробег меньше 1000 {}", "at least three years old, but under 1,000 {}")
        }
        Check::DrivenTooFar => distance("больше 100 000 {} в год", "more than 100,000 {} per year"),
        Check::RoundMileage => distance("пробег кратен 10 000 {}", "mileage is a multiple of 10,000 {}"),
        Check::MadeAfterListing => LocalizedText::new("выпущена позже, чем выставлена", "made after it was listed"),
        Check::NoVolume => {
            LocalizedText::new("объём двигателя 0 не у электромобиля", "engine volume 0, but not electric")
        }
        Check::PowerOutOfProportion => LocalizedText::new(
            "мощность не вяжется с объёмом (меньше 20 или больше 250 л. с. на литр)",
            "implausible power for the engine volume (below 20 or above 250 hp per litre)",
        ),
        Check::FarBelowLikeCars => LocalizedText::new(
            format!("{}: не больше четверти медианы той же модели и года", target.0),
            format!("{}: at most a quarter of the median for the model and year", target.1),
        ),
        Check::FarAboveLikeCars => LocalizedText::new(
            format!("{}: вчетверо больше медианы той же модели и года", target.0),
            format!("{}: at least four times the median for the model and year", target.1),
        ),
    }
}

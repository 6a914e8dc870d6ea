//! Findings about values: numbers far out, listings that contradict themselves.

use storage::profile::Check;

use super::finding::{Finding, Severity, column_name, finding, join_list};
use crate::figures::Figures;
use crate::section::Section;
use crate::words::{RU, Words};

pub(super) fn far_out(figures: &Figures) -> Option<Finding> {
    let columns: Vec<_> =
        figures.numbers.iter().filter(|number| number.profile.below + number.profile.above > 0).collect();
    if columns.is_empty() {
        return None;
    }
    let told = Words::each(|language| {
        join_list(columns.iter().map(|number| {
            let profile = &number.profile;
            let extreme = profile.highest.first().or(profile.lowest.first());
            let extreme = extreme.map_or_else(String::new, |extreme| language.of(number.column, extreme.number));
            let rows = language.count(profile.below + profile.above);
            let until = if language == RU { "до" } else { "as far as" };
            format!("{} — {rows} ({until} {extreme})", column_name(language, number.column))
        }))
    });
    Some(finding(
        Severity::Warning,
        Section::Numbers,
        Words::new(
            format!("Далёкие выбросы (дальше трёх межквартильных размахов от квартилей): {}.", told.ru),
            format!("Far outliers (more than three interquartile ranges beyond the quartiles): {}.", told.en),
        ),
        Words::new(
            "Ограничьте или пересмотрите эти значения и не меряйте точность средней абсолютной ошибкой в рублях.",
            "Bound or review these values, and do not judge accuracy by the mean absolute error in roubles.",
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
    let told = Words::each(|language| {
        join_list(found.iter().map(|suspicion| {
            format!("{} — {}", check_words(suspicion.check).get(language), language.count(suspicion.rows))
        }))
    });
    Some(finding(
        Severity::Warning,
        Section::Suspicions,
        Words::new(format!("Сомнительные объявления: {}.", told.ru), format!("Doubtful listings: {}.", told.en)),
        Words::new(
            "Просмотрите их: опечатки и «цена за запчасти» учат модель неправде.",
            "Review them: slips of the hand and prices of wrecks teach the model what is not so.",
        ),
    ))
}

pub(super) fn guessed_mileages(figures: &Figures) -> Option<Finding> {
    let rows = figures.suspicions.iter().find(|suspicion| suspicion.check == Check::RoundMileage)?.rows;
    // One mileage in ten thousand would be round by chance.
    (figures.share(rows) >= 0.05).then(|| {
        finding(
            Severity::Note,
            Section::Suspicions,
            Words::each(|language| {
                let (rows, share) = (language.count(rows), language.percent(figures.share(rows)));
                if language == RU {
                    format!("Пробег округлён до 10 000 км в {rows} объявлениях ({share}): его назвали на глаз.")
                } else {
                    format!("The mileage is rounded to 10,000 km in {rows} listings ({share}): it was guessed.")
                }
            }),
            Words::new(
                "Точнее 10 000 км различать пробеги незачем.",
                "There is no use in telling mileages apart more finely than that.",
            ),
        )
    })
}

/// A check in words.
pub(crate) fn check_words(check: Check) -> Words {
    match check {
        Check::MillionKilometres => Words::new("пробег от 1 000 000 км", "mileage of 1,000,000 km and more"),
        Check::HardlyDriven => {
            Words::new("машине от трёх лет, а пробег меньше 1000 км", "three years old or more, under 1,000 km driven")
        }
        Check::DrivenTooFar => Words::new("больше 100 000 км в год", "more than 100,000 km a year"),
        Check::RoundMileage => Words::new("пробег кратен 10 000 км", "mileage is a multiple of 10,000 km"),
        Check::MadeAfterListing => Words::new("выпущена позже, чем выставлена", "made after it was listed"),
        Check::NoVolume => Words::new("объём двигателя 0 не у электромобиля", "engine volume 0, not electric"),
        Check::PowerOutOfProportion => Words::new(
            "мощность не вяжется с объёмом (меньше 20 или больше 250 л. с. на литр)",
            "power does not fit the volume (below 20 or above 250 hp a litre)",
        ),
        Check::FarBelowLikeCars => Words::new(
            "вчетверо и более дешевле такой же модели того же года",
            "a quarter or less of the price of the same model and year",
        ),
        Check::FarAboveLikeCars => Words::new(
            "вчетверо и более дороже такой же модели того же года",
            "four times the price of the same model and year, or more",
        ),
    }
}

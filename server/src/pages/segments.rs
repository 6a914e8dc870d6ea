//! The accuracy of segments: all of them as bars, and those where a model should not be trusted.

use std::collections::BTreeMap;

use domain::Language;
use domain::accuracy::{Accuracy, AccuracyCard};
use maud::{Markup, html};

use super::parts::wide;
use super::words::format_percent;

/// How many times the error of all listings makes a segment weak.
const WEAK_ERROR: f64 = 1.3;
/// The share of prices that the interval should cover.
const COVERAGE: f64 = 0.8;
/// How far below that the coverage of a weak segment is at least.
const WEAK_COVERAGE: f64 = 0.03;
/// The number of standard errors that may be due to chance.
const CHANCE: f64 = 2.0;
/// The number of test listings below which the figures of a segment are uncertain.
const FEW_ROWS: usize = 100;
/// The maximum number of weak segments to name.
const MAX_NAMED: usize = 10;

/// A segment with its family.
pub(super) struct Segment<'a> {
    pub(super) family: &'a str,
    pub(super) name: &'a str,
    pub(super) accuracy: &'a Accuracy,
}

impl Segment<'_> {
    /// Whether errors are much larger than those of all listings.
    pub(super) fn errs(&self, card: &AccuracyCard) -> bool {
        self.accuracy.mape > WEAK_ERROR * card.overall.mape
    }

    /// Whether the interval covers less than it should, and more so than by chance.
    #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
    pub(super) fn is_too_narrow(&self) -> bool {
        let error = (COVERAGE * (1.0 - COVERAGE) / self.accuracy.rows.max(1) as f64).sqrt();
        self.accuracy.coverage_80 < COVERAGE - WEAK_COVERAGE.max(CHANCE * error)
    }
}

/// The segments whose errors are much larger or whose intervals cover less than they should, the largest errors first.
pub(super) fn weak(card: &AccuracyCard) -> Vec<Segment<'_>> {
    let is_weak = |segment: &Segment| segment.errs(card) || segment.is_too_narrow();
    let mut weak: Vec<Segment> = all(card).filter(is_weak).collect();
    weak.sort_by(|a, b| b.accuracy.mape.total_cmp(&a.accuracy.mape));
    weak.truncate(MAX_NAMED);
    weak
}

/// The segments of cars with few test listings, the fewest first.
pub(super) fn sparse(card: &AccuracyCard) -> Vec<Segment<'_>> {
    let is_sparse = |segment: &Segment| segment.accuracy.rows < FEW_ROWS && segment.family != "scenario";
    let mut sparse: Vec<Segment> = all(card).filter(is_sparse).collect();
    sparse.sort_by_key(|segment| segment.accuracy.rows);
    sparse.truncate(MAX_NAMED);
    sparse
}

fn all(card: &AccuracyCard) -> impl Iterator<Item = Segment<'_>> {
    card.segments
        .iter()
        .flat_map(|(family, segments)| segments.iter().map(move |(name, accuracy)| Segment { family, name, accuracy }))
}

/// The accuracy of all segments as bars.
pub(super) fn bars(card: &AccuracyCard, language: Language) -> Markup {
    let highest = all(card).map(|segment| segment.accuracy.mape).fold(0.0, f64::max);
    html! {
        @for (family, segments) in card.segments.iter().filter(|(_, segments)| !segments.is_empty()) {
            h3 { (family_name(family, language)) }
            (wide(family_name(family, language), &table(family, segments, highest, language)))
        }
    }
}

fn table(family: &str, segments: &BTreeMap<String, Accuracy>, highest: f64, language: Language) -> Markup {
    html! {
        table.bars {
            thead { tr {
                th scope="col" { (language.of_both(("Сегмент", "Segment"))) }
                th scope="col" { (language.of_both(("Объявлений", "Listings"))) }
                th scope="col" { "MAPE" }
                td {}
                th scope="col" { (language.of_both(("Накрытие 80 %", "80 % coverage"))) }
                td {}
            } }
            tbody { @for (name, accuracy) in segments {
                tr {
                    th scope="row" { (segment_name(family, name, language)) }
                    td { (language.count(accuracy.rows)) }
                    td { (format_percent(language, accuracy.mape)) }
                    td { meter min="0" max=(highest) value=(accuracy.mape) aria-label="MAPE" {} }
                    td { (format_percent(language, accuracy.coverage_80)) }
                    td { meter min="0" max="1" low=(COVERAGE - WEAK_COVERAGE) optimum="1" value=(accuracy.coverage_80)
                            aria-label=(language.of_both(("Накрытие", "Coverage"))) {} }
                }
            } }
        }
    }
}

/// The name of a family of segments.
pub(super) fn family_name(family: &str, language: Language) -> &str {
    match family {
        "age" => language.of_both(("По возрасту", "By age")),
        "brand" => language.of_both(("По марке", "By make")),
        "completeness" => language.of_both(("По числу заполненных полей", "By the number of fields filled in")),
        "predicted_price" => language.of_both(("По цене модели", "By predicted price")),
        "scenario" => language.of_both(("Если известно не всё", "If not all is known")),
        other => other,
    }
}

/// The name of a segment. The card has it in English, with a number for the order.
pub(super) fn segment_name(family: &str, name: &str, language: Language) -> String {
    let numbered = name.split_once(". ").filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit()));
    let name = numbered.map_or(name, |(_, name)| name);
    let translated = match (family, name) {
        ("scenario", "required fields only") => {
            language.of_both(("известны только обязательные поля", "only the required fields are known"))
        }
        ("scenario", "unknown model") => language.of_both(("модель неизвестна", "the model is unknown")),
        ("scenario", "unknown make") => language.of_both(("марка неизвестна", "the make is unknown")),
        _ => name,
    };
    match (family, language) {
        ("predicted_price", _) => {
            match translated.split_once(" to ").map(|(a, b)| (a.parse::<u64>(), b.parse::<u64>())) {
                Some((Ok(low), Ok(high))) => format!("{} – {}", language.count(low), language.count(high)),
                _ => translated.to_owned(),
            }
        }
        ("age", Language::Russian) => {
            translated.replace("below ", "младше ").replace("years and more", "лет и больше").replace("years", "лет")
        }
        ("completeness", Language::Russian) => translated.replace("fields", "полей"),
        _ => translated.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_named_in_the_language_of_the_page() {
        let russian = |family, name| segment_name(family, name, Language::Russian);
        assert_eq!(russian("age", "1. below 3 years"), "младше 3 лет");
        assert_eq!(russian("age", "5. 20 years and more"), "20 лет и больше");
        assert_eq!(russian("completeness", "10–14 fields"), "10–14 полей");
        assert_eq!(russian("scenario", "unknown make"), "марка неизвестна");
        assert_eq!(russian("brand", "kia"), "kia");
        let english = |family, name| segment_name(family, name, Language::English);
        assert_eq!(english("predicted_price", "1. 90000 to 450000"), "90,000 – 450,000");
        assert_eq!(english("age", "2. 3–7 years"), "3–7 years");
    }
}

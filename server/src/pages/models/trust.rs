//! How sure a model is, and where it should not be trusted, in sentences.

use chrono::NaiveDate;
use domain::Language;
use domain::accuracy::{AccuracyCard, FormAccuracy, Surface};
use maud::{Markup, html};

use crate::pages::parts::wide;
use crate::pages::segments::{Segment, segment_name, sparse, weak};
use crate::pages::words::{fill, format_number, format_percent};

/// How sure a model is.
pub(super) fn how_sure(card: &AccuracyCard, language: Language) -> Markup {
    let name = |russian, english| language.of_both((russian, english));
    let fewer =
        name("Чем меньше полей заполнено, тем шире диапазон", "The fewer fields are filled in, the less it knows");
    html! {
        @for sentence in accuracy(card, language) { p { (sentence) } }
        @if !card.forms.is_empty() {
            h3 { (fewer) }
            (forms(&card.forms, language))
        }
        (horizons(card, language))
    }
}

fn accuracy(card: &AccuracyCard, language: Language) -> Vec<String> {
    let about = |share| language.percent(share);
    let overall = &card.overall;
    let [low, high] = overall.intervals_95.mape.map(about);
    let mut sentences = vec![
        fill(
            language,
            "Проверена на объявлениях, которых не видела: {}. Половина оценок отличается от объявления не больше чем на {}, \
             в среднем ошибка {} (MAPE, с вероятностью 95 % от {} до {}). В пределах 10 %: {}, в пределах 20 %: {}.",
            "Measured on {} listings that it has not seen. Half of its estimates are within {} of what the listing says; the \
             mean error is {} (MAPE; with a probability of 95 %, between {} and {}). {} are within 10 %, {} within 20 %.",
            &[
                language.count(overall.rows),
                about(overall.median_ape),
                about(overall.mape),
                low,
                high,
                about(overall.within_10),
                about(overall.within_20),
            ],
        ),
        fill(
            language,
            "Диапазон, который должен накрыть 80 % объявлений, накрывает {}; обычная его ширина {} оценки.",
            "The range that should hold 80 % of the listings holds {}; its usual width is {} of the estimate.",
            &[about(overall.coverage_80), about(overall.median_width_80)],
        ),
    ];
    if let Some(floor) = &card.floor {
        let better = language.of_both(("эта лучше", "this one is better"));
        let verdict = if card.beats_floor() {
            better
        } else {
            language.of_both(("эта не лучше", "this one is no better"))
        };
        sentences.push(fill(
            language,
            "Простая линейная модель на тех же объявлениях ошибается на {}: {}.",
            "A plain linear model of the same listings is off by {}: {}.",
            &[about(floor.mape), verdict.to_owned()],
        ));
    }
    sentences.extend(card.stability.as_ref().map(|stability| {
        fill(
            language,
            "С другим начальным числом {} оценок отличаются не больше чем на 3 %.",
            "With another random seed, {} of the estimates differ by at most 3 %.",
            &[about(stability.within_3)],
        )
    }));
    sentences
}

fn forms(forms: &[FormAccuracy], language: Language) -> Markup {
    let name = |russian, english| language.of_both((russian, english));
    let table = html! {
        table {
            thead { tr {
                th scope="col" { (name("Известно полей", "Fields known")) }
                th scope="col" { "MAPE" }
                th scope="col" { (name("Половина в пределах", "Half within")) }
                th scope="col" { (name("Накрытие 80 %", "80 % coverage")) }
                th scope="col" { (name("Ширина диапазона", "Width of the range")) }
                th scope="col" { (name("MAPE на новейших", "MAPE, newest listings")) }
            } }
            tbody { @for form in forms {
                tr {
                    th scope="row" {
                        @match form.fields { Some(fields) => (fields), None => (name("все", "all")) }
                    }
                    td { (format_percent(language, form.accuracy.mape)) }
                    td { (format_percent(language, form.accuracy.median_ape)) }
                    td { (format_percent(language, form.accuracy.coverage_80)) }
                    td { (format_percent(language, form.accuracy.median_width_80)) }
                    td { @if let Some(newest) = &form.newest { (format_percent(language, newest.mape)) } }
                }
            } }
        }
    };
    wide(name("Точность по числу полей", "Accuracy by the number of fields"), &table)
}

/// The accuracy of estimates for days after the newest listing.
fn horizons(card: &AccuracyCard, language: Language) -> Markup {
    let name = |russian, english| language.of_both((russian, english));
    let horizons = card.forecast.as_ref().map_or(&[][..], |forecast| &forecast.horizons);
    let title = name("Сколько прошло после новейшего объявления", "Time since the newest listing");
    let table = html! {
        table {
            thead { tr {
                th scope="col" { (title) }
                th scope="col" { "MAPE" }
                th scope="col" { (name("Накрытие 80 %", "80 % coverage")) }
            } }
            tbody { @for horizon in horizons {
                tr {
                    th scope="row" {
                        @match horizon.up_to_months {
                            Some(months) => (fill(language, "до {} мес.", "up to {} months", &[months.to_string()])),
                            None => (name("больше", "more")),
                        }
                    }
                    td { (format_percent(language, horizon.accuracy.mape)) }
                    td { (format_percent(language, horizon.accuracy.coverage_80)) }
                }
            } }
        }
    };
    html! {
        @if !horizons.is_empty() {
            h3 { (name("Оценки на более поздние дни", "Estimates for later days")) }
            (wide(title, &table))
        }
    }
}

/// Where a model should not be trusted. `newest` is its newest listing; `is_price` whether it predicts prices.
pub(super) fn where_not(
    card: &AccuracyCard,
    (newest, is_price): (Option<NaiveDate>, bool),
    language: Language,
) -> Markup {
    let weak = weak(card);
    let mut sentences = Vec::new();
    if weak.is_empty() {
        let none = language.of_both((
            "Нет марок, возрастов и цен, где ошибка намного больше обычной.",
            "There are no makes, ages or prices where the error is much larger than usual.",
        ));
        sentences.push(none.to_owned());
    }
    sentences.extend(hardly_measured(card, language));
    let unknown = language.of_both((
        "Марка, которой модель не знает, не оценивается без особой просьбы; у редких марок и моделей точность не измерена.",
        "A make that it does not know is not valued unless asked for; the accuracy of rare makes and models is not measured.",
    ));
    sentences.push(unknown.to_owned());
    sentences.extend(newest.map(|newest| {
        fill(
            language,
            "Рынок после {} она не видела: для более поздних дней диапазон шире.",
            "It has not seen the market after {}: for later days the range is wider.",
            &[newest.to_string()],
        )
    }));
    if is_price {
        sentences.extend(surface(&card.surface, language));
    }
    let fields = language.of_both((
        "Она знает только поля объявления: фотографий, торга и скрытых повреждений не видит.",
        "It only knows the fields of a listing: no photos, no bargaining, no hidden damage.",
    ));
    sentences.push(fields.to_owned());
    html! {
        ul {
            @for segment in &weak {
                li {
                    strong { (described(segment.family, segment.name, language)) } ": "
                    (weakness(segment, card, language))
                }
            }
            @for sentence in &sentences { li { (sentence) } }
        }
    }
}

/// What is wrong with a segment.
fn weakness(segment: &Segment, card: &AccuracyCard, language: Language) -> String {
    let accuracy = segment.accuracy;
    let error = segment.errs(card).then(|| {
        fill(
            language,
            "ошибка {} против {} в целом",
            "the error is {}, compared to {} overall",
            &[language.percent(accuracy.mape), language.percent(card.overall.mape)],
        )
    });
    let coverage = segment.is_too_narrow().then(|| {
        fill(
            language,
            "диапазон накрывает только {} объявлений вместо 80 %",
            "the range only holds {} of the listings instead of 80 %",
            &[language.percent(accuracy.coverage_80)],
        )
    });
    let rows =
        fill(language, "проверено на {} объявлениях.", "measured on {} listings.", &[language.count(accuracy.rows)]);
    [error, coverage, Some(rows)].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// The segments whose accuracy is uncertain, if any.
fn hardly_measured(card: &AccuracyCard, language: Language) -> Option<String> {
    let names: Vec<String> =
        sparse(card).iter().map(|segment| described(segment.family, segment.name, language)).collect();
    let sentence = fill(
        language,
        "Мало проверено, поэтому точность здесь известна плохо: {}.",
        "Measured on few listings, so the accuracy is hardly known: {}.",
        &[names.join(", ")],
    );
    (!names.is_empty()).then_some(sentence)
}

/// How often a price rises where it should fall.
fn surface(surface: &Surface, language: Language) -> impl Iterator<Item = String> {
    let age = (surface.dearer_with_age > 0.0).then(|| {
        fill(
            language,
            "Вопреки здравому смыслу {} машин дорожают, если они на год старше.",
            "Against common sense, {} of the cars cost more if they are a year older.",
            &[language.percent(surface.dearer_with_age)],
        )
    });
    let mileage = (surface.dearer_with_mileage > 0.0).then(|| {
        fill(
            language,
            "Вопреки здравому смыслу {} машин дорожают, если пробег больше на {} км.",
            "Against common sense, {} of the cars cost more if they have driven {} km more.",
            &[language.percent(surface.dearer_with_mileage), format_number(language, Surface::ADDED_MILEAGE)],
        )
    });
    [age, mileage].into_iter().flatten()
}

fn described(family: &str, segment: &str, language: Language) -> String {
    let name = segment_name(family, segment, language);
    match family {
        "predicted_price" => format!("{} {name}", language.of_both(("цена", "prices of"))),
        "age" => format!("{} {name}", language.of_both(("возраст", "age"))),
        "completeness" => format!("{} {name}", language.of_both(("заполнено", "with"))),
        "scenario" => format!("{} {name}", language.of_both(("если", "if"))),
        _ => name,
    }
}

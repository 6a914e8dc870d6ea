//! How sure a model is, and where it should not be trusted, in sentences.

use domain::accuracy::{AccuracyCard, FormAccuracy, Surface};
use maud::{Markup, html};

use crate::pages::parts::wide;
use crate::pages::segments::{Segment, segment_name, sparse, weak};
use crate::pages::words::Language;

/// How sure a model is.
pub(super) fn how_sure(card: &AccuracyCard, language: Language) -> Markup {
    let percent = |share: f64| language.about(share);
    let name = |russian, english| language.text(russian, english);
    let overall = &card.overall;
    let [low, high] = overall.intervals_95.mape;
    html! {
        p {
            (name("Проверена на объявлениях, которых не видела", "Measured on listings that it has not seen")) ": "
            (language.count(overall.rows)) ". "
            (name("Половина оценок отличается от объявления не больше чем на ", "Half of its estimates are within ")) strong { (percent(overall.median_ape)) }
            (name("; в среднем ошибка ", " of what the listing says; the mean error is ")) strong { (percent(overall.mape)) }
            " (MAPE, " (name("с вероятностью 95 % от ", "with a probability of 95 % between ")) (percent(low))
            (name(" до ", " and ")) (percent(high)) "). "
            (name("В пределах 10 %: ", "Within 10 %: ")) (percent(overall.within_10))
            (name(", в пределах 20 %: ", ", within 20 %: ")) (percent(overall.within_20)) "."
        }
        p {
            (name("Диапазон, который должен накрыть 80 % объявлений, накрывает ", "The range that should hold 80 % of the listings holds ")) strong { (percent(overall.coverage_80)) }
            (name("; обычная его ширина ", "; its usual width is ")) (percent(overall.median_width_80)) (name(" оценки.", " of the estimate."))
        }
        @if let Some(floor) = &card.floor {
            p {
                (name("Простая линейная модель на тех же объявлениях ошибается на ", "A plain linear model of the same listings is off by ")) (percent(floor.mape)) ": "
                @if card.beats_floor() { (name("эта лучше.", "this one is better.")) } @else { (name("эта не лучше.", "this one is no better.")) }
            }
        }
        @if let Some(stability) = &card.stability {
            p {
                (name("С другим начальным числом ", "With another random seed, ")) (percent(stability.within_3))
                (name(" оценок отличаются не больше чем на 3 %.", " of the estimates differ by at most 3 %."))
            }
        }
        @if !card.forms.is_empty() {
            h3 { (name("Чем меньше полей заполнено, тем шире диапазон", "The fewer fields are filled in, the less it knows")) }
            (forms(&card.forms, language))
        }
        (horizons(card, language))
    }
}

fn forms(forms: &[FormAccuracy], language: Language) -> Markup {
    let name = |russian, english| language.text(russian, english);
    wide(
        name("Точность по числу полей", "Accuracy by the number of fields"),
        &html! {
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
                        td { (language.percent(form.accuracy.mape)) }
                        td { (language.percent(form.accuracy.median_ape)) }
                        td { (language.percent(form.accuracy.coverage_80)) }
                        td { (language.percent(form.accuracy.median_width_80)) }
                        td { @if let Some(newest) = &form.newest { (language.percent(newest.mape)) } }
                    }
                } }
            }
        },
    )
}

/// The accuracy of estimates for days after the newest listing.
fn horizons(card: &AccuracyCard, language: Language) -> Markup {
    let name = |russian, english| language.text(russian, english);
    let horizons = card.forecast.as_ref().map_or(&[][..], |forecast| &forecast.horizons);
    if horizons.is_empty() {
        return html! {};
    }
    let title = name("Сколько прошло после новейшего объявления", "Time since the newest listing");
    html! {
        h3 { (name("Оценки на более поздние дни", "Estimates for later days")) }
        (wide(title, &html! {
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
                                Some(months) => { (name("до ", "up to ")) (months) (name(" мес.", " months")) },
                                None => (name("больше", "more")),
                            }
                        }
                        td { (language.percent(horizon.accuracy.mape)) }
                        td { (language.percent(horizon.accuracy.coverage_80)) }
                    }
                } }
            }
        }))
    }
}

/// Where a model should not be trusted.
pub(super) fn where_not(
    card: &AccuracyCard,
    (newest, is_price): (Option<chrono::NaiveDate>, bool),
    language: Language,
) -> Markup {
    let name = |russian, english| language.text(russian, english);
    let (weak, sparse) = (weak(card), sparse(card));
    html! {
        ul {
            @for segment in &weak { li { (weakness(segment, card, language)) } }
            @if weak.is_empty() {
                li { (name("Нет марок, возрастов и цен, где ошибка намного больше обычной.",
                           "There are no makes, ages or prices where the error is much larger than usual.")) }
            }
            @if !sparse.is_empty() {
                li {
                    (name("Мало проверено, поэтому точность здесь известна плохо: ", "Measured on few listings, so the accuracy is hardly known: "))
                    (sparse.iter().map(|segment| described(segment.family, segment.name, language)).collect::<Vec<_>>().join(", ")) "."
                }
            }
            li {
                (name("Марка, которой модель не знает, не оценивается без особой просьбы; у редких марок и моделей точность не измерена.",
                      "A make that it does not know is not valued unless asked for; the accuracy of rare makes and models is not measured."))
            }
            @if let Some(newest) = newest {
                li { (name("Рынок после ", "It has not seen the market after ")) (newest)
                     (name(" она не видела: для более поздних дней диапазон шире.", ": for later days the range is wider.")) }
            }
            @if is_price { (surface(&card.surface, language)) }
            li { (name("Она знает только поля объявления: фотографий, торга и скрытых повреждений не видит.",
                       "It only knows the fields of a listing: no photos, no bargaining, no hidden damage.")) }
        }
    }
}

/// How often a price rises where it should fall.
fn surface(surface: &Surface, language: Language) -> Markup {
    let name = |russian, english| language.text(russian, english);
    let added = language.number(Surface::ADDED_MILEAGE);
    html! {
        @if surface.dearer_with_age > 0.0 {
            li {
                (name("Вопреки здравому смыслу ", "Against common sense, ")) (language.about(surface.dearer_with_age))
                (name(" машин дорожают, если они на год старше.", " of the cars cost more if they are a year older."))
            }
        }
        @if surface.dearer_with_mileage > 0.0 {
            li {
                (name("Вопреки здравому смыслу ", "Against common sense, ")) (language.about(surface.dearer_with_mileage))
                (name(" машин дорожают, если пробег больше на ", " of the cars cost more if they have driven ")) (added)
                (name(" км.", " km more."))
            }
        }
    }
}

/// What is wrong with a segment.
fn weakness(segment: &Segment, card: &AccuracyCard, language: Language) -> Markup {
    let name = |russian, english| language.text(russian, english);
    let accuracy = segment.accuracy;
    html! {
        strong { (described(segment.family, segment.name, language)) } ": "
        @if segment.errs(card) {
            (name("ошибка ", "the error is ")) (language.about(accuracy.mape))
            (name(" против ", ", compared to ")) (language.about(card.overall.mape)) (name(" в целом; ", " overall; "))
        }
        @if segment.is_too_narrow() {
            (name("диапазон накрывает только ", "the range only holds ")) (language.about(accuracy.coverage_80))
            (name(" объявлений вместо 80 %; ", " of the listings instead of 80 %; "))
        }
        (name("проверено на ", "measured on ")) (language.count(accuracy.rows)) (name(" объявлениях.", " listings."))
    }
}

fn described(family: &str, segment: &str, language: Language) -> String {
    let name = segment_name(family, segment, language);
    match family {
        "predicted_price" => format!("{} {name}", language.text("цена", "prices of")),
        "age" => format!("{} {name}", language.text("возраст", "age")),
        "completeness" => format!("{} {name}", language.text("заполнено", "with")),
        "scenario" => format!("{} {name}", language.text("если", "if")),
        _ => name,
    }
}

//! Which field to state next: the one whose answer is expected to narrow the range most.

use domain::form::FIELDS;
use domain::{Column, Listing, Valuation};
use serde::Serialize;
use utoipa::ToSchema;

use super::cents::round_to_cents;
use super::listing::json_value;
use super::usual::{Likely, UsualValues};

/// How much the range is expected to narrow if a missing field is stated.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub(crate) struct Narrowing {
    /// The field.
    pub(crate) field: &'static str,
    /// The expected width of the interval once it is stated: the mean over `answers`, by their shares.
    pub(crate) width: f64,
    /// How much less that is than the width of the interval now.
    pub(crate) narrows_by: f64,
    /// The same as a share of the width now.
    #[schema(minimum = 0.0, maximum = 1.0)]
    pub(crate) share: f64,
    /// What the message says.
    pub(crate) code: NarrowingCode,
    /// The likeliest answers for such cars.
    pub(crate) answers: Vec<Answer>,
    /// The same in a sentence.
    pub(crate) message: String,
}

/// What stating a field does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "narrows")]
pub(crate) enum NarrowingCode {
    /// It is expected to narrow the range.
    Narrows,
}

/// The valuation of the car with a likely value of a missing field.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!(example()["answers"][0]))]
pub(crate) struct Answer {
    /// The value.
    pub(crate) value: serde_json::Value,
    /// Its share among the answers, by such cars in the listings, or in what the model learned from if there are none.
    pub(crate) share: f64,
    /// The expected price with this value.
    pub(crate) price: f64,
    /// Lower end of its interval.
    pub(crate) low: f64,
    /// Upper end of its interval.
    pub(crate) high: f64,
}

/// The maximum number of missing fields that are tried, in the order in which people know them.
pub(crate) const MAX_QUESTIONS: usize = 6;
/// The maximum number of values that are tried of each.
pub(crate) const MAX_ANSWERS: usize = 3;

/// The share of the width below which a field is not worth asking for.
const MIN_SHARE: f64 = 0.005;

/// A missing field with its likeliest values.
#[derive(Debug)]
pub(crate) struct Question {
    column: Column,
    answers: Vec<Likely>,
}

/// The missing fields of a car with their likeliest values. `is_stated` tells whether the model knows a field of the car.
pub(crate) fn questions(usual: &UsualValues<'_>, is_stated: impl Fn(Column) -> bool) -> Vec<Question> {
    let missing = FIELDS.into_iter().filter(|column| !is_stated(*column));
    let question = |column| Question { column, answers: usual.likely(column, MAX_ANSWERS) };
    missing.map(question).filter(|question| !question.answers.is_empty()).take(MAX_QUESTIONS).collect()
}

/// The variants to value, in the order in which [`narrowings`] takes their valuations.
pub(crate) fn variants(questions: &[Question], car: &Listing) -> impl Iterator<Item = Listing> {
    questions.iter().flat_map(move |question| {
        question.answers.iter().map(move |answer| {
            let mut variant = car.clone();
            variant.set(question.column, Some(answer.value.clone()));
            variant
        })
    })
}

/// The fields that are expected to narrow the range, the one that narrows it most first.
pub(crate) fn narrowings(
    questions: Vec<Question>,
    own: &Valuation,
    valuations: &mut impl Iterator<Item = Valuation>,
) -> Vec<Narrowing> {
    let width_now = own.high - own.low;
    let narrowing = |question: Question| {
        let answers: Vec<(Likely, Valuation)> = question.answers.into_iter().zip(&mut *valuations).collect();
        let width: f64 =
            answers.iter().map(|(likely, valuation)| likely.share * (valuation.high - valuation.low)).sum();
        let share = if width_now > 0.0 { 1.0 - width / width_now } else { 0.0 };
        let field = question.column.name();
        Narrowing {
            field,
            width: round_to_cents(width),
            narrows_by: round_to_cents(width_now - width),
            share: (share * 10_000.0).round() / 10_000.0,
            code: NarrowingCode::Narrows,
            answers: answers.into_iter().map(answer).collect(),
            message: format!("stating {field} is expected to narrow the range by {:.0} %", 100.0 * share),
        }
    };
    let narrowings = questions.into_iter().map(narrowing);
    let mut narrowings: Vec<Narrowing> = narrowings.filter(|narrowing| narrowing.share >= MIN_SHARE).collect();
    narrowings.sort_by(|a, b| b.narrows_by.total_cmp(&a.narrows_by));
    narrowings
}

fn answer((likely, valuation): (Likely, Valuation)) -> Answer {
    Answer {
        value: json_value(&likely.value),
        share: (likely.share * 10_000.0).round() / 10_000.0,
        price: round_to_cents(valuation.price),
        low: round_to_cents(valuation.low),
        high: round_to_cents(valuation.high),
    }
}

/// An example for the API document.
pub(super) fn example() -> serde_json::Value {
    serde_json::json!({
        "field": "transmission", "width": 310_200.5, "narrows_by": 66_700.0, "share": 0.177, "code": "narrows",
        "answers": [
            { "value": "автоматическая", "share": 0.62, "price": 1_341_200.0, "low": 1_190_300.0, "high": 1_502_800.0 },
            { "value": "механическая", "share": 0.38, "price": 1_198_500.0, "low": 1_043_100.5, "high": 1_350_400.0 },
        ],
        "message": "stating transmission is expected to narrow the range by 18 %"
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Value;

    fn valuation(low: f64, high: f64) -> Valuation {
        let as_of = chrono::NaiveDate::default();
        let (price, level, quantiles, warnings) = (0.5 * (low + high), 0.8, Vec::new(), Vec::new());
        Valuation { price, low, high, level, quantiles, as_of, market_as_of: None, warnings }
    }

    #[test]
    fn the_field_that_narrows_the_range_most_comes_first_and_useless_ones_are_left_out() {
        let likely = |value: &str, share| Likely { value: Value::Text(value.into()), share };
        let question = |column, answers| Question { column, answers };
        let questions = vec![
            question(Column::Drive, vec![likely("передний", 1.0)]),
            question(Column::Transmission, vec![likely("автоматическая", 0.75), likely("механическая", 0.25)]),
            question(Column::Color, vec![likely("белый", 1.0)]),
            question(Column::Wheel, vec![likely("левый", 1.0)]),
        ];
        assert_eq!(variants(&questions, &Listing::default()).count(), 5);
        let ranges = [(95.0, 185.0), (100.0, 160.0), (90.0, 170.0), (90.0, 190.0), (80.0, 200.0)];
        let mut valuations = ranges.into_iter().map(|(low, high)| valuation(low, high));
        let narrowings = narrowings(questions, &valuation(90.0, 190.0), &mut valuations);
        let found: Vec<_> = narrowings.iter().map(|narrowing| (narrowing.field, narrowing.narrows_by)).collect();
        assert_eq!(found, [("transmission", 35.0), ("drive", 10.0)]);
        assert_eq!((narrowings[0].width, narrowings[0].share), (65.0, 0.35));
        assert_eq!(narrowings[0].message, "stating transmission is expected to narrow the range by 35 %");
        let answer = &narrowings[0].answers[1];
        assert_eq!((&answer.value, answer.share, answer.low), (&"механическая".into(), 0.25, 90.0));
    }
}

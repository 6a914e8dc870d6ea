//! The price factors of a car: the model values variants of the car with one field changed at a time.

use chrono::{Datelike, NaiveDate};
use domain::{Column, Listing, Value};
use serde::Serialize;
use utoipa::ToSchema;

/// The effect of one field on the price of this car.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!({
    "field": "mileage", "value": 83000, "reference": 120_000, "effect": 0.076,
    "message": "mileage 83000 instead of 120000 raises the price by 7.6 %"
}))]
pub(crate) struct Factor {
    /// The field of the listing.
    pub(crate) field: &'static str,
    /// Its value in the request.
    pub(crate) value: serde_json::Value,
    /// The value in the variant that the car is compared with; null if the variant has no value.
    pub(crate) reference: serde_json::Value,
    /// The relative price difference to that variant: 0.05 means that the value raises the price by 5 %, -0.5 that it halves
    /// the price. The effects of several fields do not add up.
    #[schema(minimum = -1.0)]
    pub(crate) effect: f64,
    /// The effect in a sentence.
    pub(crate) message: String,
}

/// The age, in years, that a year is compared with: about the middle of the market.
const REFERENCE_AGE: i32 = 10;
/// The kilometres per year that a mileage is compared with.
const YEARLY_MILEAGE: f64 = 15_000.0;

/// A field of a listing and the variant that the car is compared with.
#[derive(Debug)]
pub(crate) struct Comparison {
    column: Column,
    value: Value,
    reference: Option<Value>,
    /// The variant to value.
    pub(crate) listing: Listing,
}

/// A comparison for each field of the listing: year and mileage, which every listing has, are compared with those of a
/// typical car, and any other field with the same car without it. Without a brand, a car has no model or generation either.
pub(crate) fn comparisons(listing: &Listing, today: NaiveDate) -> Vec<Comparison> {
    let as_of = listing.date().unwrap_or(today);
    let given = Column::descriptive().iter().filter_map(|column| Some((*column, listing.get(*column)?.clone())));
    given
        .map(|(column, value)| {
            let reference = reference(listing, column, as_of).map(Value::Number);
            let mut changed = listing.clone();
            changed.set(column, reference.clone());
            Comparison { column, value, reference, listing: changed }
        })
        .collect()
}

/// The factors, given the price of the car and the prices of the variants.
pub(crate) fn factors(price: f64, comparisons: Vec<Comparison>, prices: impl Iterator<Item = f64>) -> Vec<Factor> {
    let compared = comparisons.into_iter().zip(prices);
    let mut factors: Vec<Factor> =
        compared.map(|(comparison, other)| comparison.factor(relative(price, other))).collect();
    factors.sort_by(|a, b| b.effect.abs().total_cmp(&a.effect.abs()));
    factors
}

/// The relative difference of a price to another.
fn relative(price: f64, other: f64) -> f64 {
    // A model may return a price of zero.
    if other > 0.0 { price / other - 1.0 } else { 0.0 }
}

fn reference(listing: &Listing, column: Column, as_of: NaiveDate) -> Option<f64> {
    match column {
        Column::Year => Some(f64::from(as_of.year() - REFERENCE_AGE)),
        Column::Mileage => {
            let age = f64::from(as_of.year()) - listing.number(Column::Year)?;
            // A car of this year has been driven for half a year.
            Some((age.max(0.5) * YEARLY_MILEAGE).min(1_000_000.0))
        }
        _ => None,
    }
}

impl Comparison {
    fn factor(self, effect: f64) -> Factor {
        let effect = (effect * 10_000.0).round() / 10_000.0;
        let field = self.column.name();
        let against = match &self.reference {
            Some(reference) => format!(" instead of {}", display(reference)),
            None => String::new(),
        };
        let percent = (effect * 100.0).abs();
        let change = match effect.total_cmp(&0.0) {
            std::cmp::Ordering::Greater => format!("raises the price by {percent:.1} %"),
            std::cmp::Ordering::Less => format!("lowers the price by {percent:.1} %"),
            std::cmp::Ordering::Equal => "does not change the price".to_owned(),
        };
        let message = format!("{field} {}{against} {change}", display(&self.value));
        let reference = self.reference.as_ref().map_or(serde_json::Value::Null, json);
        // Adding 0 turns −0 into 0.
        Factor { field, value: json(&self.value), reference, effect: effect + 0.0, message }
    }
}

fn display(value: &Value) -> String {
    match value {
        Value::Text(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        Value::Date(date) => date.to_string(),
    }
}

fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Text(text) => text.as_str().into(),
        #[expect(clippy::cast_possible_truncation, reason = "a whole number within its column's bounds")]
        Value::Number(number) if number.fract() == 0.0 => (*number as i64).into(),
        Value::Number(number) => (*number).into(),
        Value::Date(date) => date.to_string().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn effects_are_finite_and_at_least_minus_one() {
        for (price, other, effect) in [(1.0, 1e9, -1.0 + 1e-9), (0.0, 5.0, -1.0), (0.0, 0.0, 0.0), (7.0, 0.0, 0.0)] {
            assert!((relative(price, other) - effect).abs() < 1e-12, "{price} {other}");
        }
    }

    #[test]
    fn each_field_is_compared_and_the_strongest_is_first() {
        let today = NaiveDate::from_ymd_opt(2026, 11, 22).unwrap();
        let mut listing = Listing::default();
        listing.set(Column::Brand, Some(Value::Text("Kia".into())));
        listing.set(Column::Year, Some(Value::Number(2018.0)));
        listing.set(Column::Mileage, Some(Value::Number(83_000.0)));
        let comparisons = comparisons(&listing, today);
        assert_eq!(comparisons[0].listing.text(Column::Brand), None);
        assert_eq!(comparisons[1].listing.number(Column::Year), Some(2016.0));
        let factors = factors(1000.0, comparisons, [1000.0, 800.0, 4000.0].into_iter());
        let described: Vec<_> = factors.iter().map(|factor| (factor.effect, factor.message.as_str())).collect();
        assert_eq!(
            described,
            [
                (-0.75, "mileage 83000 instead of 120000 lowers the price by 75.0 %"),
                (0.25, "year 2018 instead of 2016 raises the price by 25.0 %"),
                (0.0, "brand Kia does not change the price"),
            ]
        );
    }
}

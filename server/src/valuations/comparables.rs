//! Listings of similar cars, with their prices adjusted to the car that is valued.

use chrono::NaiveDate;
use domain::identity::{canonical_listing, has_equal};
use domain::{Column, Listing, Market, Valuation, Value};
use serde::Serialize;
use storage::SimilarListing;
use utoipa::ToSchema;

use super::cents::round_to_cents;
use super::factors::FieldComparison;
use super::listing::json_value;

/// A listing of a similar car. Texts are in lower case, as stored.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub(crate) struct Comparable {
    /// Make.
    brand: String,
    /// Model.
    model: Option<String>,
    /// Generation.
    vehicle_generation: Option<String>,
    /// The year of manufacture.
    year: i16,
    /// The mileage in the unit of the market.
    mileage: i32,
    /// Engine volume in liters.
    engine_volume: Option<f32>,
    /// Engine power in horsepower.
    engine_power: Option<f32>,
    /// Gearbox.
    transmission: Option<String>,
    /// Region or city of the sale.
    region: Option<String>,
    /// Day of the listing.
    listing_date: Option<NaiveDate>,
    /// The asking price, or what else the task predicts.
    price: f64,
    /// Body type.
    body_type: Option<String>,
    /// Fuel.
    fuel_type: Option<String>,
    /// Driven wheels.
    drive: Option<String>,
    /// The price that this listing suggests for the car: its asking price, times the expected price of the car over that of the same
    /// car with the `differences` of this listing.
    adjusted_price: f64,
    /// The relative difference of the adjusted price to the asking price: 0.05 means 5 % more.
    #[schema(minimum = -1.0)]
    adjustment: f64,
    /// The direction of the adjustment.
    code: Adjustment,
    /// The adjustment and its reasons in a sentence.
    message: String,
    /// The fields that differ, as far as both the car and this listing state them: `value` is that of the car, `reference` that of
    /// this listing. The date of the car is that of its price.
    differences: Vec<FieldComparison>,
}

/// The direction of an adjustment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "lowered")]
pub(crate) enum Adjustment {
    /// The car is worth more than the listed one.
    Raised,
    /// The car is worth less.
    Lowered,
    /// They are worth the same.
    Unchanged,
}

/// The variant of the car to value for a comparable: with the values of the listing wherever both state a field. Since it states the
/// same fields as the car, its price differs by nothing but what the listing tells about the differences.
pub(crate) fn variant(comparable: &SimilarListing, car: &Listing) -> Listing {
    let mut variant = car.clone();
    let stated = Column::descriptive().iter().filter(|column| car.get(**column).is_some());
    for column in stated {
        if let Some(value) = comparable.listing.get(*column) {
            variant.set(*column, Some(value.clone()));
        }
    }
    variant
}

/// The comparables, given the price of the car and the valuations of its variants. The car has a date.
pub(crate) fn adjust(
    comparables: Vec<SimilarListing>,
    car: &Listing,
    market: &Market,
    price: f64,
    valuations: &mut impl Iterator<Item = Valuation>,
) -> Vec<Comparable> {
    let car = canonical_listing(car, market).in_units_of(market);
    let new = |(comparable, valuation): (SimilarListing, Valuation)| {
        let comparable = SimilarListing { listing: comparable.listing.in_units_of(market), ..comparable };
        Comparable::new(&comparable, &car, price, valuation.price)
    };
    comparables.into_iter().zip(valuations).map(new).collect()
}

impl Comparable {
    fn new(comparable: &SimilarListing, car: &Listing, price: f64, listed_price: f64) -> Self {
        let SimilarListing { listing, price: asking_price } = comparable;
        let ratio = if listed_price > 0.0 { price / listed_price } else { 1.0 };
        let adjustment = ((ratio - 1.0) * 10_000.0).round() / 10_000.0;
        let differences = differences(car, listing);
        let (code, message) = describe(adjustment, &differences);
        let text = |column| listing.text(column).map(str::to_owned);
        let number = |column| listing.number(column);
        #[expect(clippy::cast_possible_truncation, reason = "single precision in the database")]
        let single = |column| number(column).map(|number| number as f32);
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers within the bounds of their columns")]
        let (year, mileage) =
            (number(Column::Year).unwrap_or_default() as i16, number(Column::Mileage).unwrap_or_default() as i32);
        Self {
            brand: text(Column::Brand).unwrap_or_default(),
            model: text(Column::Model),
            vehicle_generation: text(Column::VehicleGeneration),
            year,
            mileage,
            engine_volume: single(Column::EngineVolume),
            engine_power: single(Column::EnginePower),
            transmission: text(Column::Transmission),
            region: text(Column::Region),
            listing_date: listing.date(),
            price: *asking_price,
            body_type: text(Column::BodyType),
            fuel_type: text(Column::FuelType),
            drive: text(Column::Drive),
            adjusted_price: round_to_cents(asking_price * ratio),
            adjustment: adjustment + 0.0,
            code,
            message,
            differences,
        }
    }
}

/// The fields that both state and that differ, the day included.
fn differences(car: &Listing, listing: &Listing) -> Vec<FieldComparison> {
    let both = |column: &Column| Some((*column, car.get(*column)?, listing.get(*column)?));
    let columns = Column::descriptive().iter().filter_map(both);
    let different = columns.filter(|(column, _, _)| !has_equal(car, listing, *column));
    let comparison = |(column, value, reference): (Column, &Value, &Value)| FieldComparison {
        field: column.name(),
        value: json_value(value),
        reference: json_value(reference),
    };
    different.map(comparison).collect()
}

fn describe(adjustment: f64, differences: &[FieldComparison]) -> (Adjustment, String) {
    let code = match adjustment.total_cmp(&0.0) {
        std::cmp::Ordering::Greater => Adjustment::Raised,
        std::cmp::Ordering::Less => Adjustment::Lowered,
        std::cmp::Ordering::Equal => Adjustment::Unchanged,
    };
    let reason = |difference: &FieldComparison| {
        let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        format!("{} {} instead of {}", difference.field, text(&difference.reference), text(&difference.value))
    };
    let reasons: Vec<String> = differences.iter().map(reason).collect();
    let reasons = if reasons.is_empty() { "no known difference".to_owned() } else { reasons.join(", ") };
    let percent = (100.0 * adjustment).abs();
    let message = match code {
        Adjustment::Raised => format!("raised by {percent:.1} % for {reasons}"),
        Adjustment::Lowered => format!("lowered by {percent:.1} % for {reasons}"),
        Adjustment::Unchanged => "not adjusted, since the car is worth the same".to_owned(),
    };
    (code, message)
}

/// An example for the API document.
pub(super) fn example() -> serde_json::Value {
    serde_json::json!({
        "brand": "kia", "model": "rio", "vehicle_generation": "iv", "year": 2018, "mileage": 79_500, "engine_volume": 1.6,
        "engine_power": 123.0, "transmission": "автоматическая", "region": "москва", "listing_date": "2026-03-17",
        "price": 1_290_000.0, "body_type": "седан", "fuel_type": "бензин", "drive": "передний",
        "adjusted_price": 1_281_400.5, "adjustment": -0.0067, "code": "lowered",
        "message": "lowered by 0.7 % for mileage 79500 instead of 83000",
        "differences": [{ "field": "mileage", "value": 83_000, "reference": 79_500 }]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(year: f64, mileage: f64, transmission: Option<&str>) -> Listing {
        let mut listing = Listing::default();
        listing.set(Column::Brand, Some(Value::Text("kia".into())));
        listing.set(Column::Year, Some(Value::Number(year)));
        listing.set(Column::Mileage, Some(Value::Number(mileage)));
        listing.set(Column::Transmission, transmission.map(|text| Value::Text(text.into())));
        listing
    }

    #[test]
    fn prices_are_adjusted_by_the_ratio_of_the_expected_prices() {
        let car = listing(2018.0, 83_000.0, Some("автоматическая"));
        let listed = SimilarListing { listing: listing(2017.0, 83_000.0, None), price: 1000.0 };
        let comparable = Comparable::new(&listed, &car, 1200.0, 1100.0);
        assert_eq!((comparable.adjusted_price, comparable.adjustment), (1090.91, 0.0909));
        assert_eq!(comparable.message, "raised by 9.1 % for year 2017 instead of 2018");
        assert_eq!(comparable.differences.len(), 1, "one of them does not state the gearbox");
        let worthless = Comparable::new(&listed, &car, 1200.0, 0.0);
        assert_eq!((worthless.adjusted_price, worthless.code), (1000.0, Adjustment::Unchanged));
    }
}

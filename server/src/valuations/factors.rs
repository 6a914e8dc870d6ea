//! The price factors of a car: what separates it, in money, from the usual car of its model and year.

use chrono::NaiveDate;
use domain::identity::{canonical_listing, has_equal};
use domain::{Column, Listing, Value};
use serde::Serialize;
use serde_json::{Map, Value as Json, json};
use utoipa::ToSchema;

use super::cents::{cents, from_cents};
use super::listing::{ListingRequest, json_value};
use super::shapley::{Contribution, contributions, round_to_total};
use super::usual::UsualValues;

/// The effect of a group of fields on the price of this car. The amounts of all groups add up to the difference between its price
/// and that of `baseline`: each is the Shapley value of the group, its mean effect over all orders in which the groups of the usual
/// car may be replaced by those of this car.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub(crate) struct Factor {
    /// The first field of the group that differs from the usual car, or else the first that is stated.
    pub(crate) field: &'static str,
    /// Its value in the request; null if it is not stated.
    pub(crate) value: Json,
    /// Its value in the usual car; null if it has none.
    pub(crate) reference: Json,
    /// The relative price difference to the same car with the usual values of the group: 0.05 means that the group raises the price
    /// by 5 %, -0.5 that it halves the price. It has the sign of `amount`, and is never below -1.
    #[schema(minimum = -1.0)]
    pub(crate) effect: f64,
    /// The effect in a sentence.
    pub(crate) message: String,
    /// The group of fields.
    pub(crate) group: Group,
    /// The direction of the effect.
    pub(crate) code: Effect,
    /// The effect in money.
    pub(crate) amount: f64,
    /// The stated fields of the group.
    pub(crate) fields: Vec<FieldComparison>,
}

/// A group of fields that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "mileage")]
pub(crate) enum Group {
    /// `mileage`.
    Mileage,
    /// `vehicle_generation`.
    Generation,
    /// `fuel_type`, `engine_volume` and `engine_power`.
    Engine,
    /// `transmission` and `drive`.
    Gearbox,
    /// `body_type`, `wheel` and `color`.
    Body,
    /// `state`, `customs` and `pts`.
    Condition,
    /// `owners_count`.
    Owners,
    /// `region`.
    Region,
}

/// The direction of an effect on the price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "raises")]
pub(crate) enum Effect {
    /// The group raises the price.
    Raises,
    /// The group lowers the price.
    Lowers,
    /// The group does not change the price.
    Unchanged,
    /// The stated fields of the group are those of the usual car.
    Usual,
    /// No field of the group is stated, or the model does not know its value. The usual car has none either.
    NotStated,
}

/// A field of the car and of another one.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!(example()["fields"][0]))]
pub(crate) struct FieldComparison {
    /// The field of the listing.
    pub(crate) field: &'static str,
    /// Its value in this car.
    pub(crate) value: Json,
    /// Its value in the other one; null if it has none.
    pub(crate) reference: Json,
}

/// The usual car of the same make, model and year, on the same day. It states the fields that the car states, each with the value,
/// or in a group the combination of values, that most such cars have, and the usual mileage for its age.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(example = json!(baseline_example()))]
pub(crate) struct Baseline {
    /// Its expected price, from which the amounts of `factors` lead to that of the car.
    pub(crate) price: f64,
    /// What is usual according to.
    pub(crate) source: BaselineSource,
    /// The number of listings that it is taken from.
    pub(crate) listings: usize,
    /// The usual car, which may be valued like any other.
    #[schema(value_type = ListingRequest)]
    pub(crate) listing: Map<String, Json>,
}

/// Where usual values come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(example = "listings")]
pub(crate) enum BaselineSource {
    /// From listings of the same make, model and year, or near that year if there are few.
    Listings,
    /// There are no such listings, or they could not be looked up: the usual car has 15,000 km per year, and its other fields are
    /// not stated.
    Assumed,
}

/// The groups with their fields. Make, model, year and day are those of the car itself.
const GROUPS: [(Group, &[Column]); MAX_GROUPS] = [
    (Group::Mileage, &[Column::Mileage]),
    (Group::Generation, &[Column::VehicleGeneration]),
    (Group::Engine, &[Column::FuelType, Column::EngineVolume, Column::EnginePower]),
    (Group::Gearbox, &[Column::Transmission, Column::Drive]),
    (Group::Body, &[Column::BodyType, Column::Wheel, Column::Color]),
    (Group::Condition, &[Column::State, Column::Customs, Column::Pts]),
    (Group::Owners, &[Column::OwnersCount]),
    (Group::Region, &[Column::Region]),
];
/// The number of groups.
pub(crate) const MAX_GROUPS: usize = 8;

/// The variants of a car to value for its factors.
#[derive(Debug)]
pub(crate) struct Explanation {
    usual: Listing,
    /// The same as in a request.
    shown: Map<String, Json>,
    listings: usize,
    groups: Vec<GroupComparison>,
}

#[derive(Debug)]
struct GroupComparison {
    group: Group,
    columns: &'static [Column],
    fields: Vec<FieldComparison>,
    /// The index in `fields` of the first one that differs.
    first_difference: Option<usize>,
}

impl Explanation {
    /// Compares a car with the usual one, as of a day. `is_stated` tells whether the model knows a field of the car.
    pub(crate) fn new(
        car: &Listing,
        usual: &UsualValues<'_>,
        day: NaiveDate,
        is_stated: impl Fn(Column) -> bool,
    ) -> Self {
        let mut baseline = car.clone();
        baseline.set(Column::ListingDate, Some(Value::Date(day)));
        for (_, columns) in GROUPS {
            let stated: Vec<Column> = columns.iter().copied().filter(|column| is_stated(*column)).collect();
            for column in columns {
                baseline.set(*column, None);
            }
            for (column, value) in stated.iter().zip(usual.combination(&stated)) {
                let is_mileage = *column == Column::Mileage;
                baseline.set(*column, if is_mileage { Some(Value::Number(usual.mileage(day))) } else { value });
            }
        }
        let market = usual.market();
        let (own, other) = (canonical_listing(car, market), canonical_listing(&baseline, market));
        let (shown, shown_baseline) = (car.in_units_of(market), baseline.in_units_of(market));
        let compare = |(group, columns): (Group, &'static [Column])| {
            let stated: Vec<Column> = columns.iter().copied().filter(|column| is_stated(*column)).collect();
            let field = |column: &Column| FieldComparison {
                field: column.name(),
                value: json_option(shown.get(*column)),
                reference: json_option(shown_baseline.get(*column)),
            };
            GroupComparison {
                group,
                columns,
                fields: stated.iter().map(field).collect(),
                first_difference: stated.iter().position(|column| !has_equal(&own, &other, *column)),
            }
        };
        let groups = GROUPS.into_iter().map(compare).collect();
        Self { listings: usual.listings(), groups, usual: baseline, shown: to_json(&shown_baseline) }
    }

    /// The variants to value, in the order in which [`Self::factors`] takes their prices: for each coalition of the groups that
    /// differ, but that of all of them, the usual car with these groups of the car.
    pub(crate) fn variants(&self, car: &Listing) -> impl Iterator<Item = Listing> {
        let players: Vec<&[Column]> = self.players().map(|group| group.columns).collect();
        let coalitions = 1_usize << players.len();
        (0..coalitions - 1).map(move |mask| {
            let mut variant = self.usual.clone();
            let joined = players.iter().enumerate().filter(|(player, _)| mask & (1 << player) != 0);
            for column in joined.flat_map(|(_, columns)| columns.iter()) {
                variant.set(*column, car.get(*column).cloned());
            }
            variant
        })
    }

    /// The usual car and the factors, the strongest first, given the price of the car and the prices of the variants.
    pub(crate) fn factors(self, price: f64, prices: &mut impl Iterator<Item = f64>) -> (Baseline, Vec<Factor>) {
        let players = self.players().count();
        let mut worth: Vec<f64> = prices.take((1 << players) - 1).collect();
        worth.push(price);
        let baseline = cents(worth[0]);
        let contributions = contributions(players, &worth);
        let exact: Vec<f64> = contributions.iter().map(|contribution| 100.0 * contribution.amount()).collect();
        let amounts = round_to_total(&exact, cents(price) - baseline);
        let mut shares = contributions.into_iter().zip(amounts);
        let mut factors = Vec::with_capacity(self.groups.len());
        for group in self.groups {
            let share = if group.first_difference.is_some() { shares.next() } else { None };
            let (contribution, amount) = share.unwrap_or_default();
            factors.push(group.factor(contribution, amount));
        }
        factors.sort_by(|a, b| b.amount.abs().total_cmp(&a.amount.abs()));
        let source = if self.listings > 0 { BaselineSource::Listings } else { BaselineSource::Assumed };
        let baseline = from_cents(baseline);
        (Baseline { price: baseline, source, listings: self.listings, listing: self.shown }, factors)
    }

    /// The groups that differ.
    fn players(&self) -> impl Iterator<Item = &GroupComparison> {
        self.groups.iter().filter(|group| group.first_difference.is_some())
    }
}

impl GroupComparison {
    fn factor(self, contribution: Contribution, amount: i64) -> Factor {
        let effect = (contribution.effect() * 10_000.0).round() / 10_000.0;
        let code = match amount.signum() {
            1 => Effect::Raises,
            -1 => Effect::Lowers,
            _ if self.fields.is_empty() => Effect::NotStated,
            _ if self.first_difference.is_none() => Effect::Usual,
            _ => Effect::Unchanged,
        };
        let message = self.message(code, effect);
        let first = self.fields.get(self.first_difference.unwrap_or(0));
        let (value, reference) =
            first.map_or((Json::Null, Json::Null), |first| (first.value.clone(), first.reference.clone()));
        Factor {
            field: first.map_or(self.columns[0].name(), |first| first.field),
            value,
            reference,
            // Adding 0 turns −0 into 0.
            effect: effect + 0.0,
            message,
            group: self.group,
            code,
            amount: from_cents(amount),
            fields: self.fields,
        }
    }

    fn message(&self, code: Effect, effect: f64) -> String {
        let names: Vec<&str> = match code {
            Effect::NotStated => self.columns.iter().map(|column| column.name()).collect(),
            _ => self.fields.iter().map(|field| field.field).collect(),
        };
        let differences: Vec<String> = self
            .fields
            .iter()
            .filter(|field| field.value != field.reference)
            .map(|field| match &field.reference {
                Json::Null => format!("{} {}", field.field, text(&field.value)),
                reference => format!("{} {} instead of {}", field.field, text(&field.value), text(reference)),
            })
            .collect();
        let percent = (100.0 * effect).abs();
        let (one, several) = match code {
            Effect::Raises => ("raises the price by", "raise the price by"),
            Effect::Lowers => ("lowers the price by", "lower the price by"),
            Effect::Unchanged => return format!("{} does not change the price", differences.join(" and ")),
            Effect::Usual => return format!("{} as usual for such cars", names.join(", ")),
            Effect::NotStated => return format!("{} not stated", names.join(", ")),
        };
        let verb = if differences.len() == 1 { one } else { several };
        format!("{} {verb} {percent:.1} %", differences.join(" and "))
    }
}

fn text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn json_option(value: Option<&Value>) -> Json {
    value.map_or(Json::Null, json_value)
}

/// A listing as in a request.
fn to_json(listing: &Listing) -> Map<String, Json> {
    let columns = Column::descriptive().iter();
    columns.filter_map(|column| Some((column.name().to_owned(), json_value(listing.get(*column)?)))).collect()
}

/// Factors that lead from the price of [`baseline_example`] to that of the example of a valuation.
pub(super) fn examples() -> Json {
    let usual = |group: &str, field: &str, value: Json| {
        json!({
            "field": field, "value": value, "reference": value, "effect": 0.0,
            "message": format!("{field} as usual for such cars"), "group": group, "code": "usual", "amount": 0.0,
            "fields": [{ "field": field, "value": value, "reference": value }],
        })
    };
    let condition = json!({
        "field": "state", "value": null, "reference": null, "effect": 0.0, "message": "state, customs, pts not stated",
        "group": "condition", "code": "not_stated", "amount": 0.0, "fields": [],
    });
    json!([
        example(),
        {
            "field": "region", "value": "Москва", "reference": "казань", "effect": 0.0252,
            "message": "region Москва instead of казань raises the price by 2.5 %", "group": "region", "code": "raises",
            "amount": 31_200.0, "fields": [{ "field": "region", "value": "Москва", "reference": "казань" }],
        },
        {
            "field": "owners_count", "value": 2, "reference": 1, "effect": -0.005,
            "message": "owners_count 2 instead of 1 lowers the price by 0.5 %", "group": "owners", "code": "lowers",
            "amount": -6_500.0, "fields": [{ "field": "owners_count", "value": 2, "reference": 1 }],
        },
        usual("generation", "vehicle_generation", json!("IV")),
        usual("engine", "engine_volume", json!(1.6)),
        usual("gearbox", "transmission", json!("автоматическая")),
        usual("body", "body_type", json!("седан")),
        condition,
    ])
}

/// The usual car of [`examples`].
pub(super) fn baseline_example() -> Json {
    let listing = json!({
        "brand": "Kia", "model": "Rio", "vehicle_generation": "IV", "year": 2018, "mileage": 118_000,
        "body_type": "седан", "engine_volume": 1.6, "transmission": "автоматическая", "owners_count": 1,
        "region": "казань", "listing_date": "2026-11-22",
    });
    json!({ "price": 1_201_300.0, "source": "listings", "listings": 214, "listing": listing })
}

/// An example for the API document.
pub(super) fn example() -> Json {
    json!({
        "field": "mileage", "value": 83000, "reference": 118_000, "effect": 0.076,
        "message": "mileage 83000 instead of 118000 raises the price by 7.6 %",
        "group": "mileage", "code": "raises", "amount": 92_400.25,
        "fields": [{ "field": "mileage", "value": 83000, "reference": 118_000 }]
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::tests::fixture::{self, today};

    /// A price with interactions between the fields.
    fn price(listing: &Listing) -> f64 {
        let mileage = listing.number(Column::Mileage).unwrap();
        let power = listing.number(Column::EnginePower).unwrap_or(80.0);
        let automatic = f64::from(u8::from(listing.text(Column::Transmission) == Some("автоматическая")));
        let colour = if listing.text(Column::Color) == Some("белый") { 1.0 } else { 1.1 };
        1_000.0 * (power + 30.0 * automatic) * colour * (-mileage / 200_000.0 * (1.0 + automatic)).exp()
    }

    fn listing(mileage: f64, power: f64, texts: &[(Column, &str)]) -> Listing {
        let mut listing = Listing::default();
        let brand = [(Column::Brand, "kia"), (Column::Model, "rio")];
        for (column, text) in brand.iter().chain(texts) {
            listing.set(*column, Some(Value::Text((*text).into())));
        }
        let numbers = [(Column::Year, 2018.0), (Column::Mileage, mileage), (Column::EnginePower, power)];
        for (column, number) in numbers {
            listing.set(column, Some(Value::Number(number)));
        }
        listing
    }

    #[tokio::test]
    async fn amounts_add_up_to_the_cent_and_only_differences_take_rows() {
        let state = fixture::state(Config::default());
        let served = fixture::served(&state);
        let manual = [(Column::Transmission, "механическая"), (Column::Color, "белый")];
        let sample = vec![listing(100_000.0, 100.0, &manual); 12];
        let automatic = [(Column::Transmission, "АКПП"), (Column::Color, "Белый"), (Column::State, "новый")];
        let car = listing(30_000.0, 123.0, &automatic);
        let usual = UsualValues::new(&served.model, &car, &sample);
        let is_stated = |column| car.get(column).is_some() && column != Column::State;
        let explanation = Explanation::new(&car, &usual, today(), is_stated);
        let variants: Vec<Listing> = explanation.variants(&car).collect();
        assert_eq!(variants.len(), 7, "mileage, engine and gearbox differ");
        assert_eq!(variants[0].date(), Some(today()));
        let car = canonical_listing(&car, domain::Market::russia());
        let mut prices = variants.iter().map(|variant| price(&canonical_listing(variant, domain::Market::russia())));
        let (baseline, factors) = explanation.factors(price(&car), &mut prices);
        assert_eq!((baseline.source, baseline.listings), (BaselineSource::Listings, 12));
        assert_eq!(baseline.listing["transmission"], "механическая");
        assert!(!baseline.listing.contains_key("state"), "the model does not know this state of the car");
        let sum: i64 = factors.iter().map(|factor| cents(factor.amount)).sum();
        assert_eq!(sum, cents(price(&car)) - cents(baseline.price));
        let group = |group| factors.iter().find(|factor| factor.group == group).unwrap();
        assert_eq!((group(Group::Body).code, group(Group::Condition).code), (Effect::Usual, Effect::NotStated));
        assert_eq!(group(Group::Engine).fields.len(), 1);
        assert_eq!(group(Group::Gearbox).field, "transmission");
        assert!(group(Group::Mileage).message.starts_with("mileage 30000 instead of "));
        assert!(factors.windows(2).all(|pair| pair[0].amount.abs() >= pair[1].amount.abs()));
    }
}

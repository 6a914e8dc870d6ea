//! What a car is worth: one, many, or a workbook of them.

pub(crate) mod batch;
mod comparables;
mod factors;
pub(crate) mod one;
pub(crate) mod query;
pub(crate) mod workbook;

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use comparables::Comparable;
pub(crate) use factors::Factor;

use crate::engine::Served;

/// What a car is worth: the asking price to expect in listings, and the range in which most are.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub(crate) struct Valuation {
    /// The asking price to expect: half of such cars are offered for less, half for more.
    price: f64,
    /// The currency of all amounts.
    currency: &'static str,
    /// Lower end of the range.
    low: f64,
    /// Upper end of the range.
    high: f64,
    /// The share of such cars that are offered within the range.
    level: f64,
    /// The whole distribution of asking prices, as the model sees it before calibration.
    quantiles: Vec<Quantile>,
    /// The day that the price is for: the listing's, or today.
    #[schema(value_type = String, format = Date)]
    as_of: NaiveDate,
    /// The model that valued the car.
    model: ModelReference,
    /// What the model does not know of the car.
    warnings: Vec<Warning>,
    /// What moves the price, the strongest first; with `explain=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    factors: Option<Vec<Factor>>,
    /// Listings of cars like this one, the most alike first; with `comparables=N`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    comparables: Option<Vec<Comparable>>,
}

/// A price below which a share of such cars is offered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Quantile {
    /// The share.
    #[schema(example = 0.25)]
    level: f64,
    /// The price.
    #[schema(example = 1_236_000.0)]
    price: f64,
}

/// The model behind an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ModelReference {
    /// Its version in the registry.
    #[schema(example = 3)]
    version: i64,
    /// When it was trained, RFC 3339.
    #[schema(example = "2026-11-20T08:15:42Z", format = DateTime)]
    trained_at: String,
}

/// Something that the model does not know of the car.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Warning {
    /// What it is, for programs.
    #[schema(example = "unknown_value")]
    code: String,
    /// The field of the listing.
    #[schema(example = "model")]
    field: String,
    /// What it is, for people, with the nearest known value where there is one.
    #[schema(example = "model \"rioo\" is not known (did you mean \"rio\"?); the car was valued without it")]
    message: String,
}

impl Valuation {
    fn new(served: &Served, valuation: domain::Valuation, factors: Option<Vec<Factor>>) -> Self {
        let signature = served.model.signature();
        let levels = signature.quantiles.iter().copied();
        let quantiles = levels.zip(valuation.quantiles).map(|(level, price)| Quantile { level, price: cents(price) });
        let warnings = valuation.warnings.into_iter().map(|warning| Warning {
            code: warning.code.to_owned(),
            field: warning.field,
            message: warning.message,
        });
        Self {
            price: cents(valuation.price),
            currency: "RUB",
            low: cents(valuation.low),
            high: cents(valuation.high),
            level: valuation.level,
            quantiles: quantiles.collect(),
            as_of: valuation.as_of,
            model: ModelReference { version: served.version, trained_at: signature.run.trained_at.clone() },
            warnings: warnings.collect(),
            factors,
            comparables: None,
        }
    }

    /// The same with listings to compare, or with the reason why there are none.
    fn with_comparables(mut self, found: Result<Vec<Comparable>, Warning>) -> Self {
        match found {
            Ok(found) => self.comparables = Some(found),
            Err(warning) => self.warnings.push(warning),
        }
        self
    }
}

/// Rounded to two decimals.
fn cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

fn example() -> serde_json::Value {
    serde_json::json!({
        "price": 1_318_400.25, "currency": "RUB", "low": 1_121_300.5, "high": 1_498_200.75, "level": 0.8,
        "quantiles": [
            { "level": 0.05, "price": 1_054_700.0 }, { "level": 0.1, "price": 1_131_900.0 },
            { "level": 0.25, "price": 1_236_000.0 }, { "level": 0.5, "price": 1_318_400.25 },
            { "level": 0.75, "price": 1_402_100.0 }, { "level": 0.9, "price": 1_486_300.0 },
            { "level": 0.95, "price": 1_552_800.0 },
        ],
        "as_of": "2026-11-22",
        "model": { "version": 3, "trained_at": "2026-11-20T08:15:42Z" },
        "warnings": [{
            "code": "unknown_value", "field": "color",
            "message": "color \"белыйй\" is not known (did you mean \"белый\"?); the car was valued without it",
        }],
    })
}

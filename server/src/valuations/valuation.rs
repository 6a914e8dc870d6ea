//! A valuation as JSON.

use chrono::NaiveDate;
use domain::Warning;
use serde::Serialize;
use storage::Comparable;
use utoipa::ToSchema;

use super::factors::Factor;
use crate::serving::models::Served;

/// The valuation of a car: the asking price to expect in listings, and the interval that covers most of them.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(example = json!(example()))]
pub(crate) struct Valuation {
    /// The expected asking price: half of such cars are offered for less, half for more.
    price: f64,
    /// The currency of the market.
    #[schema(example = "RUB")]
    currency: String,
    /// The task that was predicted.
    #[schema(example = "price")]
    task: String,
    /// The unit of all amounts: the currency, or `days` if the task predicts for how long a car is listed.
    #[schema(example = "RUB")]
    unit: String,
    /// Lower end of the interval.
    low: f64,
    /// Upper end of the interval.
    high: f64,
    /// The share of such cars that are offered within the interval.
    level: f64,
    /// The distribution of asking prices, before calibration.
    quantiles: Vec<Quantile>,
    /// The date of the price: that of the listing, or today.
    #[schema(value_type = String, format = Date)]
    as_of: NaiveDate,
    /// The date of the newest listing that the model learned from; null if its listings had no dates. The further the date of the
    /// price is from it, the wider the interval.
    #[schema(value_type = Option<String>, format = Date)]
    market_as_of: Option<NaiveDate>,
    /// The model that valued the car.
    model: ModelReference,
    /// What the model does not know about the car or the market of the day.
    warnings: Vec<Warning>,
    /// The effect of each field on the price, the strongest first; with `explain=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    factors: Option<Vec<Factor>>,
    /// Listings of similar cars, the most similar first; with `comparables=N`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    comparables: Option<Vec<Comparable>>,
}

/// The price below which a share of such cars is offered.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Quantile {
    /// The share.
    #[schema(example = 0.25)]
    level: f64,
    /// The price.
    #[schema(example = 1_236_000.0)]
    price: f64,
}

/// The model behind a valuation.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ModelReference {
    /// Its version in the registry.
    #[schema(example = 3)]
    version: i64,
    /// When it was trained, RFC 3339.
    #[schema(example = "2026-11-20T08:15:42Z", format = DateTime)]
    trained_at: String,
}

impl Valuation {
    pub(super) fn new(served: &Served, valuation: domain::Valuation, factors: Option<Vec<Factor>>) -> Self {
        let signature = served.model.signature();
        let levels = signature.quantiles.iter().copied();
        let quantiles =
            levels.zip(valuation.quantiles).map(|(level, price)| Quantile { level, price: round_to_cents(price) });
        Self {
            price: round_to_cents(valuation.price),
            currency: served.market().currency().to_owned(),
            task: served.task().name.clone(),
            unit: served.task().unit().to_owned(),
            low: round_to_cents(valuation.low),
            high: round_to_cents(valuation.high),
            level: valuation.level,
            quantiles: quantiles.collect(),
            as_of: valuation.as_of,
            market_as_of: valuation.market_as_of,
            model: ModelReference { version: served.version, trained_at: signature.run.trained_at.clone() },
            warnings: valuation.warnings,
            factors,
            comparables: None,
        }
    }

    /// Adds listings of similar cars, or a warning if they are not available.
    pub(super) fn with_comparables(mut self, comparables: Option<Vec<Comparable>>) -> Self {
        if comparables.is_none() {
            self.warnings.push(Warning {
                code: "comparables_unavailable",
                field: String::new(),
                message: "comparable listings are not available at the moment; the price does not depend on them"
                    .to_owned(),
            });
        }
        self.comparables = comparables;
        self
    }
}

/// Rounds to two decimals.
fn round_to_cents(amount: f64) -> f64 {
    (amount * 100.0).round() / 100.0
}

fn example() -> serde_json::Value {
    serde_json::json!({
        "price": 1_318_400.25, "currency": "RUB", "task": "price", "unit": "RUB", "low": 1_121_300.5, "high": 1_498_200.75, "level": 0.8,
        "quantiles": [
            { "level": 0.05, "price": 1_054_700.0 }, { "level": 0.1, "price": 1_131_900.0 },
            { "level": 0.25, "price": 1_236_000.0 }, { "level": 0.5, "price": 1_318_400.25 },
            { "level": 0.75, "price": 1_402_100.0 }, { "level": 0.9, "price": 1_486_300.0 },
            { "level": 0.95, "price": 1_552_800.0 },
        ],
        "as_of": "2026-11-22",
        "market_as_of": "2026-11-15",
        "model": { "version": 3, "trained_at": "2026-11-20T08:15:42Z" },
        "warnings": [{
            "code": "unknown_value", "field": "color",
            "message": "color \"белыйй\" is not known (did you mean \"белый\"?); the car was valued without it",
        }],
    })
}

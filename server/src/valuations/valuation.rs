//! A valuation as JSON.

use chrono::NaiveDate;
use domain::{Language, Warning};
use serde::Serialize;
use utoipa::ToSchema;

use super::asking_price::{self, AskingPrice};
use super::cents::round_to_cents;
use super::comparables::{self, Comparable};
use super::confidence::{self, Confidence};
use super::curves::{self, Curves};
use super::extras::Extras;
use super::factors::{self, Baseline, Factor};
use super::listing::ListingRequest;
use super::narrow::{self, Narrowing};
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
    /// How certain the price is, and why; in valuations of one car.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    confidence: Option<Confidence>,
    /// What separates the car from the usual one, the strongest first, for all groups of fields: the amounts add up to `price` less
    /// that of `baseline`. With `explain=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    factors: Option<Vec<Factor>>,
    /// The usual car of this model and year; with `explain=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    baseline: Option<Baseline>,
    /// Listings of similar cars, the most similar first, one per car and never the car itself; with `comparables=N`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    comparables: Option<Vec<Comparable>>,
    /// The missing fields that are expected to narrow the range if they are stated, the most useful first; with `narrow=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    narrow: Option<Vec<Narrowing>>,
    /// The price with other mileages, in some years, and on earlier days; with `curves=true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    curves: Option<Curves>,
    /// Where a given asking price lies among those of such cars; with `asking_price=N`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    asking_price: Option<AskingPrice>,
    /// The car as it was understood, with its texts in the form that the model knows; in valuations of a car that was read leniently.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = ListingRequest, required = false, nullable = false)]
    listing: Option<serde_json::Value>,
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
    /// A valuation without extras.
    pub(super) fn new(served: &Served, valuation: domain::Valuation) -> Self {
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
            confidence: None,
            factors: None,
            baseline: None,
            comparables: None,
            narrow: None,
            curves: None,
            asking_price: None,
            listing: None,
        }
    }

    /// Adds the car as it was understood.
    pub(super) fn with_listing(self, listing: serde_json::Value) -> Self {
        Self { listing: Some(listing), ..self }
    }

    /// The same with its warnings in a language.
    pub(super) fn in_language(self, language: Language) -> Self {
        let warnings = self.warnings.into_iter().map(|warning| warning.in_language(language)).collect();
        Self { warnings, ..self }
    }

    /// Adds what was asked for besides the price.
    pub(super) fn with_extras(mut self, extras: Extras) -> Self {
        let (baseline, factors) = extras.explanation.unzip();
        if extras.comparables_are_unavailable {
            self.warnings.push(Warning::new("comparables_unavailable", None, Vec::new()));
        }
        Self {
            confidence: Some(extras.confidence),
            factors,
            baseline,
            comparables: extras.comparables,
            narrow: extras.narrow,
            curves: extras.curves,
            asking_price: extras.asking_price,
            ..self
        }
    }
}

/// An example without extras.
pub(super) fn example() -> serde_json::Value {
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
            "nearest": "белый",
        }],
        "confidence": confidence::example(),
    })
}

/// An example with everything that can be asked for.
pub(super) fn complete_example() -> serde_json::Value {
    let mut example = example();
    example["factors"] = factors::examples();
    example["baseline"] = factors::baseline_example();
    example["comparables"] = serde_json::json!([comparables::example()]);
    example["narrow"] = serde_json::json!([narrow::example()]);
    example["curves"] = curves::example();
    example["asking_price"] = asking_price::example();
    example
}

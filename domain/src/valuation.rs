//! The valuation of a car.

use chrono::NaiveDate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::column::Column;
use crate::language::Language;
use crate::message::{self, Argument, Arguments, Topic};

/// The valuation of a car.
#[derive(Clone, Debug, PartialEq)]
pub struct Valuation {
    /// The median asking price, in currency units.
    pub price: f64,
    /// Lower bound of the calibrated interval.
    pub low: f64,
    /// Upper bound of the calibrated interval.
    pub high: f64,
    /// The share of asking prices that the interval covers.
    pub level: f64,
    /// The uncalibrated quantiles of the model, in the order of the levels in the model file.
    pub quantiles: Vec<f64>,
    /// The date of the price.
    pub as_of: NaiveDate,
    /// The date of the newest listing that the model learned from; `None` if its listings had no dates.
    pub market_as_of: Option<NaiveDate>,
    /// What the model does not know about the listing.
    pub warnings: Vec<Warning>,
}

/// Something that the model does not know about the car.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Warning {
    /// The kind of warning, for programs.
    #[schema(example = "unknown_value")]
    pub code: &'static str,
    /// The field of the listing.
    #[schema(example = "model")]
    pub field: String,
    /// The warning for people, with the nearest known value if there is one.
    #[schema(example = "model \"rioo\" is not known (did you mean \"rio\"?); the car was valued without it")]
    pub message: String,
    /// The nearest known value of an unknown one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "rio")]
    pub nearest: Option<String>,
    /// What the message is made of.
    #[serde(skip)]
    arguments: Arguments,
}

impl Warning {
    /// A warning about a field of the listing, or about none, in English.
    #[must_use]
    pub fn new(code: &'static str, field: Option<Column>, arguments: Arguments) -> Self {
        let message = message::text(Topic::Warning, code, &arguments, Language::English);
        let field = field.map_or("", Column::name).to_owned();
        let nearest = arguments.iter().find_map(|(name, argument)| match argument {
            Argument::Quoted(text) if *name == "nearest" => Some(text.clone()),
            _ => None,
        });
        Self { code, field, message, nearest, arguments }
    }

    /// The same in another language.
    #[must_use]
    pub fn in_language(self, language: Language) -> Self {
        match language {
            Language::English => self,
            Language::Russian => {
                Self { message: message::text(Topic::Warning, self.code, &self.arguments, language), ..self }
            }
        }
    }
}

//! The query parameters of valuations.

use domain::cell::{parse_cell, shorten};
use domain::column::MAX_PRICE;
use domain::{Cell, Column, Language, Reading, Value};
use onnx_model::Model;
use onnx_model::model::DEFAULT_LEVEL;
use serde::Serialize;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};
use utoipa::{IntoParams, ToSchema};

use crate::http::problem::{FieldError, FieldErrors};
use crate::http::query::{TASK, read_pairs};

/// The parameters of the valuation of one car.
#[derive(Clone, Debug, PartialEq, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(clippy::struct_excessive_bools, reason = "independent parameters")]
pub(crate) struct OneQuery {
    /// The task, one of `/v1/tasks`; by default that of the server. It determines what is predicted, and the units of the car.
    #[param(required = false, nullable = false, example = "price")]
    pub(crate) task: Option<String>,
    /// The share of asking prices that the interval covers: one of the levels that the model was calibrated for, by
    /// default 0.5, 0.8 and 0.9.
    #[param(schema_with = level, required = false)]
    pub(crate) level: f64,
    /// Whether to add `factors`: what separates the car, in money, from the usual one of its model and year, which is added as
    /// `baseline`.
    #[param(default = false, required = false)]
    pub(crate) explain: bool,
    /// How many listings of similar cars to add as `comparables`, at most 20.
    #[param(default = 0, minimum = 0, maximum = 20, required = false)]
    pub(crate) comparables: u32,
    /// An asking price to compare with those of such cars, which adds `asking_price`. The price of the car does not depend on it.
    #[param(ignore)]
    pub(crate) asking_price: Option<f64>,
    /// Whether to add `narrow`: which missing fields would narrow the range most.
    #[param(default = false, required = false)]
    pub(crate) narrow: bool,
    /// Whether to add `curves`: the price with other mileages, in some years, and on earlier days.
    #[param(default = false, required = false)]
    pub(crate) curves: bool,
    /// Whether to value a car whose make the model does not know, with a wide interval and a warning. By default it is
    /// refused with the error `unknown_brand`.
    #[param(default = false, required = false)]
    pub(crate) allow_unknown: bool,
}

/// The asking price as a number.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the document")]
pub(crate) struct AskingPriceQuery {
    /// An asking price to compare with those of such cars, which adds `asking_price`. The price of the car does not depend on it.
    #[param(minimum = 1.0, maximum = 10_000_000_000.0, required = false, nullable = false, example = 1_350_000)]
    asking_price: Option<f64>,
}

/// The asking price as people write it.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the document")]
pub(crate) struct LenientAskingPriceQuery {
    /// An asking price to compare with those of such cars, as people write it, such as `1,35 млн`; it adds `asking_price`. The price
    /// of the car does not depend on it.
    #[param(pattern = "^[1-9][0-9]{3,6}$", required = false, nullable = false, example = "1350000")]
    asking_price: Option<String>,
}

/// The parameters of a batch.
#[derive(Clone, Debug, PartialEq, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BatchQuery {
    /// The same as for one car.
    #[param(required = false, nullable = false, example = "price")]
    pub(crate) task: Option<String>,
    /// The same as for one car.
    #[param(schema_with = level, required = false)]
    pub(crate) level: f64,
    /// The same as for one car.
    #[param(default = false, required = false)]
    pub(crate) allow_unknown: bool,
}

/// The parameters of the predecessor's paths.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "for the document")]
pub(crate) struct PredecessorQuery {
    /// The same as for one car.
    #[param(required = false, nullable = false, example = "price")]
    task: Option<String>,
    /// Whether to value cars whose make the model does not know, with a wide interval. By default they get no price.
    #[param(default = false, required = false)]
    allow_unknown: bool,
}

/// The parameters of the valuation of a workbook, the first two of which are those of the predecessor's paths.
#[derive(Clone, Debug, PartialEq, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TableQuery {
    /// The same as for one car.
    #[param(required = false, nullable = false, example = "price")]
    pub(crate) task: Option<String>,
    /// Whether to value cars whose make the model does not know, with a wide interval. By default they get no price.
    #[param(default = false, required = false)]
    pub(crate) allow_unknown: bool,
    /// For whom results are written: for people who read `ru` or `en`, or the language of the `sheet`. Then the new columns have
    /// headers in that language and number formats, prices are rounded to what the model knows, the difference from the listed
    /// price is added where there is one, filters and tables span the new columns, and a sheet has a summary. By default for
    /// programs: fixed names, whole units, and nothing else changed.
    #[param(required = false, nullable = false, inline, example = "sheet")]
    pub(crate) language: Option<ResultLanguage>,
    /// `xlsx` for a workbook whatever the file is; by default the result has the format of the file.
    #[param(required = false, nullable = false, inline, example = "xlsx")]
    pub(crate) format: Option<ResultFormat>,
}

/// The parameters of the template.
#[derive(Clone, Debug, PartialEq, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TemplateQuery {
    /// The same as for one car.
    #[param(required = false, nullable = false, example = "price")]
    pub(crate) task: Option<String>,
    /// The language of headers and messages; by default headers are the names of the columns.
    #[param(required = false, nullable = false, inline, example = "ru")]
    pub(crate) language: Option<TemplateLanguage>,
}

/// A language of the template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TemplateLanguage {
    /// Russian.
    Ru,
    /// English.
    En,
}

impl From<TemplateLanguage> for Language {
    fn from(language: TemplateLanguage) -> Self {
        match language {
            TemplateLanguage::Ru => Self::Russian,
            TemplateLanguage::En => Self::English,
        }
    }
}

impl TemplateQuery {
    /// Reads the parameters.
    ///
    /// # Errors
    /// All parameters that are unknown, repeated or invalid.
    pub(crate) fn read(pairs: &[(String, String)]) -> Result<Self, FieldErrors> {
        let mut query = Self { task: None, language: None };
        read_pairs(pairs, |name, value| match (name, value) {
            (TASK, _) => {
                query.task = Some(value.to_owned());
                Ok(())
            }
            ("language", "ru") => {
                query.language = Some(TemplateLanguage::Ru);
                Ok(())
            }
            ("language", "en") => {
                query.language = Some(TemplateLanguage::En);
                Ok(())
            }
            ("language", _) => {
                let msg = format!("language must be ru or en (got {:?})", shorten(value));
                Err(FieldError::in_query(name, msg, "unknown_language"))
            }
            _ => Err(FieldError::unknown_parameter(name)),
        })?;
        Ok(query)
    }
}

/// The format of results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResultFormat {
    /// A workbook.
    Xlsx,
}

/// The language of results for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ResultLanguage {
    /// That of the headers.
    Sheet,
    /// Russian.
    Ru,
    /// English.
    En,
}

/// The maximum number of comparables.
pub(crate) const MAX_COMPARABLES: u32 = 20;

/// The minimum asking price: that of a listing.
const MIN_PRICE: f64 = 1.0;

/// The name of the parameter with an asking price.
pub(crate) const ASKING_PRICE: &str = "asking_price";

/// The name of the parameter that all valuations have.
pub(crate) const ALLOW_UNKNOWN: &str = "allow_unknown";

/// A level of a model. Those of most models are 0.5, 0.8 and 0.9, but a list of numbers that a client may choose from is more than
/// generators of clients understand.
fn level() -> Object {
    let level = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(0.5)).maximum(Some(0.9));
    level.default(Some(DEFAULT_LEVEL.into())).build()
}

impl Default for OneQuery {
    fn default() -> Self {
        Self {
            task: None,
            level: DEFAULT_LEVEL,
            explain: false,
            comparables: 0,
            asking_price: None,
            narrow: false,
            curves: false,
            allow_unknown: false,
        }
    }
}

impl OneQuery {
    /// Reads the parameters.
    ///
    /// # Errors
    /// All parameters that are unknown, repeated or invalid.
    pub(crate) fn read(pairs: &[(String, String)]) -> Result<Self, FieldErrors> {
        let mut query = Self::default();
        let take = |name: &str, value: &str| match name {
            TASK => {
                query.task = Some(value.to_owned());
                Ok(())
            }
            "level" => read_level(value).map(|level| query.level = level),
            "explain" => read_flag(name, value).map(|explain| query.explain = explain),
            "comparables" => read_count(name, value).map(|count| query.comparables = count),
            ASKING_PRICE => read_price(name, value).map(|price| query.asking_price = Some(price)),
            "narrow" => read_flag(name, value).map(|narrow| query.narrow = narrow),
            "curves" => read_flag(name, value).map(|curves| query.curves = curves),
            ALLOW_UNKNOWN => read_flag(name, value).map(|allowed| query.allow_unknown = allowed),
            _ => Err(FieldError::unknown_parameter(name)),
        };
        read_pairs(pairs, take)?;
        Ok(query)
    }
}

impl BatchQuery {
    /// Reads the parameters.
    ///
    /// # Errors
    /// All parameters that are unknown, repeated or invalid.
    pub(crate) fn read(pairs: &[(String, String)]) -> Result<Self, FieldErrors> {
        let mut query = Self { task: None, level: DEFAULT_LEVEL, allow_unknown: false };
        let take = |name: &str, value: &str| match name {
            TASK => {
                query.task = Some(value.to_owned());
                Ok(())
            }
            "level" => read_level(value).map(|level| query.level = level),
            ALLOW_UNKNOWN => read_flag(name, value).map(|allowed| query.allow_unknown = allowed),
            _ => Err(FieldError::unknown_parameter(name)),
        };
        read_pairs(pairs, take)?;
        Ok(query)
    }
}

impl TableQuery {
    /// Reads the parameter.
    ///
    /// # Errors
    /// All parameters that are unknown, repeated or invalid.
    pub(crate) fn read(pairs: &[(String, String)]) -> Result<Self, FieldErrors> {
        let mut query = Self { task: None, allow_unknown: false, language: None, format: None };
        let take = |name: &str, value: &str| match name {
            TASK => {
                query.task = Some(value.to_owned());
                Ok(())
            }
            ALLOW_UNKNOWN => read_flag(name, value).map(|allowed| query.allow_unknown = allowed),
            "language" => read_language(name, value).map(|language| query.language = Some(language)),
            "format" => read_format(name, value).map(|format| query.format = Some(format)),
            _ => Err(FieldError::unknown_parameter(name)),
        };
        read_pairs(pairs, take)?;
        Ok(query)
    }

    /// The same, but ignores other parameters, as the predecessor did.
    ///
    /// # Errors
    /// The parameter is repeated or invalid.
    pub(crate) fn read_leniently(mut pairs: Vec<(String, String)>) -> Result<Self, FieldErrors> {
        pairs.retain(|(name, _)| name == ALLOW_UNKNOWN || name == TASK);
        Self::read(&pairs)
    }
}

/// Refuses a level that the model is not calibrated for.
pub(crate) fn check_level(model: &Model, level: f64) -> Result<(), FieldError> {
    let levels = model.signature().calibration.levels();
    if levels.iter().any(|known| known.to_bits() == level.to_bits()) {
        return Ok(());
    }
    let known: Vec<String> = levels.iter().map(ToString::to_string).collect();
    let msg = format!("level must be one of {} (got {level})", known.join(", "));
    Err(FieldError::in_query("level", msg, "unknown_level"))
}

fn read_format(name: &str, value: &str) -> Result<ResultFormat, FieldError> {
    if value == "xlsx" {
        return Ok(ResultFormat::Xlsx);
    }
    let msg = format!("{name} must be xlsx (got {:?})", shorten(value));
    Err(FieldError::in_query(name, msg, "unknown_format"))
}

fn read_language(name: &str, value: &str) -> Result<ResultLanguage, FieldError> {
    match value {
        "sheet" => Ok(ResultLanguage::Sheet),
        "ru" => Ok(ResultLanguage::Ru),
        "en" => Ok(ResultLanguage::En),
        _ => {
            let msg = format!("{name} must be sheet, ru or en (got {:?})", shorten(value));
            Err(FieldError::in_query(name, msg, "unknown_language"))
        }
    }
}

fn read_level(value: &str) -> Result<f64, FieldError> {
    let level = value.parse().ok().filter(|level: &f64| level.is_finite());
    level.ok_or_else(|| {
        let msg = format!("level must be a number (got {:?})", shorten(value));
        FieldError::in_query("level", msg, "not_a_number")
    })
}

fn read_flag(name: &str, value: &str) -> Result<bool, FieldError> {
    value.parse().map_err(|_| {
        let msg = format!("{name} must be true or false (got {:?})", shorten(value));
        FieldError::in_query(name, msg, "not_a_boolean")
    })
}

fn read_price(name: &str, value: &str) -> Result<f64, FieldError> {
    let number: Option<f64> = value.parse().ok().filter(|number: &f64| number.is_finite());
    let number = number.ok_or_else(|| {
        let msg = format!("{name} must be a number (got {:?})", shorten(value));
        FieldError::in_query(name, msg, "not_a_number")
    })?;
    if (MIN_PRICE..=MAX_PRICE).contains(&number) {
        return Ok(number);
    }
    let msg = format!("{name} must be between {MIN_PRICE} and {MAX_PRICE} (got {:?})", shorten(value));
    Err(FieldError::in_query(name, msg, "out_of_range").within(MIN_PRICE, MAX_PRICE))
}

fn read_count(name: &str, value: &str) -> Result<u32, FieldError> {
    let count = value.parse().ok().filter(|count| *count <= MAX_COMPARABLES);
    count.ok_or_else(|| {
        let msg = format!("{name} must be a whole number from 0 to {MAX_COMPARABLES} (got {:?})", shorten(value));
        FieldError::in_query(name, msg, "out_of_range").within(0.0, f64::from(MAX_COMPARABLES))
    })
}

/// Takes the asking price out of the parameters.
pub(crate) fn take_asking_price(pairs: &mut Vec<(String, String)>) -> Option<String> {
    let index = pairs.iter().position(|(name, _)| name == ASKING_PRICE)?;
    Some(pairs.remove(index).1)
}

/// Reads an asking price as people write it; `None` if it is empty.
///
/// # Errors
/// It is not a price.
pub(crate) fn read_asking_price(text: &str, reading: Reading<'_>) -> Result<Option<f64>, FieldError> {
    match parse_cell(Column::Price, &Cell::Text(text), reading) {
        Ok(Some(Value::Number(price))) => Ok(Some(price)),
        Ok(_) => Ok(None),
        Err(problem) => {
            let msg = format!("{ASKING_PRICE} {} (got {:?})", problem.reason, problem.value);
            Err(FieldError::in_query(ASKING_PRICE, msg, problem.reason.code()).because(&problem.reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn parameters_are_read_strictly() {
        assert_eq!(OneQuery::read(&[]), Ok(OneQuery::default()));
        let query = OneQuery::read(&pairs(&[("explain", "true"), ("level", "0.9"), ("comparables", "5")]));
        assert_eq!(query, Ok(OneQuery { level: 0.9, explain: true, comparables: 5, ..OneQuery::default() }));
        let query = OneQuery::read(&pairs(&[("asking_price", "1.35e6"), ("narrow", "true"), ("curves", "true")]));
        let expected = OneQuery { asking_price: Some(1.35e6), narrow: true, curves: true, ..OneQuery::default() };
        assert_eq!(query, Ok(expected));
        let errors = OneQuery::read(&pairs(&[("level", "x"), ("explain", "1"), ("levle", "1"), ("level", "1")]));
        let codes: Vec<_> = errors.unwrap_err().as_slice().iter().map(|error| error.r#type).collect();
        assert_eq!(codes, ["not_a_number", "not_a_boolean", "unknown_parameter", "duplicate_field"]);
        for (price, code) in
            [("0", "out_of_range"), ("-5", "out_of_range"), ("1e99", "out_of_range"), ("NaN", "not_a_number")]
        {
            let errors = OneQuery::read(&pairs(&[("asking_price", price)])).unwrap_err();
            assert_eq!(errors.as_slice()[0].r#type, code, "{price}");
        }
    }

    #[test]
    fn the_predecessors_paths_ignore_other_parameters() {
        let query = [("allow_unknown", "true"), ("verbose", "1"), ("verbose", "2")];
        assert_eq!(
            TableQuery::read_leniently(pairs(&query)),
            Ok(TableQuery { task: None, allow_unknown: true, language: None, format: None })
        );
        assert!(TableQuery::read(&pairs(&query)).is_err());
        let errors = TableQuery::read_leniently(pairs(&[("allow_unknown", "yes")])).unwrap_err();
        assert_eq!(errors.as_slice()[0].r#type, "not_a_boolean");
    }
}

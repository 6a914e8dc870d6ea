//! Errors in the fields of a request.

use domain::cell::shorten;
use domain::message::{self, Argument, Arguments, Topic};
use domain::problem::Reason;
use domain::{Column, Language};
use serde::Serialize;
use utoipa::ToSchema;

/// The first field errors of a request, and how many more there are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldErrors {
    kept: Vec<FieldError>,
    /// How many errors to keep.
    max: usize,
    omitted: usize,
}

/// The maximum number of errors in a problem.
pub(crate) const MAX_ERRORS: usize = 50;
/// The maximum number of errors in `detail`.
const MAX_IN_DETAIL: usize = 5;

/// One wrong field.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct FieldError {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pointer: Option<String>,
    pub(crate) loc: Vec<Location>,
    pub(crate) msg: String,
    pub(crate) r#type: &'static str,
    /// Boxed, since errors are returned by value.
    #[serde(flatten)]
    hints: Option<Box<Hints>>,
}

/// What helps a program to correct a field.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Hints {
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    choices: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nearest: Option<String>,
}

/// One wrong field.
#[derive(ToSchema)]
#[schema(as = FieldError)]
#[expect(dead_code, reason = "the schema of an error, which is flat")]
pub(crate) struct FieldErrorSchema {
    /// The field, as a JSON pointer (RFC 6901) with long names truncated; absent for query parameters.
    #[schema(example = "/mileage", nullable = false, required = false)]
    pointer: Option<String>,
    /// The same as a list: `body` or `query`, then field names and indices.
    #[schema(example = json!(["body", "mileage"]))]
    loc: Vec<Location>,
    /// A description of the error for humans, in the language of `Accept-Language`: English or Russian.
    #[schema(example = "mileage must be between 0 and 2000000 (got -5)")]
    msg: String,
    /// An error code for programs.
    #[schema(example = "out_of_range")]
    r#type: String,
    /// The smallest accepted number, where one is out of range.
    #[schema(nullable = false, required = false, example = 0)]
    min: Option<f64>,
    /// The largest accepted number, where one is out of range.
    #[schema(nullable = false, required = false, example = 2_000_000)]
    max: Option<f64>,
    /// What a number with two meanings may mean.
    #[schema(nullable = false, required = false, example = json!([150, 150_000]))]
    choices: Option<[f64; 2]>,
    /// The nearest known value of an unknown one.
    #[schema(nullable = false, required = false, example = "kia")]
    nearest: Option<String>,
}

/// A step in the path to a field.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Location {
    /// The name of a field or parameter.
    Name(String),
    /// A zero-based index in a list.
    Index(usize),
}

impl From<&str> for Location {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl FieldErrors {
    /// No errors yet; the first `max` are kept, at most [`MAX_ERRORS`].
    pub(crate) fn with_limit(max: usize) -> Self {
        Self { kept: Vec::new(), max: max.min(MAX_ERRORS), omitted: 0 }
    }

    /// Adds an error; beyond the limit, only counts it.
    pub(crate) fn push(&mut self, error: impl FnOnce() -> FieldError) {
        if self.kept.len() < self.max {
            self.kept.push(error());
        } else {
            self.omitted += 1;
        }
    }

    /// Counts errors that are not kept.
    pub(crate) fn omit(&mut self, count: usize) {
        self.omitted += count;
    }

    /// Adds the errors of another part of the request.
    pub(crate) fn append(&mut self, others: Self) {
        others.kept.into_iter().for_each(|error| self.push(|| error));
        self.omitted += others.omitted;
    }

    /// The errors that are kept.
    pub(crate) fn as_slice(&self) -> &[FieldError] {
        &self.kept
    }

    /// The same in another language.
    pub(super) fn in_language(self, language: Language) -> Self {
        let kept = self.kept.into_iter().map(|error| error.in_language(language)).collect();
        Self { kept, ..self }
    }

    /// How many more errors there are.
    pub(super) fn omitted(&self) -> usize {
        self.omitted
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.omitted == 0
    }

    /// The first errors in one sentence, and how many more there are.
    pub(super) fn detail(&self, language: Language) -> String {
        let messages: Vec<&str> = self.kept.iter().take(MAX_IN_DETAIL).map(|error| error.msg.as_str()).collect();
        let detail = messages.join("; ");
        match self.kept.len() - messages.len() + self.omitted {
            0 => detail,
            more if language == Language::Russian => format!("{detail}; и ещё {more}"),
            more => format!("{detail}; and {more} more"),
        }
    }
}

/// The values of two parts of a request, or the errors of both.
pub(crate) fn both<A, B>(first: Result<A, FieldErrors>, second: Result<B, FieldErrors>) -> Result<(A, B), FieldErrors> {
    match (first, second) {
        (Ok(first), Ok(second)) => Ok((first, second)),
        (first, second) => {
            let mut errors = first.err().unwrap_or_default();
            errors.append(second.err().unwrap_or_default());
            Err(errors)
        }
    }
}

impl Default for FieldErrors {
    fn default() -> Self {
        Self::with_limit(MAX_ERRORS)
    }
}

impl From<FieldError> for FieldErrors {
    fn from(error: FieldError) -> Self {
        let mut errors = Self::default();
        errors.push(|| error);
        errors
    }
}

impl FieldError {
    /// An invalid query parameter.
    pub(crate) fn in_query(parameter: &str, msg: String, r#type: &'static str) -> Self {
        Self::new(None, vec!["query".into(), Location::Name(shorten(parameter))], msg, r#type)
    }

    /// An unknown query parameter.
    pub(crate) fn unknown_parameter(name: &str) -> Self {
        Self::in_query(name, format!("{} is not a parameter of this endpoint", shorten(name)), "unknown_parameter")
    }

    /// An error in the body, at a path of field names and indices.
    pub(crate) fn in_body(path: &[Location], msg: String, r#type: &'static str) -> Self {
        let steps = path.iter().map(|step| match step {
            Location::Name(name) => format!("/{}", name.replace('~', "~0").replace('/', "~1")),
            Location::Index(index) => format!("/{index}"),
        });
        let loc = std::iter::once("body".into()).chain(path.iter().cloned()).collect();
        Self::new(Some(steps.collect()), loc, msg, r#type)
    }

    /// An invalid value in the body.
    pub(crate) fn of_reason(path: &[Location], msg: String, reason: &Reason) -> Self {
        Self::in_body(path, msg, reason.code()).because(reason)
    }

    /// Adds what a program needs to know of the reason: bounds and choices.
    pub(crate) fn because(self, reason: &Reason) -> Self {
        match *reason {
            Reason::OutOfRange { min, max } => self.within(min, max),
            Reason::Ambiguous { first, second } => self.hint(|hints| hints.choices = Some([first, second])),
            _ => self,
        }
    }

    /// Adds the bounds of a number.
    pub(crate) fn within(self, min: f64, max: f64) -> Self {
        self.hint(|hints| (hints.min, hints.max) = (Some(min), Some(max)))
    }

    /// Adds the nearest known value, if any.
    pub(crate) fn with_nearest(self, nearest: Option<String>) -> Self {
        if nearest.is_none() { self } else { self.hint(|hints| hints.nearest = nearest) }
    }

    /// The same in another language.
    pub(super) fn in_language(self, language: Language) -> Self {
        if language == Language::English {
            return self;
        }
        let number = |name, number: Option<f64>| Some((name, Argument::Number(number?)));
        let hints = self.hints.as_deref().cloned().unwrap_or_default();
        let choice = |index: usize| hints.choices.map(|choices| choices[index]);
        let numbers = [
            number("min", hints.min),
            number("max", hints.max),
            number("first", choice(0)),
            number("second", choice(1)),
        ];
        let nearest = hints.nearest.map(|nearest| ("nearest", Argument::Quoted(nearest)));
        let arguments: Arguments = numbers.into_iter().flatten().chain(nearest).collect();
        // A list that is too long is an error of the whole body.
        let is_list = self.pointer.as_deref() == Some("") && self.r#type == "too_long";
        let code = if is_list { "too_many_items" } else { self.r#type };
        let text = message::text(Topic::Field, code, &arguments, language);
        let field = self.loc.iter().skip(1).rev().find_map(|step| match step {
            Location::Name(name) => Some(Column::from_name(name).map_or(name.as_str(), |column| column.label().0)),
            Location::Index(_) => None,
        });
        let msg = field.map_or_else(|| text.clone(), |field| format!("{field}: {text}"));
        Self { msg, ..self }
    }

    fn hint(mut self, change: impl FnOnce(&mut Hints)) -> Self {
        change(self.hints.get_or_insert_default());
        self
    }

    fn new(pointer: Option<String>, loc: Vec<Location>, msg: String, r#type: &'static str) -> Self {
        Self { pointer, loc, msg, r#type, hints: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pointers_are_escaped() {
        let error = FieldError::in_body(&[Location::Index(3), "a/b~c".into()], String::new(), "unknown_field");
        assert_eq!(error.pointer.as_deref(), Some("/3/a~1b~0c"));
        let loc = serde_json::to_value(error.loc).unwrap();
        assert_eq!(loc, serde_json::json!(["body", 3, "a/b~c"]));
    }
}

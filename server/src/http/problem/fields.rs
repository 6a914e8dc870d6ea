//! Errors in the fields of a request.

use domain::cell::shorten;
use domain::problem::Reason;
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
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(crate) struct FieldError {
    /// The field, as a JSON pointer (RFC 6901) with long names truncated; absent for query parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/mileage", nullable = false)]
    pub(crate) pointer: Option<String>,
    /// The same as a list: `body` or `query`, then field names and indices.
    #[schema(example = json!(["body", "mileage"]))]
    pub(crate) loc: Vec<Location>,
    /// A description of the error for humans.
    #[schema(example = "mileage must be between 0 and 2000000 (got -5)")]
    pub(crate) msg: String,
    /// An error code for programs.
    #[schema(example = "out_of_range")]
    pub(crate) r#type: &'static str,
    /// The smallest accepted number, where one is out of range.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 0)]
    pub(crate) min: Option<f64>,
    /// The largest accepted number, where one is out of range.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = 2_000_000)]
    pub(crate) max: Option<f64>,
    /// What a number with two meanings may mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = json!([150, 150_000]))]
    pub(crate) choices: Option<[f64; 2]>,
    /// The nearest known value of an unknown one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "kia")]
    pub(crate) nearest: Option<String>,
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

    /// How many more errors there are.
    pub(super) fn omitted(&self) -> usize {
        self.omitted
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.kept.is_empty() && self.omitted == 0
    }

    /// The first errors in one sentence, and how many more there are.
    pub(super) fn detail(&self) -> String {
        let messages: Vec<&str> = self.kept.iter().take(MAX_IN_DETAIL).map(|error| error.msg.as_str()).collect();
        let detail = messages.join("; ");
        match self.kept.len() - messages.len() + self.omitted {
            0 => detail,
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
            Reason::Ambiguous { first, second } => Self { choices: Some([first, second]), ..self },
            _ => self,
        }
    }

    /// Adds the bounds of a number.
    pub(crate) fn within(self, min: f64, max: f64) -> Self {
        Self { min: Some(min), max: Some(max), ..self }
    }

    fn new(pointer: Option<String>, loc: Vec<Location>, msg: String, r#type: &'static str) -> Self {
        Self { pointer, loc, msg, r#type, min: None, max: None, choices: None, nearest: None }
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

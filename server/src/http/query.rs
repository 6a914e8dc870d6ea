//! Strict parsing of query strings.

use std::collections::HashSet;

use domain::cell::shorten;

use utoipa::IntoParams;

use crate::http::problem::{FieldError, FieldErrors};

/// The name of the parameter that chooses a task.
pub(crate) const TASK: &str = "task";

/// The task of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TaskQuery {
    /// The task, one of `/v1/tasks`; by default that of the server.
    #[param(required = false, nullable = false, example = "price")]
    pub(crate) task: Option<String>,
}

impl TaskQuery {
    /// Reads the parameter.
    ///
    /// # Errors
    /// All parameters that are unknown or repeated.
    pub(crate) fn read(pairs: &[(String, String)]) -> Result<Self, FieldErrors> {
        let mut query = Self::default();
        read_pairs(pairs, |name, value| match name {
            TASK => {
                query.task = Some(value.to_owned());
                Ok(())
            }
            _ => Err(FieldError::unknown_parameter(name)),
        })?;
        Ok(query)
    }
}

/// Passes each parameter to `take` and collects all errors. A repeated parameter is an error.
pub(crate) fn read_pairs(
    pairs: &[(String, String)],
    mut take: impl FnMut(&str, &str) -> Result<(), FieldError>,
) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    let mut seen = HashSet::new();
    for (name, value) in pairs {
        if !seen.insert(name) {
            let msg = || format!("{} is specified more than once", shorten(name));
            errors.push(|| FieldError::in_query(name, msg(), "duplicate_field"));
        } else if let Err(error) = take(name, value) {
            errors.push(|| error);
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

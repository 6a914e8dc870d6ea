//! Strict parsing of query strings.

use std::collections::HashSet;

use domain::cell::shorten;

use crate::http::problem::{FieldError, FieldErrors};

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

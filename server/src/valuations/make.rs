//! Makes that the model does not know.

use domain::{Column, Listing};
use onnx_model::UnknownMake;

use super::query::ALLOW_UNKNOWN;
use crate::http::problem::{FieldError, Location};
use crate::observability::metrics::Metrics;
use crate::serving::models::Served;

/// The unknown make of a car, counted in the metrics.
pub(crate) fn find_unknown(metrics: &Metrics, served: &Served, listing: &Listing) -> Option<UnknownMake> {
    let make = served.model.unknown_make(listing)?;
    metrics.record_unknown_value(Column::Brand.name());
    Some(make)
}

/// Refuses a car of an unknown make. The path is that of the car in the body.
pub(crate) fn check_known(
    metrics: &Metrics,
    served: &Served,
    listing: &Listing,
    path: &[Location],
) -> Result<(), FieldError> {
    let Some(make) = find_unknown(metrics, served, listing) else { return Ok(()) };
    let msg = format!("{make}; correct it, or add {ALLOW_UNKNOWN}=true to value the car without it");
    let error = FieldError::in_body(&[path, &[Column::Brand.name().into()]].concat(), msg, "unknown_brand");
    Err(error.with_nearest(make.nearest))
}

//! What operators ask for: liveness, readiness, metrics.

pub(crate) mod exposition;
pub(crate) mod health;

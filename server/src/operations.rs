//! Endpoints for operators: liveness, readiness and metrics.

pub(crate) mod exposition;
pub(crate) mod health;

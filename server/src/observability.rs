//! Metrics and drift detection.

pub(crate) mod drift;
pub(crate) mod metrics;

//! What is observed of requests and valued cars.

pub(crate) mod drift;
pub(crate) mod metrics;

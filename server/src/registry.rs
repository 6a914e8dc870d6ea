//! The model registry and the runs of training, over HTTP.

pub(crate) mod models;
pub(crate) mod runs;
pub(crate) mod tasks;

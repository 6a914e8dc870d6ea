//! The model registry, the runs of training and the sweeps, over HTTP.

pub(crate) mod models;
pub(crate) mod runs;
pub(crate) mod served;
pub(crate) mod sweeps;
pub(crate) mod tasks;

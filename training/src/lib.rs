//! From tables to a registered model: import, stream, network, training, evaluation, export.

mod budget;
mod checkpoint;
pub mod config;
mod error;
pub mod evaluate;
pub mod explore;
pub mod export;
pub mod import;
mod learner;
pub mod model;
mod statistics;
pub mod stream;
pub mod synth;
pub mod train;

pub use config::TrainConfig;
pub use error::Error;

//! From tables to a registered model: import, stream, network, training, evaluation, export.

mod accuracy;
mod budget;
mod checkpoint;
pub mod config;
mod error;
pub mod evaluate;
pub mod export;
pub mod foreign;
mod frequency;
pub mod import;
mod learner;
mod level;
mod linear;
mod masks;
pub mod model;
mod residuals;
mod statistics;
pub mod stream;
pub mod sweep;
pub mod synth;
pub mod train;
pub mod vocabulary;

pub use config::TrainConfig;
pub use error::Error;

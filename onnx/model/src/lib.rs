//! The model file: what it says of itself, how a listing becomes its inputs, and inference.
//!
//! Knows no training: a server needs this crate and nothing else of the model's making.

pub mod encoder;
mod error;
mod file;
mod graph;
pub mod model;
mod pool;
mod ranges;
pub mod reference;
pub mod runtime;
pub mod signature;
mod sizes;
mod warning;

pub use encoder::Encoder;
pub use error::Error;
pub use graph::{CATEGORICAL_INPUT, NUMERIC_INPUT, OUTPUT};
pub use model::{Model, Sessions};
pub use runtime::Runtime;
pub use signature::Signature;

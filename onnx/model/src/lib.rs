//! The model file: its metadata, the encoding of listings into its inputs, and inference.
//!
//! Independent of training: of everything about models, a server needs this crate alone.

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

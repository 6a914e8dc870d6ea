//! The model file: its metadata, the encoding of listings into its inputs, and inference.
//!
//! Independent of training: this is all that a server needs to use models.

pub mod encoder;
mod error;
mod file;
pub mod foreign;
mod graph;
pub mod model;
pub mod names;
mod pool;
mod ranges;
pub mod reference;
pub mod runtime;
mod shapes;
pub mod signature;
mod warning;

pub use encoder::Encoder;
pub use error::{Error, ForeignError};
pub use foreign::ForeignFile;
pub use graph::{CATEGORICAL_INPUT, NUMERIC_INPUT, OUTPUT};
pub use model::{Model, Sessions};
pub use runtime::Runtime;
pub use signature::Signature;
pub use warning::UnknownMake;

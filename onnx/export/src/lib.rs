//! Exports a burn module to ONNX by recording its own `forward`.
//!
//! [`export`] runs `forward` twice on a device that records operations instead of computing them, with two different
//! numbers of rows. What differs between the recordings is the batch and becomes the symbolic dimension `N`; what does
//! not differ is fixed. The recorded operations are then lowered, one by one, to an ONNX file.
//!
//! ```no_run
//! use burn::nn::{Linear, LinearConfig};
//! use burn::prelude::*;
//! use onnx_export::{Graph, Input, Traced, export};
//!
//! let model: Linear = LinearConfig::new(4, 2).init(&Device::flex());
//! let graph = Graph {
//!     name: "example",
//!     producer: ("my-tool", "1.0"),
//!     inputs: &[Input::Float32 { name: "numbers", columns: 4 }],
//!     output: "prediction",
//!     metadata: &[],
//! };
//! let file = export(&graph, |device, inputs| {
//!     let [Traced::Float(numbers)] = inputs else { unreachable!("the graph has one float input") };
//!     model.clone().to_device(device).forward(numbers.clone())
//! })?;
//! # let _: Vec<u8> = file;
//! # Ok::<(), onnx_export::ExportError>(())
//! ```
//!
//! Four rules hold for every file:
//!
//! - Every integer is an int64, whatever width burn gave it; every float is a float32.
//! - The same module gives the same bytes.
//! - NaN, the mark of a missing number, propagates as in burn, also in runtimes that lose it in a clamp.
//! - An operation that cannot be lowered is an error that names it, never an approximation.

mod dims;
mod error;
mod graph;
mod lower;
mod nan;
mod proto;
mod trace;

use burn::tensor::{Device, Tensor};

pub use error::ExportError;
pub use graph::{Graph, Input, Traced};

/// Records `forward` and returns the ONNX file (opset 17) that computes the same.
///
/// `forward` receives the recording device and a tensor for each input. It has to move the module there (`to_device`)
/// and must not depend on the number of rows. Tensors on that device hold no values: reading one fails.
///
/// # Errors
///
/// See [`ExportError`].
///
/// # Panics
///
/// Where `forward` panics, as burn does on shapes that do not match, and on a module that tracks gradients: pass the
/// one for inference (`module.valid()`).
pub fn export(graph: &Graph<'_>, forward: impl Fn(&Device, &[Traced]) -> Tensor<2>) -> Result<Vec<u8>, ExportError> {
    check_names(graph)?;
    let trace = trace::trace(graph.inputs, forward)?;
    let lowered = lower::lower(graph, &trace)?;
    Ok(proto::encode(graph, lowered))
}

/// Names inside the graph begin with `/`, so that they never clash with the caller's.
fn check_names(graph: &Graph<'_>) -> Result<(), ExportError> {
    let mut seen = Vec::new();
    for name in graph.inputs.iter().map(Input::name).chain([graph.output]) {
        if name.is_empty() || name.starts_with('/') || seen.contains(&name) {
            return Err(ExportError::Name { name: name.into() });
        }
        seen.push(name);
    }
    Ok(())
}

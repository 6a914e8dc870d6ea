//! Exports a burn module to ONNX by recording its own `forward`.
//!
//! [`export`] runs `forward` on a device that records operations instead of executing them, with two different numbers of
//! rows. Dimensions that differ between the recordings depend on the batch and use the symbolic dimension `N`; all others are
//! fixed. The recorded operations are then lowered one by one to ONNX.
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
//! - All integers are int64, regardless of their width in burn; all floats are float32.
//! - The export is deterministic.
//! - NaN, which marks a missing number, propagates as in burn, even in runtimes that lose it in a clamp.
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

/// Records `forward` and returns an equivalent ONNX file (opset 17).
///
/// `forward` receives the recording device and a tensor for each input. It must move the module to the device (`to_device`)
/// and must not depend on the number of rows. Tensors on the device have no values, so reading one fails.
///
/// # Errors
///
/// See [`ExportError`].
///
/// # Panics
///
/// If `forward` panics, as burn does on mismatched shapes, and if the module tracks gradients: pass `module.valid()`.
pub fn export(graph: &Graph<'_>, forward: impl Fn(&Device, &[Traced]) -> Tensor<2>) -> Result<Vec<u8>, ExportError> {
    check_names(graph)?;
    let trace = trace::trace(graph.inputs, forward)?;
    let lowered = lower::lower(graph, &trace)?;
    Ok(proto::encode(graph, lowered))
}

/// Checks the names of the caller. Internal names start with `/`, so that they never conflict.
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

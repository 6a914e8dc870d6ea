//! Why a module cannot be exported.

use burn::tensor::{CaptureError, DType};
use thiserror::Error;

/// Why a module cannot be exported. Messages name the operation and have advice.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The name of an input or output is invalid.
    #[error(
        "`{name}` is not a valid name of an input or the output: names must be unique and not empty, and must not start with `/`"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// The recording failed.
    #[error("forward could not be recorded: {0}")]
    Capture(CaptureError),
    /// `forward` returned a tensor on another device.
    #[error("forward returned a tensor on another device; move the module to the given device")]
    Device,
    /// `forward` depends on the number of rows.
    #[error(
        "operation {position} of forward is {first} for one batch and {second} for another; \
         operations and their parameters must not depend on the number of rows"
    )]
    Diverged {
        /// The index in execution order.
        position: usize,
        /// The operation for the first batch.
        first: String,
        /// The operation for the second batch.
        second: String,
    },
    /// A tensor created in `forward` depends on the number of rows.
    #[error(
        "{operation} uses a tensor whose size depends on the number of rows; \
         broadcast a single row instead, or use `mask_fill` or a scalar"
    )]
    BatchSized {
        /// The operation that uses it.
        operation: String,
    },
    /// A dimension is neither fixed nor proportional to the batch size.
    #[error(
        "{operation} has dimensions {first:?} for one batch and {second:?} for another; \
         only fixed dimensions and multiples of the number of rows can be exported"
    )]
    Dimension {
        /// The operation.
        operation: String,
        /// The dimensions for the first batch.
        first: Vec<usize>,
        /// The dimensions for the second batch.
        second: Vec<usize>,
    },
    /// A reshape has two batch-dependent dimensions, but ONNX can only infer one.
    #[error("{operation} has more than one dimension that depends on the number of rows; only one is supported")]
    TwoDynamicDimensions {
        /// The operation.
        operation: String,
    },
    /// There is no lowering for the operation.
    #[error("{operation} has no lowering to ONNX; avoid it in forward, or add a lowering to onnx/export")]
    Unsupported {
        /// The operation.
        operation: String,
    },
    /// There is no lowering for tensors of this type.
    #[error("{operation} uses {dtype:?}; only float32, integers and booleans can be exported")]
    Type {
        /// The operation.
        operation: String,
        /// The element type.
        dtype: DType,
    },
}

//! Why a module cannot be exported.

use burn::tensor::{CaptureError, DType};
use thiserror::Error;

/// Why a module cannot be exported. Each message names the operation and what to do about it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExportError {
    /// A name of the graph cannot be used.
    #[error("`{name}` cannot name an input or the output: names differ, are not empty and do not begin with `/`")]
    Name {
        /// The name.
        name: String,
    },
    /// The recording itself failed.
    #[error("forward could not be recorded: {0}")]
    Capture(CaptureError),
    /// `forward` returned a tensor that does not live on the recording device.
    #[error("forward returned a tensor of another device; move the module to the device that it is given")]
    Device,
    /// `forward` does something else for another number of rows.
    #[error(
        "operation {position} of forward is {first} for one batch and {second} for another; \
         neither its operations nor their parameters may depend on the number of rows"
    )]
    Diverged {
        /// Counted from 0, in the order of execution.
        position: usize,
        /// The operation for the first batch.
        first: String,
        /// The operation for the second batch.
        second: String,
    },
    /// A tensor made inside `forward` depends on the number of rows.
    #[error(
        "{operation} needs a tensor that forward creates for each number of rows; \
         let one row broadcast instead, or use `mask_fill` or a scalar"
    )]
    BatchSized {
        /// The operation that makes or needs it.
        operation: String,
    },
    /// A dimension grows with the batch, but not in proportion.
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
    /// A reshape has two dimensions that depend on the batch, and ONNX can infer one.
    #[error("{operation} makes more than one dimension that depends on the number of rows; keep one")]
    TwoDynamicDimensions {
        /// The operation.
        operation: String,
    },
    /// There is no lowering for the operation.
    #[error("{operation} has no lowering to ONNX; write forward without it, or add a lowering to onnx/export")]
    Unsupported {
        /// The operation.
        operation: String,
    },
    /// There is no lowering for tensors of this type.
    #[error("{operation} works on {dtype:?}, and only float32, integers and booleans can be exported")]
    Type {
        /// The operation.
        operation: String,
        /// The element type.
        dtype: DType,
    },
}

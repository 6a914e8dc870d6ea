//! Layout operations: reshape, transpose, slice, gather and concatenation.

use burn::backend::ir::{CatOpIr, SelectOpIr, SliceOpIr, SwapDimsOpIr, TensorIr};
use burn::tensor::Slice;

use super::Lowering;
use crate::dims::{Dim, inserted_axes};
use crate::error::ExportError;
use crate::proto::{dim_value, int, ints};

impl Lowering<'_> {
    /// Uses Unsqueeze or Squeeze if possible, which runtimes execute without a copy.
    pub(super) fn reshape(&mut self, input: &TensorIr, out: &TensorIr) -> Result<(), ExportError> {
        let (from, to) = (self.dims(input.id), self.dims(out.id));
        if from == to {
            return self.alias(input, out);
        }
        let (op_type, list) = if let Some(axes) = inserted_axes(from, to) {
            ("Unsqueeze", axes)
        } else if let Some(axes) = inserted_axes(to, from) {
            ("Squeeze", axes)
        } else {
            ("Reshape", self.reshape_target(to)?)
        };
        let inputs = vec![self.value(input)?, self.builder.list(list)];
        self.push(op_type, inputs, vec![], out)
    }

    /// The batch-dependent dimension is -1, which the runtime infers.
    fn reshape_target(&self, to: &[Dim]) -> Result<Vec<i64>, ExportError> {
        if to.iter().filter(|dim| matches!(dim, Dim::Rows(_))).count() > 1 {
            return Err(ExportError::TwoDynamicDimensions { operation: self.operation.clone() });
        }
        let size = |dim: &Dim| match dim {
            Dim::Fixed(size) => dim_value(*size),
            Dim::Rows(_) => -1,
        };
        Ok(to.iter().map(size).collect())
    }

    pub(super) fn swap_dims(&mut self, op: &SwapDimsOpIr) -> Result<(), ExportError> {
        let mut axes: Vec<_> = (0..op.input.shape.num_dims()).collect();
        axes.swap(op.dim1, op.dim2);
        self.transpose(&op.input, &axes, &op.out)
    }

    pub(super) fn transpose(&mut self, input: &TensorIr, axes: &[usize], out: &TensorIr) -> Result<(), ExportError> {
        if axes.is_sorted() {
            return self.alias(input, out);
        }
        let axes = axes.iter().map(|axis| dim_value(*axis)).collect();
        self.emit_with("Transpose", &[input], vec![ints("perm", axes)], out)
    }

    /// Slices only the axes without a full range.
    pub(super) fn slice(&mut self, op: &SliceOpIr) -> Result<(), ExportError> {
        let mut bounds_by_kind = [vec![], vec![], vec![], vec![]];
        for (axis, range) in op.ranges.iter().enumerate().filter(|(_, range)| **range != Slice::full()) {
            // burn and ONNX interpret negative steps differently.
            let (Some(end), 1..) = (range.end, range.step) else { return Err(self.unsupported()) };
            let bounds = [range.start, end, axis.cast_signed(), range.step];
            for (list, value) in bounds_by_kind.iter_mut().zip(bounds) {
                list.push(value as i64);
            }
        }
        if bounds_by_kind[0].is_empty() {
            return self.alias(&op.tensor, &op.out);
        }
        let mut inputs = vec![self.value(&op.tensor)?];
        inputs.extend(bounds_by_kind.map(|list| self.builder.list(list)));
        self.push("Slice", inputs, vec![], &op.out)
    }

    /// Selects rows of a table, or slices along another axis.
    pub(super) fn gather(&mut self, op: &SelectOpIr) -> Result<(), ExportError> {
        self.emit_with("Gather", &[&op.tensor, &op.indices], vec![int("axis", dim_value(op.dim))], &op.out)
    }

    pub(super) fn concat(&mut self, op: &CatOpIr) -> Result<(), ExportError> {
        let tensors: Vec<_> = op.tensors.iter().collect();
        self.emit_with("Concat", &tensors, vec![int("axis", dim_value(op.dim))], &op.out)
    }
}

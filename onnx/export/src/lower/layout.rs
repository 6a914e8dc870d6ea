//! Operations that move elements without computing: shapes, axes, slices, rows of a table.

use burn::backend::ir::{CatOpIr, RepeatDimOpIr, ScalarIr, SliceOpIr, SwapDimsOpIr, TensorIr};
use burn::tensor::Slice;

use super::Lowering;
use crate::ExportError;
use crate::dims::{Dim, inserted_axes};
use crate::proto::{dim_value, int, ints};

impl Lowering<'_> {
    /// As Unsqueeze or Squeeze where that is all it is, which runtimes handle without a copy.
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

    /// The one dimension that depends on the batch is left to the runtime, as -1.
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

    /// ONNX broadcasts both ways, so a 1 in the target keeps a dimension, the batch too.
    pub(super) fn expand(&mut self, input: &TensorIr, out: &TensorIr) -> Result<(), ExportError> {
        let (from, to) = (self.dims(input.id), self.dims(out.id));
        if from == to {
            return self.alias(input, out);
        }
        let missing = to.len() - from.len();
        let target = to.iter().enumerate().map(|(axis, dim)| match dim {
            Dim::Fixed(size) => Ok(dim_value(*size)),
            Dim::Rows(_) if axis >= missing && from[axis - missing] == *dim => Ok(1),
            Dim::Rows(_) => Err(self.batch_sized()),
        });
        let target = target.collect::<Result<_, _>>()?;
        let inputs = vec![self.value(input)?, self.builder.list(target)];
        self.push("Expand", inputs, vec![], out)
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

    /// Only the axes that are cut; a full range is the same for every batch.
    pub(super) fn slice(&mut self, op: &SliceOpIr) -> Result<(), ExportError> {
        let mut cut = [vec![], vec![], vec![], vec![]];
        for (axis, range) in op.ranges.iter().enumerate().filter(|(_, range)| **range != Slice::full()) {
            // burn counts a negative step from the other end than ONNX does.
            let (Some(end), 1..) = (range.end, range.step) else { return Err(self.unsupported()) };
            let bounds = [range.start, end, axis.cast_signed(), range.step];
            for (list, value) in cut.iter_mut().zip(bounds) {
                list.push(value as i64);
            }
        }
        if cut[0].is_empty() {
            return self.alias(&op.tensor, &op.out);
        }
        let mut inputs = vec![self.value(&op.tensor)?];
        inputs.extend(cut.map(|list| self.builder.list(list)));
        self.push("Slice", inputs, vec![], &op.out)
    }

    /// Rows of a table, or columns along another axis.
    pub(super) fn gather(
        &mut self,
        tensor: &TensorIr,
        axis: usize,
        indices: &TensorIr,
        out: &TensorIr,
    ) -> Result<(), ExportError> {
        self.emit_with("Gather", &[tensor, indices], vec![int("axis", dim_value(axis))], out)
    }

    pub(super) fn cat(&mut self, op: &CatOpIr) -> Result<(), ExportError> {
        let tensors: Vec<_> = op.tensors.iter().collect();
        self.emit_with("Concat", &tensors, vec![int("axis", dim_value(op.dim))], &op.out)
    }

    pub(super) fn repeat_dim(&mut self, op: &RepeatDimOpIr) -> Result<(), ExportError> {
        let mut repeats = vec![1; op.tensor.shape.num_dims()];
        repeats[op.dim] = dim_value(op.times);
        let inputs = vec![self.value(&op.tensor)?, self.builder.list(repeats)];
        self.push("Tile", inputs, vec![], &op.out)
    }

    /// A tensor filled with one value; nothing tells ONNX the batch at this place.
    pub(super) fn full(&mut self, value: ScalarIr, out: &TensorIr) -> Result<(), ExportError> {
        let dims = self.dims(out.id);
        if dims.iter().any(|dim| matches!(dim, Dim::Rows(_))) {
            return Err(self.batch_sized());
        }
        let target = self.reshape_target(dims)?;
        let inputs = vec![self.scalar(value, out.dtype)?, self.builder.list(target)];
        self.push("Expand", inputs, vec![], out)
    }
}

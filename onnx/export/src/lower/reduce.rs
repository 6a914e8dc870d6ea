//! Operations along an axis: sums, means, extremes, softmax. burn keeps the reduced axis, with length one.

use burn::backend::ir::{DimOpIr, ReduceDimOpIr, ScalarIr, TensorIr};
use burn::tensor::DType;

use super::Lowering;
use crate::ExportError;
use crate::proto::{dim_value, int, ints};

impl Lowering<'_> {
    pub(super) fn reduce(&mut self, op_type: &str, op: &ReduceDimOpIr) -> Result<(), ExportError> {
        let attributes = vec![ints("axes", vec![dim_value(op.axis)]), int("keepdims", 1)];
        self.emit_with(op_type, &[&op.input], attributes, &op.out)
    }

    /// The largest or smallest. Runtimes differ about NaN.
    pub(super) fn extreme(&mut self, op_type: &str, op: &ReduceDimOpIr) -> Result<(), ExportError> {
        if self.may_hold_nan.contains(&op.input.id) && op.input.dtype.is_float() {
            return Err(ExportError::Nan { operation: self.operation.clone() });
        }
        self.reduce(op_type, op)
    }

    /// The only reduction that takes its axes as an input in opset 17.
    pub(super) fn sum(&mut self, input: &TensorIr, axes: &[usize], out: &TensorIr) -> Result<(), ExportError> {
        let axes = self.builder.list(axes.iter().map(|axis| dim_value(*axis)).collect());
        let inputs = vec![self.value(input)?, axes];
        self.push("ReduceSum", inputs, vec![int("keepdims", 1)], out)
    }

    pub(super) fn cumulative_sum(&mut self, op: &DimOpIr) -> Result<(), ExportError> {
        let axis = self.scalar(ScalarIr::Int(dim_value(op.axis)), DType::I64)?;
        let inputs = vec![self.value(&op.input)?, axis];
        self.push("CumSum", inputs, vec![], &op.out)
    }

    /// What keeps the axis and its length.
    pub(super) fn along(&mut self, op_type: &str, op: &DimOpIr) -> Result<(), ExportError> {
        self.emit_with(op_type, &[&op.input], vec![int("axis", dim_value(op.axis))], &op.out)
    }
}

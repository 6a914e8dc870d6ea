//! Elementwise operations and reductions: arithmetic, comparisons, masks, casts, activations and the mean.

use burn::backend::ir::{BinaryOpIr, CastOpIr, MaskFillOpIr, ReduceDimOpIr, ScalarIr, ScalarOpIr, TensorIr, UnaryOpIr};
use tract_onnx::pb::tensor_proto::DataType;

use super::Lowering;
use crate::error::ExportError;
use crate::proto::{dim_value, int, ints};

impl Lowering<'_> {
    pub(super) fn binary(&mut self, op_type: &str, op: &BinaryOpIr) -> Result<(), ExportError> {
        self.emit(op_type, &[&op.lhs, &op.rhs], &op.out)
    }

    /// An operation with a scalar right-hand side.
    pub(super) fn with_scalar(&mut self, op_type: &str, op: &ScalarOpIr) -> Result<(), ExportError> {
        let inputs = vec![self.value(&op.lhs)?, self.scalar(op.rhs, op.lhs.dtype)?];
        self.push(op_type, inputs, vec![], &op.out)
    }

    /// ONNX has no `log1p`. Near 0 the absolute error is up to 1e-7.
    pub(super) fn log1p(&mut self, op: &UnaryOpIr) -> Result<(), ExportError> {
        let inputs = vec![self.value(&op.input)?, self.scalar(ScalarIr::Float(1.0), op.input.dtype)?];
        let sum = self.builder.push("Add", inputs, vec![]);
        self.push("Log", vec![sum], vec![], &op.out)
    }

    pub(super) fn clamp(
        &mut self,
        tensor: &TensorIr,
        min: Option<ScalarIr>,
        max: ScalarIr,
        out: &TensorIr,
    ) -> Result<(), ExportError> {
        // An omitted optional input has an empty name.
        let min = min.map_or_else(|| Ok(String::new()), |min| self.scalar(min, tensor.dtype));
        let inputs = vec![self.value(tensor)?, min?, self.scalar(max, tensor.dtype)?];
        self.emit_bounded("Clip", inputs, tensor, out)
    }

    pub(super) fn relu(&mut self, op: &UnaryOpIr) -> Result<(), ExportError> {
        let inputs = vec![self.value(&op.input)?];
        self.emit_bounded("Relu", inputs, &op.input, &op.out)
    }

    /// An operation that bounds `tensor`, its first input. Unlike burn, tract does not preserve NaN.
    fn emit_bounded(
        &mut self,
        op_type: &str,
        inputs: Vec<String>,
        tensor: &TensorIr,
        out: &TensorIr,
    ) -> Result<(), ExportError> {
        if !self.may_have_nan.contains(&tensor.id) || !tensor.dtype.is_float() {
            return self.push(op_type, inputs, vec![], out);
        }
        let tensor = inputs[0].clone();
        let bounded = self.builder.push(op_type, inputs, vec![]);
        let nan = self.builder.push("IsNaN", vec![tensor.clone()], vec![]);
        self.push("Where", vec![nan, tensor, bounded], vec![], out)
    }

    /// burn records `x.is_nan()` as `x != x`, the only supported inequality.
    pub(super) fn is_nan(&mut self, op: &BinaryOpIr) -> Result<(), ExportError> {
        if op.lhs.id != op.rhs.id || !op.lhs.dtype.is_float() {
            return Err(self.unsupported());
        }
        self.emit("IsNaN", &[&op.lhs], &op.out)
    }

    /// A selection rather than arithmetic, so masked NaN does not propagate.
    pub(super) fn mask_fill(&mut self, op: &MaskFillOpIr) -> Result<(), ExportError> {
        let inputs = vec![self.value(&op.mask)?, self.scalar(op.value, op.tensor.dtype)?, self.value(&op.tensor)?];
        self.push("Where", inputs, vec![], &op.out)
    }

    pub(super) fn cast_to_int(&mut self, op: &CastOpIr) -> Result<(), ExportError> {
        self.emit_with("Cast", &[&op.input], vec![int("to", i32::from(DataType::Int64).into())], &op.out)
    }

    /// burn keeps the reduced axis with length 1.
    pub(super) fn mean(&mut self, op: &ReduceDimOpIr) -> Result<(), ExportError> {
        let attributes = vec![ints("axes", vec![dim_value(op.axis)]), int("keepdims", 1)];
        self.emit_with("ReduceMean", &[&op.input], attributes, &op.out)
    }
}

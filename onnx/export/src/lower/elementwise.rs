//! Operations on each element: arithmetic, comparisons, selection by a mask, types, activations.

use std::f64::consts::SQRT_2;

use burn::backend::ir::{
    BinaryOpIr, BoolOperationIr, IntOperationIr, MaskFillOpIr, ScalarIr, ScalarOpIr, TensorIr, UnaryOpIr,
};
use tract_onnx::pb::tensor_proto::DataType;

use super::{Kind, Lowering};
use crate::ExportError;
use crate::proto::{float, int};

impl Lowering<'_> {
    pub(super) fn unary(&mut self, op_type: &str, op: &UnaryOpIr) -> Result<(), ExportError> {
        self.emit(op_type, &[&op.input], &op.out)
    }

    pub(super) fn binary(&mut self, op_type: &str, op: &BinaryOpIr) -> Result<(), ExportError> {
        self.emit(op_type, &[&op.lhs, &op.rhs], &op.out)
    }

    /// A tensor with a scalar on its right.
    pub(super) fn scalar_operation(&mut self, op_type: &str, op: &ScalarOpIr) -> Result<(), ExportError> {
        let inputs = vec![self.value(&op.lhs)?, self.scalar(op.rhs, op.lhs.dtype)?];
        self.push(op_type, inputs, vec![], &op.out)
    }

    /// Multiplication or division by a scalar. burn's softplus does both by one.
    pub(super) fn scale(&mut self, op_type: &str, op: &ScalarOpIr) -> Result<(), ExportError> {
        if is_number(op.rhs, 1.0) {
            return self.alias(&op.lhs, &op.out);
        }
        self.scalar_operation(op_type, op)
    }

    /// A power; burn itself records a square as a product.
    pub(super) fn power(&mut self, op: &ScalarOpIr) -> Result<(), ExportError> {
        if is_number(op.rhs, 0.5) {
            return self.emit("Sqrt", &[&op.lhs], &op.out);
        }
        self.scalar_operation("Pow", op)
    }

    /// ONNX has no `log1p`. Near 0 this is exact to 1e-7 absolute, not relative.
    pub(super) fn log1p(&mut self, op: &UnaryOpIr) -> Result<(), ExportError> {
        let inputs = vec![self.value(&op.input)?, self.scalar(ScalarIr::Float(1.0), op.input.dtype)?];
        let sum = self.builder.push("Add", inputs, vec![]);
        self.push("Log", vec![sum], vec![], &op.out)
    }

    pub(super) fn clamp(
        &mut self,
        tensor: &TensorIr,
        min: Option<ScalarIr>,
        max: Option<ScalarIr>,
        out: &TensorIr,
    ) -> Result<(), ExportError> {
        let mut inputs = vec![self.value(tensor)?];
        for bound in [min, max] {
            inputs.push(bound.map_or_else(|| Ok(String::new()), |bound| self.scalar(bound, tensor.dtype))?);
        }
        if max.is_none() {
            inputs.pop();
        }
        self.bounded("Clip", inputs, tensor, out)
    }

    pub(super) fn relu(&mut self, op: &UnaryOpIr) -> Result<(), ExportError> {
        let inputs = vec![self.value(&op.input)?];
        self.bounded("Relu", inputs, &op.input, &op.out)
    }

    /// An operation that bounds `tensor`, its first input: tract would bound NaN too, burn does not.
    fn bounded(
        &mut self,
        op_type: &str,
        inputs: Vec<String>,
        tensor: &TensorIr,
        out: &TensorIr,
    ) -> Result<(), ExportError> {
        if !self.may_hold_nan.contains(&tensor.id) || !tensor.dtype.is_float() {
            return self.push(op_type, inputs, vec![], out);
        }
        let tensor = inputs[0].clone();
        let bounded = self.builder.push(op_type, inputs, vec![]);
        let nan = self.builder.push("IsNaN", vec![tensor.clone()], vec![]);
        self.push("Where", vec![nan, tensor, bounded], vec![], out)
    }

    /// burn records `x.is_nan()` as `x != x`.
    pub(super) fn not_equal(&mut self, op: &BinaryOpIr) -> Result<(), ExportError> {
        if op.lhs.id == op.rhs.id && op.lhs.dtype.is_float() {
            return self.emit("IsNaN", &[&op.lhs], &op.out);
        }
        let inputs = vec![self.value(&op.lhs)?, self.value(&op.rhs)?];
        self.negated("Equal", inputs, &op.out)
    }

    /// `x == x` is false for NaN alone, which `Equal` of some runtimes forgets.
    pub(super) fn equal(&mut self, op: &BinaryOpIr) -> Result<(), ExportError> {
        if op.lhs.id == op.rhs.id && op.lhs.dtype.is_float() {
            let input = self.value(&op.lhs)?;
            return self.negated("IsNaN", vec![input], &op.out);
        }
        self.binary("Equal", op)
    }

    pub(super) fn not_equal_scalar(&mut self, op: &ScalarOpIr) -> Result<(), ExportError> {
        let inputs = vec![self.value(&op.lhs)?, self.scalar(op.rhs, op.lhs.dtype)?];
        self.negated("Equal", inputs, &op.out)
    }

    fn negated(&mut self, op_type: &str, inputs: Vec<String>, out: &TensorIr) -> Result<(), ExportError> {
        let name = self.builder.push(op_type, inputs, vec![]);
        self.push("Not", vec![name], vec![], out)
    }

    /// A choice, not arithmetic: NaN under the mask does not reach the result.
    pub(super) fn mask_fill(&mut self, op: &MaskFillOpIr) -> Result<(), ExportError> {
        let inputs = vec![self.value(&op.mask)?, self.scalar(op.value, op.tensor.dtype)?, self.value(&op.tensor)?];
        self.push("Where", inputs, vec![], &op.out)
    }

    pub(super) fn cast(&mut self, input: &TensorIr, out: &TensorIr) -> Result<(), ExportError> {
        let to = self.kind(out.dtype)?;
        if self.kind(input.dtype)? == to {
            return self.alias(input, out);
        }
        let data_type = match to {
            Kind::Float => DataType::Float,
            Kind::Int => DataType::Int64,
            Kind::Bool => DataType::Bool,
        };
        self.emit_with("Cast", &[input], vec![int("to", i32::from(data_type).into())], out)
    }

    pub(super) fn int(&mut self, operation: &IntOperationIr) -> Result<(), ExportError> {
        match operation {
            IntOperationIr::IntoFloat(op) => self.cast(&op.input, &op.out),
            _ => Err(self.unsupported()),
        }
    }

    pub(super) fn bool(&mut self, operation: &BoolOperationIr) -> Result<(), ExportError> {
        match operation {
            BoolOperationIr::IntoFloat(op) | BoolOperationIr::IntoInt(op) => self.cast(&op.input, &op.out),
            BoolOperationIr::Not(op) => self.unary("Not", op),
            BoolOperationIr::And(op) => self.binary("And", op),
            BoolOperationIr::Or(op) => self.binary("Or", op),
            BoolOperationIr::Xor(op) => self.binary("Xor", op),
        }
    }

    /// `x / 2 · (1 + erf(x / √2))`: ONNX has a node of its own only from opset 20 on.
    pub(super) fn gelu(&mut self, op: &UnaryOpIr) -> Result<(), ExportError> {
        let dtype = op.input.dtype;
        let x = self.value(&op.input)?;
        let [root, one, half] = [SQRT_2, 1.0, 0.5].map(|value| self.scalar(ScalarIr::Float(value), dtype));
        let scaled = self.builder.push("Div", vec![x.clone(), root?], vec![]);
        let erf = self.builder.push("Erf", vec![scaled], vec![]);
        let sum = self.builder.push("Add", vec![erf, one?], vec![]);
        let product = self.builder.push("Mul", vec![x, sum], vec![]);
        self.push("Mul", vec![product, half?], vec![], &op.out)
    }

    pub(super) fn leaky_relu(&mut self, op: &ScalarOpIr) -> Result<(), ExportError> {
        self.emit_with("LeakyRelu", &[&op.lhs], vec![float("alpha", op.rhs.elem())], &op.out)
    }
}

fn is_number(scalar: ScalarIr, number: f64) -> bool {
    // Exact on purpose: only the very number has a cheaper form.
    scalar.elem::<f64>().to_bits() == number.to_bits()
}

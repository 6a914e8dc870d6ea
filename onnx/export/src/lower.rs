//! Lowering: an ONNX node, or a few, for each recorded operation.
//!
//! One file a family of operations. The order of the nodes is the order of execution, which ONNX asks for too.

mod elementwise;
mod layout;
mod norm;
mod reduce;

use std::collections::{HashMap, HashSet};

use burn::backend::ir::{
    ActivationOperationIr, BaseOperationIr, FloatOperationIr, ModuleOperationIr, NumericOperationIr, OperationIr,
    ScalarIr, TensorId, TensorIr,
};
use burn::tensor::{DType, TensorData};
use tract_onnx::pb::AttributeProto;

use crate::dims::Dim;
use crate::nan::may_hold_nan;
use crate::proto::{Builder, Elements, Lowered, dim_value};
use crate::trace::{Trace, operation_name};
use crate::{ExportError, Graph, Input};

/// Lowers a trace.
pub(crate) fn lower(graph: &Graph<'_>, trace: &Trace) -> Result<Lowered, ExportError> {
    let names = graph.inputs.iter().map(|input| Input::name(input).to_owned());
    let mut lowering = Lowering {
        trace,
        builder: Builder::default(),
        names: trace.inputs.iter().copied().zip(names).collect(),
        may_hold_nan: may_hold_nan(trace),
        operation: String::new(),
    };
    for operation in &trace.operations {
        lowering.operation = operation_name(operation);
        lowering.lower(operation)?;
    }
    lowering.operation = "the output".into();
    let output = lowering.name(trace.output)?;
    Ok(Lowered { output, output_dims: lowering.dims(trace.output).to_vec(), builder: lowering.builder })
}

/// What ONNX knows of burn's element types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float,
    Int,
    Bool,
}

struct Lowering<'t> {
    trace: &'t Trace,
    builder: Builder,
    /// The names of the values so far, constants included once they are used.
    names: HashMap<TensorId, String>,
    may_hold_nan: HashSet<TensorId>,
    /// The operation at hand, for messages.
    operation: String,
}

impl Lowering<'_> {
    fn lower(&mut self, operation: &OperationIr) -> Result<(), ExportError> {
        match operation {
            // Constants become initializers where they are used.
            OperationIr::Init(_) | OperationIr::Drop(_) => Ok(()),
            OperationIr::BaseFloat(op) | OperationIr::BaseInt(op) | OperationIr::BaseBool(op) => self.base(op),
            OperationIr::NumericFloat(_, op) | OperationIr::NumericInt(_, op) => self.numeric(op),
            OperationIr::Float(_, op) => self.float(op),
            OperationIr::Int(op) => self.int(op),
            OperationIr::Bool(op) => self.bool(op),
            OperationIr::Module(op) => self.module(op),
            OperationIr::Activation(op) => self.activation(op),
            OperationIr::Custom(_) | OperationIr::Distributed(_) => Err(self.unsupported()),
        }
    }

    fn base(&mut self, operation: &BaseOperationIr) -> Result<(), ExportError> {
        use BaseOperationIr as Op;
        match operation {
            Op::Reshape(op) => self.reshape(&op.input, &op.out),
            Op::Expand(op) => self.expand(&op.input, &op.out),
            Op::SwapDims(op) => self.swap_dims(op),
            Op::Permute(op) => self.transpose(&op.input, &op.axes, &op.out),
            Op::Slice(op) => self.slice(op),
            Op::Select(op) => self.gather(&op.tensor, op.dim, &op.indices, &op.out),
            Op::Cat(op) => self.cat(op),
            Op::RepeatDim(op) => self.repeat_dim(op),
            Op::MaskWhere(op) => self.emit("Where", &[&op.mask, &op.value, &op.tensor], &op.out),
            Op::MaskFill(op) => self.mask_fill(op),
            Op::Equal(op) => self.equal(op),
            Op::NotEqual(op) => self.not_equal(op),
            Op::EqualElem(op) => self.scalar_operation("Equal", op),
            Op::NotEqualElem(op) => self.not_equal_scalar(op),
            Op::Cast(op) => self.cast(&op.input, &op.out),
            Op::Zeros(op) => self.full(ScalarIr::Int(0), &op.out),
            Op::Ones(op) => self.full(ScalarIr::Int(1), &op.out),
            _ => Err(self.unsupported()),
        }
    }

    fn numeric(&mut self, operation: &NumericOperationIr) -> Result<(), ExportError> {
        use NumericOperationIr as Op;
        match operation {
            Op::Add(op) => self.binary("Add", op),
            Op::AddScalar(op) => self.scalar_operation("Add", op),
            Op::Sub(op) => self.binary("Sub", op),
            Op::SubScalar(op) => self.scalar_operation("Sub", op),
            Op::Mul(op) => self.binary("Mul", op),
            Op::MulScalar(op) => self.scale("Mul", op),
            Op::Div(op) => self.binary("Div", op),
            Op::DivScalar(op) => self.scale("Div", op),
            Op::PowiScalar(op) => self.power(op),
            Op::Abs(op) => self.unary("Abs", op),
            Op::Neg(op) => self.unary("Neg", op),
            Op::Sign(op) => self.unary("Sign", op),
            Op::Full(op) => self.full(op.value, &op.out),
            Op::Clamp(op) => self.clamp(&op.tensor, Some(op.min), Some(op.max), &op.out),
            Op::ClampMin(op) => self.clamp(&op.lhs, Some(op.rhs), None, &op.out),
            Op::ClampMax(op) => self.clamp(&op.lhs, None, Some(op.rhs), &op.out),
            Op::Greater(op) => self.binary("Greater", op),
            Op::GreaterElem(op) => self.scalar_operation("Greater", op),
            Op::GreaterEqual(op) => self.binary("GreaterOrEqual", op),
            Op::GreaterEqualElem(op) => self.scalar_operation("GreaterOrEqual", op),
            Op::Lower(op) => self.binary("Less", op),
            Op::LowerElem(op) => self.scalar_operation("Less", op),
            Op::LowerEqual(op) => self.binary("LessOrEqual", op),
            Op::LowerEqualElem(op) => self.scalar_operation("LessOrEqual", op),
            Op::SumDim(op) => self.sum(&op.input, &[op.axis], &op.out),
            Op::SumDims(op) => self.sum(&op.input, &op.axes, &op.out),
            Op::MeanDim(op) => self.reduce("ReduceMean", op),
            Op::ProdDim(op) => self.reduce("ReduceProd", op),
            Op::MaxDim(op) => self.extreme("ReduceMax", op),
            Op::MinDim(op) => self.extreme("ReduceMin", op),
            Op::CumSum(op) => self.cumulative_sum(op),
            _ => Err(self.unsupported()),
        }
    }

    fn float(&mut self, operation: &FloatOperationIr) -> Result<(), ExportError> {
        use FloatOperationIr as Op;
        match operation {
            Op::Exp(op) => self.unary("Exp", op),
            Op::Log(op) => self.unary("Log", op),
            Op::Log1p(op) => self.log1p(op),
            Op::Sqrt(op) => self.unary("Sqrt", op),
            Op::Erf(op) => self.unary("Erf", op),
            Op::Sin(op) => self.unary("Sin", op),
            Op::Cos(op) => self.unary("Cos", op),
            Op::Tanh(op) => self.unary("Tanh", op),
            Op::Floor(op) => self.unary("Floor", op),
            Op::Ceil(op) => self.unary("Ceil", op),
            Op::Round(op) => self.unary("Round", op),
            Op::Recip(op) => self.unary("Reciprocal", op),
            Op::PowfScalar(op) => self.power(op),
            Op::Powf(op) => self.binary("Pow", op),
            Op::IntoInt(op) => self.cast(&op.input, &op.out),
            Op::Matmul(op) => self.emit("MatMul", &[&op.lhs, &op.rhs], &op.out),
            _ => Err(self.unsupported()),
        }
    }

    fn module(&mut self, operation: &ModuleOperationIr) -> Result<(), ExportError> {
        use ModuleOperationIr as Op;
        match operation {
            Op::Embedding(op) => self.gather(&op.weights, 0, &op.indices, &op.out),
            Op::LayerNorm(op) => self.layer_norm(op),
            Op::BatchNorm(op) => self.batch_norm(op),
            _ => Err(self.unsupported()),
        }
    }

    fn activation(&mut self, operation: &ActivationOperationIr) -> Result<(), ExportError> {
        use ActivationOperationIr as Op;
        match operation {
            Op::Relu(op) => self.relu(op),
            Op::Sigmoid(op) => self.unary("Sigmoid", op),
            Op::Gelu(op) => self.gelu(op),
            Op::LeakyRelu(op) => self.leaky_relu(op),
            Op::Softmax(op) => self.along("Softmax", op),
            Op::LogSoftmax(op) => self.along("LogSoftmax", op),
            _ => Err(self.unsupported()),
        }
    }
}

/// What every lowering is written with.
impl<'t> Lowering<'t> {
    /// One node: `out` is `op_type` of `inputs`.
    fn emit(&mut self, op_type: &str, inputs: &[&TensorIr], out: &TensorIr) -> Result<(), ExportError> {
        self.emit_with(op_type, inputs, vec![], out)
    }

    /// The same with attributes.
    fn emit_with(
        &mut self,
        op_type: &str,
        inputs: &[&TensorIr],
        attributes: Vec<AttributeProto>,
        out: &TensorIr,
    ) -> Result<(), ExportError> {
        let inputs = inputs.iter().map(|tensor| self.value(tensor)).collect::<Result<_, _>>()?;
        self.push(op_type, inputs, attributes, out)
    }

    /// The same with inputs by name.
    fn push(
        &mut self,
        op_type: &str,
        inputs: Vec<String>,
        attributes: Vec<AttributeProto>,
        out: &TensorIr,
    ) -> Result<(), ExportError> {
        self.kind(out.dtype)?;
        let name = self.builder.push(op_type, inputs, attributes);
        self.bind(out, name);
        Ok(())
    }

    /// `out` is the value `name`.
    fn bind(&mut self, out: &TensorIr, name: String) {
        self.names.insert(out.id, name);
    }

    /// `out` is `input` as it stands.
    fn alias(&mut self, input: &TensorIr, out: &TensorIr) -> Result<(), ExportError> {
        let name = self.value(input)?;
        self.bind(out, name);
        Ok(())
    }

    fn value(&mut self, tensor: &TensorIr) -> Result<String, ExportError> {
        self.name(tensor.id)
    }

    /// The name of a value; a constant becomes an initializer at its first use.
    fn name(&mut self, id: TensorId) -> Result<String, ExportError> {
        if let Some(name) = self.names.get(&id) {
            return Ok(name.clone());
        }
        // Every tensor is an input, an operation's output or a constant.
        let Some(data) = self.trace.constants.get(&id) else { return Err(self.unsupported()) };
        let dims = data.shape().iter().map(|size| dim_value(*size)).collect();
        let elements = self.elements(data)?;
        let name = self.builder.constant(dims, &elements);
        self.names.insert(id, name.clone());
        Ok(name)
    }

    fn elements(&self, data: &TensorData) -> Result<Elements, ExportError> {
        Ok(match self.kind(data.dtype())? {
            Kind::Float => Elements::Float(data.iter().collect()),
            Kind::Int => Elements::Int(data.iter().collect()),
            Kind::Bool => Elements::Bool(data.iter().collect()),
        })
    }

    /// A scalar of the type that goes with a tensor of `dtype`.
    fn scalar(&mut self, value: ScalarIr, dtype: DType) -> Result<String, ExportError> {
        let element = self.element(value, dtype)?;
        Ok(self.builder.scalar(&element))
    }

    fn element(&self, value: ScalarIr, dtype: DType) -> Result<Elements, ExportError> {
        Ok(match self.kind(dtype)? {
            Kind::Float => Elements::Float(vec![value.elem()]),
            Kind::Int => Elements::Int(vec![value.elem()]),
            Kind::Bool => Elements::Bool(vec![value.elem()]),
        })
    }

    /// The dimensions of a tensor: an operation of the trace has it, if only the one that brings a constant in.
    fn dims(&self, id: TensorId) -> &'t [Dim] {
        &self.trace.dims[&id]
    }

    fn kind(&self, dtype: DType) -> Result<Kind, ExportError> {
        match dtype {
            DType::F32 => Ok(Kind::Float),
            DType::Bool(_) => Ok(Kind::Bool),
            dtype if dtype.is_int() || dtype.is_uint() => Ok(Kind::Int),
            dtype => Err(ExportError::Type { operation: self.operation.clone(), dtype }),
        }
    }

    fn unsupported(&self) -> ExportError {
        ExportError::Unsupported { operation: self.operation.clone() }
    }

    fn batch_sized(&self) -> ExportError {
        ExportError::BatchSized { operation: self.operation.clone() }
    }
}

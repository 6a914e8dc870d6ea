//! Lowers each recorded operation to one or more ONNX nodes.
//!
//! Only the operations of the network in `training` have a lowering; any other is reported by name. ONNX requires nodes in
//! execution order, which is the order of the recording.

mod elementwise;
mod layout;

use std::collections::{HashMap, HashSet};

use burn::backend::ir::{
    ActivationOperationIr, BaseOperationIr, FloatOperationIr, NumericOperationIr, OperationIr, ScalarIr, TensorId,
    TensorIr,
};
use burn::tensor::{DType, TensorData};
use tract_onnx::pb::AttributeProto;

use crate::dims::Dim;
use crate::error::ExportError;
use crate::graph::{Graph, Input};
use crate::nan::may_have_nan;
use crate::proto::{Builder, Elements, Lowered, dim_value};
use crate::trace::{Trace, operation_name};

/// Lowers a trace.
pub(crate) fn lower(graph: &Graph<'_>, trace: &Trace) -> Result<Lowered, ExportError> {
    let names = graph.inputs.iter().map(|input| Input::name(input).to_owned());
    let mut lowering = Lowering {
        trace,
        builder: Builder::default(),
        names: trace.inputs.iter().copied().zip(names).collect(),
        may_have_nan: may_have_nan(trace),
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

/// The kinds of element types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Float,
    Int,
    Bool,
}

struct Lowering<'t> {
    trace: &'t Trace,
    builder: Builder,
    /// The names of the values so far, including constants once they are used.
    names: HashMap<TensorId, String>,
    may_have_nan: HashSet<TensorId>,
    /// The current operation, for messages.
    operation: String,
}

impl Lowering<'_> {
    fn lower(&mut self, operation: &OperationIr) -> Result<(), ExportError> {
        match operation {
            // Constants become initializers on first use.
            OperationIr::Init(_) | OperationIr::Drop(_) => Ok(()),
            OperationIr::BaseFloat(op) | OperationIr::BaseInt(op) => self.base(op),
            OperationIr::NumericFloat(_, op) | OperationIr::NumericInt(_, op) => self.numeric(op),
            OperationIr::Float(_, op) => self.float(op),
            OperationIr::Activation(ActivationOperationIr::Relu(op)) => self.relu(op),
            _ => Err(self.unsupported()),
        }
    }

    fn base(&mut self, operation: &BaseOperationIr) -> Result<(), ExportError> {
        use BaseOperationIr as Op;
        match operation {
            Op::Reshape(op) => self.reshape(&op.input, &op.out),
            Op::SwapDims(op) => self.swap_dims(op),
            Op::Permute(op) => self.transpose(&op.input, &op.axes, &op.out),
            Op::Slice(op) => self.slice(op),
            Op::Select(op) => self.gather(op),
            Op::Cat(op) => self.concat(op),
            Op::MaskWhere(op) => self.emit("Where", &[&op.mask, &op.value, &op.tensor], &op.out),
            Op::MaskFill(op) => self.mask_fill(op),
            Op::NotEqual(op) => self.is_nan(op),
            Op::EqualElem(op) => self.with_scalar("Equal", op),
            _ => Err(self.unsupported()),
        }
    }

    fn numeric(&mut self, operation: &NumericOperationIr) -> Result<(), ExportError> {
        use NumericOperationIr as Op;
        match operation {
            Op::Add(op) => self.binary("Add", op),
            Op::AddScalar(op) => self.with_scalar("Add", op),
            Op::Sub(op) => self.binary("Sub", op),
            Op::SubScalar(op) => self.with_scalar("Sub", op),
            Op::Mul(op) => self.binary("Mul", op),
            Op::MulScalar(op) => self.with_scalar("Mul", op),
            Op::DivScalar(op) => self.with_scalar("Div", op),
            Op::Lower(op) => self.binary("Less", op),
            Op::Clamp(op) => self.clamp(&op.tensor, Some(op.min), op.max, &op.out),
            Op::ClampMax(op) => self.clamp(&op.lhs, None, op.rhs, &op.out),
            Op::MeanDim(op) => self.mean(op),
            _ => Err(self.unsupported()),
        }
    }

    fn float(&mut self, operation: &FloatOperationIr) -> Result<(), ExportError> {
        use FloatOperationIr as Op;
        match operation {
            Op::Exp(op) => self.emit("Exp", &[&op.input], &op.out),
            Op::Log1p(op) => self.log1p(op),
            Op::IntoInt(op) => self.cast_to_int(op),
            Op::Matmul(op) => self.emit("MatMul", &[&op.lhs, &op.rhs], &op.out),
            _ => Err(self.unsupported()),
        }
    }
}

/// Helpers for lowerings.
impl<'t> Lowering<'t> {
    /// Emits a node that computes `out` from `inputs`.
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

    /// Binds `out` to the value `name`.
    fn bind(&mut self, out: &TensorIr, name: String) {
        self.names.insert(out.id, name);
    }

    /// Makes `out` an alias of `input`.
    fn alias(&mut self, input: &TensorIr, out: &TensorIr) -> Result<(), ExportError> {
        let name = self.value(input)?;
        self.bind(out, name);
        Ok(())
    }

    fn value(&mut self, tensor: &TensorIr) -> Result<String, ExportError> {
        self.name(tensor.id)
    }

    /// The name of a value. A constant becomes an initializer on first use.
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
            Kind::Bool => return Err(self.unsupported()),
        })
    }

    /// A scalar of the same type as a tensor of `dtype`.
    fn scalar(&mut self, value: ScalarIr, dtype: DType) -> Result<String, ExportError> {
        let element = self.element(value, dtype)?;
        Ok(self.builder.scalar(&element))
    }

    fn element(&self, value: ScalarIr, dtype: DType) -> Result<Elements, ExportError> {
        Ok(match self.kind(dtype)? {
            Kind::Float => Elements::Float(vec![value.elem()]),
            Kind::Int => Elements::Int(vec![value.elem()]),
            Kind::Bool => return Err(self.unsupported()),
        })
    }

    /// The dimensions of a tensor. Every tensor, including constants, belongs to an operation of the trace.
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
}

//! Shape inference with limits: a small graph could need more memory or time than available.

use std::collections::{HashMap, HashSet};

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};

use crate::error::Error;

/// The maximum number of elements of all values in a run. A typical network has about ten million.
const MAX_ELEMENTS: u64 = 1 << 28;
/// The maximum number of multiplications in the matrix products of a run: about ten seconds on one processor.
const MAX_PRODUCTS: u64 = 1 << 37;
/// The maximum number of dimensions of a value.
const MAX_RANK: usize = 8;

/// The operators that only the native runtime has. Their output has the shape of their input.
const NATIVE_OPERATORS: [(&str, &str); 4] =
    [(ML_DOMAIN, "Binarizer"), (ML_DOMAIN, "Imputer"), (ML_DOMAIN, "LabelEncoder"), (ML_DOMAIN, "Scaler")];
/// The domain of the classical models.
pub(crate) const ML_DOMAIN: &str = "ai.onnx.ml";

/// The shapes of the values computed so far. If the inputs of an operation do not match, they are upper bounds, and the
/// runtime reports the error.
#[derive(Debug, Default)]
pub(crate) struct Shapes<'g> {
    by_name: HashMap<&'g str, Vec<u64>>,
    /// Constants with axes, slice bounds or target shapes.
    lists: HashMap<&'g str, Vec<i64>>,
    /// Float constants.
    weights: HashSet<&'g str>,
    elements: u64,
    products: u64,
    /// Whether the graph will run in the native runtime.
    is_native: bool,
}

impl<'g> Shapes<'g> {
    pub(crate) fn new(is_native: bool) -> Self {
        Self { is_native, ..Self::default() }
    }

    pub(crate) fn add_input(&mut self, name: &'g str, shape: &[u64]) {
        self.by_name.insert(name, shape.to_vec());
    }

    /// Adds a tensor of the file, whose size has been checked.
    pub(crate) fn add_constant(&mut self, tensor: &'g TensorProto) {
        self.by_name.insert(&tensor.name, tensor.dims.iter().map(|dim| dim.unsigned_abs()).collect());
        if tensor.data_type == DataType::Float as i32 {
            self.weights.insert(&tensor.name);
        } else if tensor.data_type == DataType::Int64 as i32 && tensor.raw_data.len() <= 8 * MAX_RANK {
            let (numbers, _) = tensor.raw_data.as_chunks();
            self.lists.insert(&tensor.name, numbers.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect());
        }
    }

    /// The shape of a value.
    pub(crate) fn of(&self, name: &str) -> Option<&[u64]> {
        self.by_name.get(name).map(Vec::as_slice)
    }

    /// A short constant list of integers.
    pub(crate) fn list(&self, name: &str) -> Option<&[i64]> {
        self.lists.get(name).map(Vec::as_slice)
    }

    pub(crate) fn is_weights(&self, name: &str) -> bool {
        self.weights.contains(name)
    }

    /// Adds the output of a node.
    ///
    /// # Errors
    /// The operation is not supported, its shape depends on computed values, or a limit is exceeded.
    pub(crate) fn add_node(&mut self, node: &'g NodeProto) -> Result<(), Error> {
        let shape = self.output_shape(node)?;
        self.elements = self.elements.saturating_add(count(&shape));
        if self.elements > MAX_ELEMENTS || self.products > MAX_PRODUCTS || shape.len() > MAX_RANK {
            return Err(Error::graph(format!("it is too large: the node `{}` computes {shape:?}", node.name)));
        }
        if let Some(output) = node.output.first() {
            self.by_name.insert(output, shape);
        }
        Ok(())
    }

    fn output_shape(&mut self, node: &NodeProto) -> Result<Vec<u64>, Error> {
        let operator = || match node.domain.as_str() {
            "" => node.op_type.clone(),
            domain => format!("{} ({domain})", node.op_type),
        };
        let native = (node.domain.as_str(), node.op_type.as_str());
        let shape = if node.domain.is_empty() {
            self.standard_shape(node)
        } else if !NATIVE_OPERATORS.contains(&native) {
            None
        } else if self.is_native {
            node.input.first().and_then(|input| self.of(input)).map(<[u64]>::to_vec)
        } else {
            return Err(Error::NativeOperator { node: node.name.clone(), operator: operator() });
        };
        shape.ok_or_else(|| Error::Operator { node: node.name.clone(), operator: operator() })
    }

    /// The shape of the output of a standard operator; `None` if the operator is not supported, or its shape depends on computed
    /// values.
    fn standard_shape(&mut self, node: &NodeProto) -> Option<Vec<u64>> {
        // An omitted optional input has an empty name.
        let present = node.input.iter().filter(|name| !name.is_empty());
        let inputs: Vec<&[u64]> = present.map(|name| self.of(name)).collect::<Option<_>>()?;
        let [first, others @ ..] = &inputs[..] else { return None };
        let list = |index: usize| self.list(node.input.get(index)?);
        Some(match node.op_type.as_str() {
            "Abs" | "Cast" | "Ceil" | "Cos" | "CumSum" | "Elu" | "Erf" | "Exp" | "Floor" | "HardSwish" | "Identity"
            | "IsNaN" | "LeakyRelu" | "Log" | "LogSoftmax" | "Neg" | "Not" | "Reciprocal" | "Relu" | "Round"
            | "Selu" | "Sigmoid" | "Sign" | "Sin" | "Softmax" | "Softplus" | "Sqrt" | "Tanh" => first.to_vec(),
            "Add" | "And" | "BatchNormalization" | "Clip" | "Div" | "Equal" | "Greater" | "GreaterOrEqual"
            | "LayerNormalization" | "Less" | "LessOrEqual" | "Max" | "Min" | "Mul" | "Or" | "Pow" | "Sub" | "Sum"
            | "Where" | "Xor" => others.iter().fold(first.to_vec(), |shape, other| broadcast(&shape, other)),
            "ReduceMax" | "ReduceMean" | "ReduceMin" | "ReduceProd" | "ReduceSum" => {
                let axes = list(1).or_else(|| ints(node, "axes"))?;
                reduce(first, axes, int(node, "keepdims").unwrap_or(1) != 0)?
            }
            "MatMul" => {
                let (shape, products) = product(first, others.first()?)?;
                self.products = self.products.saturating_add(products);
                shape
            }
            "Gemm" => {
                let transposed = |shape: &[u64], attribute: &str| {
                    let &[rows, columns] = shape else { return None };
                    let is_transposed = int(node, attribute).unwrap_or(0) != 0;
                    Some(if is_transposed { [columns, rows] } else { [rows, columns] })
                };
                let (one, other) = (transposed(first, "transA")?, transposed(others.first()?, "transB")?);
                let (shape, products) = product(&one, &other)?;
                self.products = self.products.saturating_add(products);
                shape
            }
            "Flatten" => {
                let axis = axis(int(node, "axis").unwrap_or(1), first.len())?;
                vec![count(&first[..axis]), count(&first[axis..])]
            }
            "Gather" => {
                let axis = axis(int(node, "axis").unwrap_or(0), first.len())?;
                [&first[..axis], others.first()?, &first[axis + 1..]].concat()
            }
            "Concat" => concatenate(&inputs, int(node, "axis")?)?,
            "Transpose" => {
                let axes = ints(node, "perm")?.iter().map(|index| axis(*index, first.len()));
                axes.map(|index| first.get(index?).copied()).collect::<Option<_>>()?
            }
            "Slice" => {
                let axes = list(3).map_or_else(|| (0..).take(first.len()).collect(), <[i64]>::to_vec);
                slice(first, list(1)?, list(2)?, &axes, list(4))?
            }
            "Reshape" => reshape(first, list(1)?)?,
            "Squeeze" => reduce(first, list(1)?, false)?,
            "Unsqueeze" => unsqueeze(first, list(1)?)?,
            "Expand" => {
                let target: Option<Vec<u64>> = list(1)?.iter().map(|dim| u64::try_from(*dim).ok()).collect();
                broadcast(first, &target?)
            }
            "Tile" => {
                let repeats = list(1)?.iter().map(|times| u64::try_from(*times).ok());
                first.iter().zip(repeats).map(|(dim, times)| Some(dim.saturating_mul(times?))).collect::<Option<_>>()?
            }
            _ => return None,
        })
    }
}

fn count(shape: &[u64]) -> u64 {
    shape.iter().fold(1, |count, dim| count.saturating_mul(*dim))
}

fn attribute<'n>(node: &'n NodeProto, name: &str) -> Option<&'n tract_onnx::pb::AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

pub(crate) fn int(node: &NodeProto, name: &str) -> Option<i64> {
    attribute(node, name).map(|attribute| attribute.i)
}

fn ints<'n>(node: &'n NodeProto, name: &str) -> Option<&'n [i64]> {
    attribute(node, name).map(|attribute| attribute.ints.as_slice())
}

/// The index of an axis, which may be negative, counted from the end.
pub(crate) fn axis(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis.checked_add_unsigned(rank as u64)? } else { axis };
    usize::try_from(axis).ok().filter(|axis| *axis < rank)
}

fn broadcast(one: &[u64], other: &[u64]) -> Vec<u64> {
    let (long, short) = if one.len() >= other.len() { (one, other) } else { (other, one) };
    let mut shape = long.to_vec();
    for (dim, other) in shape.iter_mut().rev().zip(short.iter().rev()) {
        *dim = (*dim).max(*other);
    }
    shape
}

fn reduce(shape: &[u64], axes: &[i64], keeps_axes: bool) -> Option<Vec<u64>> {
    let reduced: HashSet<usize> = axes.iter().map(|index| axis(*index, shape.len())).collect::<Option<_>>()?;
    let dims = shape.iter().enumerate();
    Some(if keeps_axes {
        dims.map(|(index, dim)| if reduced.contains(&index) { 1 } else { *dim }).collect()
    } else {
        dims.filter(|(index, _)| !reduced.contains(index)).map(|(_, dim)| *dim).collect()
    })
}

/// The shape of a matrix product, and its number of multiplications.
fn product(one: &[u64], other: &[u64]) -> Option<(Vec<u64>, u64)> {
    let ([batch @ .., rows, inner], [other_batch @ .., other_inner, columns]) = (one, other) else { return None };
    let mut shape = broadcast(batch, other_batch);
    shape.extend([*rows, *columns]);
    let products = count(&shape).saturating_mul(*inner.max(other_inner));
    Some((shape, products))
}

fn concatenate(inputs: &[&[u64]], along: i64) -> Option<Vec<u64>> {
    let [first, others @ ..] = inputs else { return None };
    let along = axis(along, first.len())?;
    let mut shape = first.to_vec();
    for other in others {
        let longer = shape[along].saturating_add(*other.get(along)?);
        shape = broadcast(&shape, other);
        *shape.get_mut(along)? = longer;
    }
    Some(shape)
}

fn slice(shape: &[u64], starts: &[i64], ends: &[i64], axes: &[i64], steps: Option<&[i64]>) -> Option<Vec<u64>> {
    let mut sliced = shape.to_vec();
    for (index, ((start, end), along)) in starts.iter().zip(ends).zip(axes).enumerate() {
        let along = axis(*along, shape.len())?;
        let length = i64::try_from(shape[along]).ok()?;
        let clamp = |bound: i64| if bound < 0 { bound.saturating_add(length) } else { bound }.clamp(0, length);
        let step = match steps {
            Some(steps) => u64::try_from(*steps.get(index)?).ok().filter(|step| *step > 0)?,
            None => 1,
        };
        let length = clamp(*end).saturating_sub(clamp(*start)).max(0).unsigned_abs();
        sliced[along] = length.div_ceil(step);
    }
    Some(sliced)
}

fn unsqueeze(shape: &[u64], axes: &[i64]) -> Option<Vec<u64>> {
    let rank = shape.len() + axes.len();
    let inserted: HashSet<usize> = axes.iter().map(|index| axis(*index, rank)).collect::<Option<_>>()?;
    let mut dims = shape.iter();
    (0..rank).map(|index| if inserted.contains(&index) { Some(1) } else { dims.next().copied() }).collect()
}

/// In the target, 0 keeps a dimension, and −1 is inferred.
fn reshape(shape: &[u64], target: &[i64]) -> Option<Vec<u64>> {
    let mut reshaped = Vec::with_capacity(target.len());
    let mut inferred = None;
    for (index, dim) in target.iter().enumerate() {
        reshaped.push(match dim {
            0 => *shape.get(index)?,
            -1 => {
                inferred = Some(index);
                1
            }
            dim => u64::try_from(*dim).ok()?,
        });
    }
    if let Some(index) = inferred {
        reshaped[index] = count(shape).div_ceil(count(&reshaped).max(1));
    }
    Some(reshaped)
}

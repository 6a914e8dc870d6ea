//! Builds the protobuf file: nodes, initializers and metadata.

use std::collections::{HashMap, HashSet};

use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};

use crate::dims::Dim;
use crate::graph::{Graph, Input};

/// The operator set of ONNX 1.12.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// The elements of a tensor.
#[derive(Clone, Debug)]
pub(crate) enum Elements {
    Float(Vec<f32>),
    Int(Vec<i64>),
}

/// Builds a graph.
#[derive(Default)]
pub(crate) struct Builder {
    nodes: Vec<pb::NodeProto>,
    initializers: Vec<pb::TensorProto>,
    /// The names of shared scalars and short lists, by type, shape and bytes.
    shared: HashMap<(i32, Vec<i64>, Vec<u8>), String>,
}

impl Builder {
    /// Adds a node with one output and returns the name of the output. An empty input name omits an optional input.
    pub fn push(&mut self, op_type: &str, input: Vec<String>, attribute: Vec<pb::AttributeProto>) -> String {
        let name = format!("/{op_type}_{}", self.nodes.len());
        self.nodes.push(pb::NodeProto {
            name: name.clone(),
            op_type: op_type.into(),
            input,
            output: vec![name.clone()],
            attribute,
            ..pb::NodeProto::default()
        });
        name
    }

    /// Adds an initializer and returns its name.
    pub fn constant(&mut self, dims: Vec<i64>, elements: &Elements) -> String {
        let name = format!("/constant_{}", self.initializers.len());
        let (data_type, raw_data) = encode_elements(elements);
        self.initializers.push(pb::TensorProto {
            name: name.clone(),
            dims,
            data_type,
            raw_data,
            ..pb::TensorProto::default()
        });
        name
    }

    /// A scalar, with a shared initializer.
    pub fn scalar(&mut self, element: &Elements) -> String {
        self.shared_constant(vec![], element)
    }

    /// A list of axes or sizes, with a shared initializer.
    pub fn list(&mut self, values: Vec<i64>) -> String {
        self.shared_constant(vec![dim_value(values.len())], &Elements::Int(values))
    }

    fn shared_constant(&mut self, dims: Vec<i64>, elements: &Elements) -> String {
        let (data_type, bytes) = encode_elements(elements);
        let key = (data_type, dims.clone(), bytes);
        if let Some(name) = self.shared.get(&key) {
            return name.clone();
        }
        let name = self.constant(dims, elements);
        self.shared.insert(key, name.clone());
        name
    }

    /// Renames a value.
    fn rename(&mut self, from: &str, to: &str) {
        if !self.nodes.iter().any(|node| node.output[0] == from) {
            // An input or a constant keeps its name.
            self.push("Identity", vec![from.into()], vec![]);
            let last = self.nodes.len() - 1;
            self.nodes[last].output = vec![to.into()];
            return;
        }
        for name in self.nodes.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output)) {
            if name == from {
                *name = to.into();
            }
        }
    }

    /// Removes nodes and initializers that `output` does not depend on.
    fn prune(&mut self, output: &str) {
        let mut needed = HashSet::from([output.to_owned()]);
        let mut kept = Vec::new();
        for node in self.nodes.drain(..).rev() {
            if node.output.iter().any(|name| needed.contains(name)) {
                needed.extend(node.input.iter().cloned());
                kept.push(node);
            }
        }
        kept.reverse();
        self.nodes = kept;
        self.initializers.retain(|tensor| needed.contains(&tensor.name));
    }
}

/// A lowered graph with the name and dimensions of its output.
pub(crate) struct Lowered {
    pub builder: Builder,
    pub output: String,
    pub output_dims: Vec<Dim>,
}

/// Encodes the file.
pub(crate) fn encode(graph: &Graph<'_>, lowered: Lowered) -> Vec<u8> {
    let Lowered { mut builder, output, output_dims } = lowered;
    builder.rename(&output, graph.output);
    builder.prune(graph.output);
    let model = pb::ModelProto {
        ir_version: IR_VERSION,
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: OPSET }],
        producer_name: graph.producer.0.into(),
        producer_version: graph.producer.1.into(),
        graph: Some(pb::GraphProto {
            name: graph.name.into(),
            node: builder.nodes,
            initializer: builder.initializers,
            input: graph.inputs.iter().map(input_info).collect(),
            output: vec![value_info(graph.output, DataType::Float, &output_dims)],
            ..pb::GraphProto::default()
        }),
        metadata_props: graph
            .metadata
            .iter()
            .map(|(key, value)| pb::StringStringEntryProto { key: (*key).into(), value: value.clone() })
            .collect(),
        ..pb::ModelProto::default()
    };
    model.encode_to_vec()
}

fn input_info(input: &Input<'_>) -> pb::ValueInfoProto {
    let data_type = match input {
        Input::Int64 { .. } => DataType::Int64,
        Input::Float32 { .. } => DataType::Float,
    };
    value_info(input.name(), data_type, &[Dim::Rows(1), Dim::Fixed(input.columns())])
}

fn value_info(name: &str, data_type: DataType, dims: &[Dim]) -> pb::ValueInfoProto {
    let dim = dims.iter().map(|dim| Dimension { value: dimension_value(*dim), ..Dimension::default() }).collect();
    let tensor = pb::type_proto::Tensor { elem_type: data_type.into(), shape: Some(pb::TensorShapeProto { dim }) };
    pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(pb::TypeProto {
            value: Some(pb::type_proto::Value::TensorType(tensor)),
            ..pb::TypeProto::default()
        }),
        ..pb::ValueInfoProto::default()
    }
}

/// `N` for the number of rows, a value for a fixed dimension, and nothing for a multiple of the rows, which ONNX cannot
/// express.
fn dimension_value(dim: Dim) -> Option<dimension::Value> {
    match dim {
        Dim::Fixed(size) => Some(dimension::Value::DimValue(dim_value(size))),
        Dim::Rows(1) => Some(dimension::Value::DimParam("N".into())),
        Dim::Rows(_) => None,
    }
}

/// A size as an ONNX dimension.
pub(crate) fn dim_value(size: usize) -> i64 {
    // No tensor has 2^63 elements.
    size.cast_signed() as i64
}

fn encode_elements(elements: &Elements) -> (i32, Vec<u8>) {
    let (data_type, bytes): (DataType, Vec<u8>) = match elements {
        Elements::Float(values) => (DataType::Float, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        Elements::Int(values) => (DataType::Int64, values.iter().flat_map(|value| value.to_le_bytes()).collect()),
    };
    (data_type.into(), bytes)
}

/// An integer attribute.
pub(crate) fn int(name: &str, value: i64) -> pb::AttributeProto {
    pb::AttributeProto { i: value, ..attribute(name, AttributeType::Int) }
}

/// An integer list attribute.
pub(crate) fn ints(name: &str, values: Vec<i64>) -> pb::AttributeProto {
    pb::AttributeProto { ints: values, ..attribute(name, AttributeType::Ints) }
}

fn attribute(name: &str, kind: AttributeType) -> pb::AttributeProto {
    pb::AttributeProto { name: name.into(), r#type: kind.into(), ..pb::AttributeProto::default() }
}

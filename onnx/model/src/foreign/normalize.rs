//! Brings a graph into the form of a model file without changing what it computes: exporters write the same in many ways.

use std::collections::HashSet;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::proto::{floats, integers};

/// Constants become initializers with raw data, and initializers are no inputs.
pub(super) fn normalize(graph: &mut GraphProto) {
    let (constants, nodes): (Vec<_>, Vec<_>) =
        std::mem::take(&mut graph.node).into_iter().partition(|node| constant(node).is_some());
    graph.node = nodes;
    graph.initializer.extend(constants.iter().filter_map(constant));
    graph.initializer.iter_mut().for_each(use_raw_data);
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.input.retain(|input| !constants.contains(input.name.as_str()));
    for node in &mut graph.node {
        if node.domain == "ai.onnx" {
            node.domain.clear();
        }
        if node.name.is_empty() {
            node.name = node.output.first().cloned().unwrap_or_default();
        }
    }
}

/// The tensor of a node `Constant`; `None` for other nodes, and for other kinds of constants, which stay unsupported.
fn constant(node: &NodeProto) -> Option<TensorProto> {
    let ([attribute], [name]) = (&node.attribute[..], &node.output[..]) else { return None };
    if node.op_type != "Constant" || !node.domain.is_empty() {
        return None;
    }
    let AttributeProto { r#type, f, i, floats: list, ints, t, .. } = attribute;
    match AttributeType::try_from(*r#type).ok()? {
        AttributeType::Tensor => t.as_ref().map(|tensor| TensorProto { name: name.clone(), ..tensor.clone() }),
        AttributeType::Float => Some(floats(name, &[], &[*f])),
        AttributeType::Int => Some(integers(name, &[], &[*i])),
        AttributeType::Floats => Some(floats(name, &[list.len()], list)),
        AttributeType::Ints => Some(integers(name, &[ints.len()], ints)),
        _ => None,
    }
}

/// Moves the numbers of a tensor from their lists into raw data, the only form that the checks accept.
fn use_raw_data(tensor: &mut TensorProto) {
    if !tensor.raw_data.is_empty() {
        return;
    }
    tensor.raw_data = match tensor.data_type {
        element if element == DataType::Float as i32 => {
            std::mem::take(&mut tensor.float_data).into_iter().flat_map(f32::to_le_bytes).collect()
        }
        element if element == DataType::Int64 as i32 => {
            std::mem::take(&mut tensor.int64_data).into_iter().flat_map(i64::to_le_bytes).collect()
        }
        element if element == DataType::Bool as i32 => {
            std::mem::take(&mut tensor.int32_data).into_iter().map(|value| u8::from(value != 0)).collect()
        }
        _ => return,
    };
}

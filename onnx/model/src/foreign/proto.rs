//! Nodes and tensors to add to a graph.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{NodeProto, TensorProto};

pub(super) fn node(operator: &str, input: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: output.to_owned(),
        op_type: operator.to_owned(),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..NodeProto::default()
    }
}

pub(super) fn floats(name: &str, dims: &[usize], values: &[f32]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, DataType::Float, dims, raw_data)
}

pub(super) fn integers(name: &str, dims: &[usize], values: &[i64]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, DataType::Int64, dims, raw_data)
}

fn tensor(name: &str, element: DataType, dims: &[usize], raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        data_type: element as i32,
        dims: dims.iter().map(|dim| i64::try_from(*dim).unwrap_or(i64::MAX)).collect(),
        raw_data,
        ..TensorProto::default()
    }
}

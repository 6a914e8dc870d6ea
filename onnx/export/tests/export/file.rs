//! The exported file: names, types, metadata and determinism.

use burn::prelude::*;
use onnx_export::{Graph, export};
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Size;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{ModelProto, ValueInfoProto};

use crate::network::{Network, forward_of};
use crate::runtimes::{GRAPH, export_forward};

fn model(file: &[u8]) -> ModelProto {
    ModelProto::decode(file).unwrap()
}

fn signature(info: &ValueInfoProto) -> (&str, i32, Vec<Size>) {
    let Some(Value::TensorType(tensor)) = &info.r#type.as_ref().unwrap().value else { panic!("not a tensor") };
    let dims = tensor.shape.as_ref().unwrap().dim.iter().map(|dim| dim.value.clone().unwrap()).collect();
    (&info.name, tensor.elem_type, dims)
}

#[test]
fn inputs_and_output_have_names_types_and_a_symbolic_batch() {
    let file = export_forward(&|ids, numbers| {
        let table = Tensor::<2>::from_data([[1.0], [2.0], [3.0], [4.0], [5.0]], &numbers.device());
        let rows: Tensor<1, Int> = ids.reshape([-1]);
        numbers.slice(s![.., 0..1]) + table.select(0, rows).reshape([-1, 3])
    });
    let graph = model(&file.unwrap()).graph.unwrap();
    let rows = Size::DimParam("N".into());
    assert_eq!(
        graph.input.iter().chain(&graph.output).map(signature).collect::<Vec<_>>(),
        [
            ("ids", DataType::Int64.into(), vec![rows.clone(), Size::DimValue(3)]),
            ("numbers", DataType::Float.into(), vec![rows.clone(), Size::DimValue(4)]),
            ("result", DataType::Float.into(), vec![rows, Size::DimValue(3)]),
        ]
    );
}

#[test]
fn metadata_and_producer_are_written() {
    let metadata = [("first", "{\"a\": 1}".to_owned()), ("second", "марка".to_owned())];
    let graph = Graph { metadata: &metadata, ..GRAPH };
    let file = export(&graph, forward_of(&Network::new())).unwrap();
    let model = model(&file);
    let pairs: Vec<_> = model.metadata_props.iter().map(|entry| (&*entry.key, entry.value.clone())).collect();
    assert_eq!(pairs, metadata);
    assert_eq!((&*model.producer_name, &*model.producer_version), ("onnx-export", "test"));
    assert_eq!((model.ir_version, model.opset_import[0].version), (8, 17));
}

#[test]
fn export_is_deterministic() {
    let network = Network::new();
    let file = || export(&GRAPH, forward_of(&network)).unwrap();
    assert!(file() == file());
}

#[test]
fn unused_nodes_are_removed() {
    let file = export_forward(&|_, numbers| {
        let _ = numbers.clone().exp() * 3.5;
        numbers * 2.0
    });
    let graph = model(&file.unwrap()).graph.unwrap();
    assert_eq!((graph.node.len(), graph.initializer.len()), (1, 1));
}

#[test]
fn a_clamp_without_nan_is_a_single_node() {
    let file = export_forward(&|_, x| x.clone().mask_fill(x.is_nan(), 0.0).clamp(0.0, 1.0));
    let nodes = model(&file.unwrap()).graph.unwrap().node;
    assert_eq!(nodes.iter().map(|node| &*node.op_type).collect::<Vec<_>>(), ["IsNaN", "Where", "Clip"]);
}

#[test]
fn shapes_are_constant() {
    let graph = model(&export(&GRAPH, forward_of(&Network::new())).unwrap()).graph.unwrap();
    let costly = ["Shape", "ConstantOfShape", "Expand", "Tile", "Identity"];
    assert!(!graph.node.iter().any(|node| costly.contains(&&*node.op_type)));
}

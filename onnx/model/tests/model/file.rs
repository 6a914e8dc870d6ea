//! Sample model files.

use std::sync::OnceLock;

use domain::feature::{CATEGORICAL, FeatureSchema, NUMERIC};
use onnx_model::signature::{Golden, Signature};
use onnx_model::{Model, Runtime, Sessions};
use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use crate::proto::{QUANTILES, int, model_proto, node, node_with, signature, tensor, value};

/// The runtime shared by all tests.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::load(None).unwrap())
}

/// A graph that embeds all ids in one table, like exported ones, and a matching signature.
pub fn valid_model() -> (pb::GraphProto, Signature) {
    let mut signature = signature();
    let graph = graph(&signature.schema);
    let mut golden = Golden {
        categorical: [1; CATEGORICAL.len()].iter().chain(&[0; CATEGORICAL.len()]).copied().collect(),
        numeric: vec![Some(0.0); 2 * NUMERIC.len()],
        price_quantiles: Vec::new(),
    };
    // Most vocabularies are empty.
    for (id, feature) in golden.categorical.iter_mut().zip(&signature.schema.categorical) {
        *id = i64::from(!feature.values.is_empty());
    }
    let model = Model::open(runtime(), &file(graph.clone(), &signature), Sessions::bulk(1)).unwrap();
    golden.price_quantiles = model.run_graph(&golden.categorical, &[0.0; 2 * NUMERIC.len()]).unwrap();
    signature.golden = Some(golden);
    (graph, signature)
}

pub fn file(graph: pb::GraphProto, signature: &Signature) -> Vec<u8> {
    model_proto(graph, signature).encode_to_vec()
}

/// The graph of [`valid_model`] for this schema.
pub fn graph(schema: &FeatureSchema) -> pb::GraphProto {
    let sizes = schema.categorical.iter().map(|feature| feature.values.len() + 1);
    let offsets: Vec<i64> =
        sizes.scan(0, |first, size| Some(std::mem::replace(first, *first + i64::try_from(size).unwrap()))).collect();
    let rows: usize = schema.categorical.iter().map(|feature| feature.values.len() + 1).sum();
    // Zero for unknown values, the first row of each category.
    let table: Vec<f32> =
        (0..rows).map(|row| if offsets.contains(&i64::try_from(row).unwrap()) { 0.0 } else { 0.1 }).collect();
    let of_number: Vec<f32> = (0..NUMERIC.len()).map(|index| if index == 0 { 1e-10 } else { 0.0 }).collect();
    pb::GraphProto {
        name: "test".to_owned(),
        node: vec![
            node("Add", &["categorical", "offsets"], "rows"),
            node("Reshape", &["rows", "all"], "flat"),
            node_with("Gather", &["table", "flat"], "of_rows", vec![int("axis", 0)]),
            node("Reshape", &["of_rows", "by_listing"], "of_listings"),
            node("ReduceSum", &["of_listings", "one"], "effect"),
            node("IsNaN", &["numeric"], "gap"),
            node("Where", &["gap", "zero", "numeric"], "filled"),
            node("MatMul", &["filled", "of_number"], "numbers"),
            node("Add", &["numbers", "effect"], "shift"),
            node("Add", &["shift", "spread"], "log_price"),
            node("Exp", &["log_price"], "price_quantiles"),
        ],
        initializer: vec![
            tensor("table", &[rows, 1], &table),
            tensor("zero", &[], &[0.0]),
            tensor("of_number", &[NUMERIC.len(), 1], &of_number),
            tensor("spread", &[QUANTILES], &[13.7, 13.8, 13.9, 14.0, 14.1, 14.2, 14.3]),
            pb::TensorProto { dims: vec![1, i64::try_from(CATEGORICAL.len()).unwrap()], ..list("offsets", &offsets) },
            list("all", &[-1]),
            list("by_listing", &[-1, i64::try_from(CATEGORICAL.len()).unwrap()]),
            list("one", &[1]),
        ],
        input: vec![
            value("categorical", DataType::Int64, CATEGORICAL.len()),
            value("numeric", DataType::Float, NUMERIC.len()),
        ],
        output: vec![value("price_quantiles", DataType::Float, QUANTILES)],
        ..pb::GraphProto::default()
    }
}

pub fn list(name: &str, values: &[i64]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.to_owned(),
        dims: vec![i64::try_from(values.len()).unwrap()],
        data_type: DataType::Int64 as i32,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..pb::TensorProto::default()
    }
}

//! How the files of the tests are made.

use std::sync::OnceLock;

use domain::calibration::{Calibration, Interval};
use domain::feature::{CATEGORICAL, FeatureSchema, NUMERIC};
use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};

use crate::signature::{Golden, Rows, RunSummary, Signature};
use crate::{Model, Runtime};

pub const QUANTILES: usize = 7;

/// The one runtime of the process.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::load(None).unwrap())
}

/// A graph that embeds all ids in one table, as the exported ones do, and a signature that fits it.
pub fn sound() -> (pb::GraphProto, Signature) {
    let mut signature = signature();
    let graph = graph(&signature.schema);
    let mut golden = Golden {
        categorical: [1; CATEGORICAL.len()].iter().chain(&[0; CATEGORICAL.len()]).copied().collect(),
        numeric: vec![Some(0.0); 2 * NUMERIC.len()],
        price_quantiles: Vec::new(),
    };
    // Most features know no value.
    for (id, feature) in golden.categorical.iter_mut().zip(&signature.schema.categorical) {
        *id = i64::from(!feature.values.is_empty());
    }
    let model = Model::open(runtime(), &file(graph.clone(), &signature), 1).unwrap();
    golden.price_quantiles = model.run(&golden.categorical, &[0.0; 2 * NUMERIC.len()]).unwrap();
    signature.golden = Some(golden);
    (graph, signature)
}

pub fn file(graph: pb::GraphProto, signature: &Signature) -> Vec<u8> {
    proto((graph, signature.clone())).encode_to_vec()
}

pub fn proto((graph, signature): (pb::GraphProto, Signature)) -> pb::ModelProto {
    let metadata = signature.to_metadata().unwrap();
    pb::ModelProto {
        ir_version: 8,
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(graph),
        metadata_props: metadata
            .into_iter()
            .map(|(key, value)| pb::StringStringEntryProto { key: key.to_owned(), value })
            .collect(),
        ..pb::ModelProto::default()
    }
}

fn graph(schema: &FeatureSchema) -> pb::GraphProto {
    let sizes = schema.categorical.iter().map(|feature| feature.values.len() + 1);
    let offsets: Vec<i64> =
        sizes.scan(0, |first, size| Some(std::mem::replace(first, *first + i64::try_from(size).unwrap()))).collect();
    let rows: usize = schema.categorical.iter().map(|feature| feature.values.len() + 1).sum();
    // Nothing for what is unknown, which is the first row of each category.
    let table: Vec<f32> =
        (0..rows).map(|row| if offsets.contains(&i64::try_from(row).unwrap()) { 0.0 } else { 0.1 }).collect();
    let of_number: Vec<f32> = (0..NUMERIC.len()).map(|place| if place == 0 { 1e-10 } else { 0.0 }).collect();
    pb::GraphProto {
        name: "by hand".to_owned(),
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

pub fn signature() -> Signature {
    let keys = |feature: &str| match feature {
        "brand" => vec![vec!["kia"], vec!["lada (ваз)"]],
        "model" => vec![vec!["kia", "ceed"], vec!["kia", "rio"], vec!["lada (ваз)", "2114"]],
        "drive" => vec![vec!["передний"]],
        _ => Vec::new(),
    };
    let owned = |key: Vec<&str>| key.into_iter().map(str::to_owned).collect();
    let vocabularies = CATEGORICAL.iter().map(|feature| keys(feature.name).into_iter().map(owned).collect());
    let interval = |level, lower, upper| Interval { level, lower, upper, offsets: vec![vec![0.0]] };
    Signature {
        schema: FeatureSchema::new(vocabularies.collect()),
        quantiles: vec![0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95],
        calibration: Calibration {
            price_edges: Vec::new(),
            age_edges: Vec::new(),
            intervals: vec![interval(0.5, 2, 4), interval(0.8, 1, 5), interval(0.9, 0, 6)],
        },
        accuracy: None,
        run: RunSummary {
            id: 1,
            started_at: String::new(),
            trained_at: String::new(),
            seed: 1,
            rows: Rows::default(),
            config: serde_json::json!({}),
        },
        reference: None,
        golden: None,
    }
}

pub fn node(op_type: &str, input: &[&str], output: &str) -> pb::NodeProto {
    node_with(op_type, input, output, vec![])
}

pub fn node_with(op_type: &str, input: &[&str], output: &str, attribute: Vec<pb::AttributeProto>) -> pb::NodeProto {
    pb::NodeProto {
        name: output.to_owned(),
        op_type: op_type.to_owned(),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        attribute,
        ..pb::NodeProto::default()
    }
}

pub fn int(name: &str, value: i64) -> pb::AttributeProto {
    let (name, r#type) = (name.to_owned(), AttributeType::Int as i32);
    pb::AttributeProto { name, r#type, i: value, ..pb::AttributeProto::default() }
}

pub fn tensor(name: &str, dims: &[usize], values: &[f32]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.to_owned(),
        dims: dims.iter().map(|dim| i64::try_from(*dim).unwrap()).collect(),
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..pb::TensorProto::default()
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

/// Rows of any number, each of `width`.
pub fn value(name: &str, element: DataType, width: usize) -> pb::ValueInfoProto {
    let dimension = |value| Dimension { denotation: String::new(), value: Some(value) };
    let shape = pb::TensorShapeProto {
        dim: vec![
            dimension(dimension::Value::DimParam("N".to_owned())),
            dimension(dimension::Value::DimValue(i64::try_from(width).unwrap())),
        ],
    };
    let tensor = pb::type_proto::Tensor { elem_type: element as i32, shape: Some(shape) };
    let kind = pb::TypeProto { denotation: String::new(), value: Some(pb::type_proto::Value::TensorType(tensor)) };
    pb::ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..pb::ValueInfoProto::default() }
}

//! A model file of a few nodes, so that every price can be checked by hand.
//!
//! The median is `e^(14 + 0.1 · (year − 2018) − mileage / 500,000 + 0.1 · brand)`, where the brand counts 1 for kia,
//! 2 for lada (ваз) and 0 for all others; the quantiles stand apart by a tenth.

use domain::calibration::{Calibration, Interval};
use domain::drift::{KeySpread, NumberSpread, Reference};
use domain::feature;
use domain::feature::FeatureSchema;
use onnx_model::signature::{Rows, RunSummary, Signature};
use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};

const IDS: usize = feature::CATEGORICAL.len();
const NUMBERS: usize = feature::NUMERIC.len();
const QUANTILES: usize = 7;

/// The model file.
pub fn model_file() -> Vec<u8> {
    file_with_base(14.0)
}

/// The same, with another price of everything.
pub fn file_with_base(base: f32) -> Vec<u8> {
    let metadata = signature().to_metadata().unwrap();
    let model = pb::ModelProto {
        ir_version: 8,
        opset_import: vec![pb::OperatorSetIdProto { domain: String::new(), version: 17 }],
        graph: Some(graph(base)),
        metadata_props: metadata
            .into_iter()
            .map(|(key, value)| pb::StringStringEntryProto { key: key.to_owned(), value })
            .collect(),
        ..pb::ModelProto::default()
    };
    model.encode_to_vec()
}

fn graph(base: f32) -> pb::GraphProto {
    let of_number = [0.1, -1.0 / 500_000.0, 0.0, 0.0, 0.0, 0.0];
    let mut of_id = [0.0; IDS];
    of_id[0] = 0.1;
    let spread: Vec<f32> = [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3].map(|step| base + step).to_vec();
    pb::GraphProto {
        name: "by hand".to_owned(),
        node: vec![
            node("IsNaN", &["numeric"], "gap"),
            node("Where", &["gap", "zero", "numeric"], "filled"),
            node("Sub", &["filled", "centre"], "centred"),
            node("MatMul", &["centred", "of_number"], "numbers"),
            cast("categorical", "ids"),
            node("MatMul", &["ids", "of_id"], "brands"),
            node("Add", &["numbers", "brands"], "shift"),
            node("Add", &["shift", "spread"], "log_price"),
            node("Exp", &["log_price"], "price_quantiles"),
        ],
        initializer: vec![
            tensor("zero", &[], &[0.0]),
            tensor("centre", &[NUMBERS], &[2018.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
            tensor("of_number", &[NUMBERS, 1], &of_number),
            tensor("of_id", &[IDS, 1], &of_id),
            tensor("spread", &[QUANTILES], &spread),
        ],
        input: vec![value("categorical", DataType::Int64, IDS), value("numeric", DataType::Float, NUMBERS)],
        output: vec![value("price_quantiles", DataType::Float, QUANTILES)],
        ..pb::GraphProto::default()
    }
}

fn vocabulary() -> FeatureSchema {
    let keys = |feature: &str| match feature {
        "brand" => vec![vec!["kia"], vec!["lada (ваз)"]],
        "model" => vec![vec!["kia", "ceed"], vec!["kia", "rio"], vec!["lada (ваз)", "2114"]],
        "drive" => vec![vec!["передний"]],
        _ => Vec::new(),
    };
    let owned = |key: Vec<&str>| key.into_iter().map(str::to_owned).collect();
    let vocabularies = feature::CATEGORICAL.iter().map(|feature| keys(feature.name).into_iter().map(owned).collect());
    FeatureSchema::new(vocabularies.collect())
}

fn signature() -> Signature {
    let interval = |level, lower, upper| Interval { level, lower, upper, offsets: vec![vec![0.0]] };
    Signature {
        schema: vocabulary(),
        quantiles: vec![0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95],
        calibration: Calibration {
            price_edges: Vec::new(),
            age_edges: Vec::new(),
            intervals: vec![interval(0.5, 2, 4), interval(0.8, 1, 5), interval(0.9, 0, 6)],
        },
        accuracy: None,
        run: RunSummary {
            id: 1,
            started_at: "2026-11-20T08:11:02Z".to_owned(),
            trained_at: "2026-11-20T08:15:42Z".to_owned(),
            seed: 1,
            rows: Rows { train: 1000, ..Rows::default() },
            config: serde_json::json!({}),
        },
        reference: Some(reference()),
        golden: None,
    }
}

/// Training data in which every known value is equally frequent, and so are the first numbers from some on: the years
/// from 2000 to 2019, say.
fn reference() -> Reference {
    let schema = vocabulary();
    let keys = schema.categorical.iter().map(|feature| {
        let counts: Vec<u64> = std::iter::once(0).chain(feature.values.iter().map(|_| 50)).collect();
        KeySpread::new(&feature.name, &counts)
    });
    let numbers = [2000.0, 10_000.0, 1.0, 100.0, 1.0, 20_000.0];
    let numbers = numbers.map(|first: f32| (0..20_u8).map(|step| first + f32::from(step)).collect::<Vec<_>>());
    let numbers = schema.numeric.iter().zip(&numbers).map(|(feature, values)| NumberSpread::new(&feature.name, values));
    Reference { categorical: keys.collect(), numeric: numbers.collect() }
}

fn node(op_type: &str, input: &[&str], output: &str) -> pb::NodeProto {
    pb::NodeProto {
        name: output.to_owned(),
        op_type: op_type.to_owned(),
        input: input.iter().map(|name| (*name).to_owned()).collect(),
        output: vec![output.to_owned()],
        ..pb::NodeProto::default()
    }
}

fn cast(input: &str, output: &str) -> pb::NodeProto {
    let to = pb::AttributeProto {
        name: "to".to_owned(),
        r#type: pb::attribute_proto::AttributeType::Int as i32,
        i: DataType::Float as i64,
        ..pb::AttributeProto::default()
    };
    pb::NodeProto { attribute: vec![to], ..node("Cast", &[input], output) }
}

fn tensor(name: &str, dims: &[usize], values: &[f32]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.to_owned(),
        dims: dims.iter().map(|dim| i64::try_from(*dim).unwrap()).collect(),
        data_type: DataType::Float as i32,
        raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        ..pb::TensorProto::default()
    }
}

/// Rows of any number, each of `width`.
fn value(name: &str, element: DataType, width: usize) -> pb::ValueInfoProto {
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

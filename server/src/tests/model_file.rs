//! A model file of a few nodes whose prices can be computed by hand.
//!
//! The median is `e^(14 + 0.1 · (year − 2018) − mileage / 500,000 + 0.1 · brand)`, where the brand is 1 for kia, 2 for
//! lada (ваз) and 0 for all others. Adjacent quantiles differ by 0.1 on the log scale.

#[path = "../../../onnx/model/tests/fixtures/proto.rs"]
mod proto;

use domain::feature::{self, FeatureSchema};
use domain::{SplitCounts, Task};
use onnx_model::reference::{KeyDistribution, NumberDistribution, Reference};
use onnx_model::signature::{RunSummary, Signature};
use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

use proto::{QUANTILES, int, model_proto, node, node_with, signature, tensor, value};

const IDS: usize = feature::CATEGORICAL.len();
const NUMBERS: usize = feature::NUMERIC.len();

/// The model file of a task; those of other tasks than `price` have a lower base price.
pub fn model_file_of(task: &Task) -> Vec<u8> {
    let base = if task.name == "price" { 14.0 } else { 9.0 };
    model_proto(graph(base), &Signature { task: task.clone(), ..trained_signature() }).encode_to_vec()
}

fn graph(base: f32) -> pb::GraphProto {
    let of_number = [0.1, -1.0 / 500_000.0, 0.0, 0.0, 0.0, 0.0];
    let mut of_id = [0.0; IDS];
    of_id[0] = 0.1;
    let spread: Vec<f32> = [-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3].map(|step| base + step).to_vec();
    pb::GraphProto {
        name: "test".to_owned(),
        node: vec![
            node("IsNaN", &["numeric"], "gap"),
            node("Where", &["gap", "zero", "numeric"], "filled"),
            node("Sub", &["filled", "centre"], "centred"),
            node("MatMul", &["centred", "of_number"], "numbers"),
            node_with("Cast", &["categorical"], "ids", vec![int("to", DataType::Float as i64)]),
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

/// The signature of a model with the training distribution of [`reference`].
fn trained_signature() -> Signature {
    let signature = signature();
    let run = RunSummary {
        started_at: Some("2026-11-20T08:11:02Z".to_owned()),
        trained_at: "2026-11-20T08:15:42Z".to_owned(),
        rows: SplitCounts { train: 1000, ..SplitCounts::default() },
        ..signature.run
    };
    Signature { run, reference: Some(reference(&signature.schema)), ..signature }
}

/// A training distribution in which all known values are equally frequent, as are 20 consecutive numbers per column, such
/// as the years 2000 to 2019.
fn reference(schema: &FeatureSchema) -> Reference {
    let keys = schema.categorical.iter().map(|feature| {
        let counts: Vec<u64> = std::iter::once(0).chain(feature.values.iter().map(|_| 50)).collect();
        KeyDistribution::new(&feature.name, &counts)
    });
    let numbers = [2000.0, 10_000.0, 1.0, 100.0, 1.0, 20_000.0];
    let numbers = numbers.map(|first: f32| (0..20_u8).map(|step| first + f32::from(step)).collect::<Vec<_>>());
    let numbers =
        schema.numeric.iter().zip(&numbers).map(|(feature, values)| NumberDistribution::new(&feature.name, values));
    Reference { categorical: keys.collect(), numeric: numbers.collect() }
}

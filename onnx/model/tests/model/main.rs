//! Small model files, valid and invalid.
//!
//! The logarithm of the median is 14, plus `1e-10` times the first number, plus 0.1 for each known id. Adjacent quantiles
//! differ by 0.1 on the log scale.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

mod file;
mod foreign;
#[path = "../fixtures/proto.rs"]
mod proto;

use chrono::NaiveDate;
use domain::feature::FeatureSchema;
use domain::{Cell, Column, Listing, Market};
use file::{file, list, runtime, valid_model};
use onnx_model::signature::{Golden, RunSummary, Signature};
use onnx_model::{Error, Model, Sessions};
use proto::{QUANTILES, int, model_proto, node, node_with, tensor, value};
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, StringStringEntryProto, TensorProto};

fn open(file: &[u8]) -> Result<Model, Error> {
    Model::open(runtime(), file, Sessions::bulk(1))
}

/// The error from opening or verifying a file.
fn error_of_file(file: &[u8]) -> String {
    let result = open(file).and_then(|model| model.verify());
    result.expect_err("the file must be rejected").to_string()
}

/// The error for a changed graph.
fn error_of_graph(change: impl FnOnce(&mut GraphProto)) -> String {
    let (mut graph, signature) = valid_model();
    change(&mut graph);
    error_of_file(&file(graph, &signature))
}

/// The error for a changed signature.
fn error_of_signature(change: impl FnOnce(&mut Signature)) -> String {
    let (graph, mut signature) = valid_model();
    change(&mut signature);
    error_of_file(&file(graph, &signature))
}

#[test]
fn valid_files_pass_verification() {
    let (graph, signature) = valid_model();
    let model = open(&file(graph, &signature)).unwrap();
    model.verify().unwrap();
    let prices = model.run_graph(&[0; 13], &[0.0; 6]).unwrap();
    assert!((prices[QUANTILES / 2].ln() - 14.0).abs() < 1e-4, "{prices:?}");
}

#[test]
fn a_reopened_model_gives_the_same_prices_in_batches_of_every_size() {
    let (graph, signature) = valid_model();
    let file = file(graph, &signature);
    let sessions = Sessions { bulk: 1, quick: 1 };
    let [opened, reopened] = [Model::open, Model::reopen].map(|open| open(runtime(), &file, sessions).unwrap());
    for rows in [300, 1, 5, 24, 25, 1] {
        let ids: Vec<i64> = (0..rows * 13).map(|index| i64::from(index % 13 == 0)).collect();
        let numbers = vec![1e9; rows * 6];
        let [expected, actual] = [&opened, &reopened].map(|model| model.run_graph(&ids, &numbers).unwrap());
        assert_eq!(actual, expected, "{rows} rows");
    }
    reopened.verify().unwrap();
}

#[test]
fn files_from_before_foreign_models_are_readable() {
    let rows = r#""rows": {"train": 8, "validation": 1, "test": 1}"#;
    let older = format!(
        r#"{{"id": 7, "started_at": "2026-03-17T00:00:00Z", "trained_at": "2026-03-17T00:01:00Z", "seed": 3, {rows}, "config": {{}}}}"#
    );
    let older: RunSummary = serde_json::from_str(&older).unwrap();
    assert_eq!((older.id, older.seed, older.producer), (Some(7), Some(3), None));
    let foreign = RunSummary { producer: Some("lightgbm 4.7".to_owned()), ..RunSummary::default() };
    let json = serde_json::to_string(&foreign).unwrap();
    assert!(json.starts_with(r#"{"id":null,"producer":"lightgbm 4.7","started_at":null"#), "{json}");
    assert_eq!(serde_json::from_str::<RunSummary>(&json).unwrap(), foreign);
}

#[test]
fn only_stated_makes_outside_of_the_vocabulary_are_unknown() {
    let (graph, mut signature) = valid_model();
    let unknown = |model: &Model, brand: &str| model.unknown_make(&car(brand)).map(|make| make.to_string());
    let model = open(&file(graph, &signature)).unwrap();
    assert_eq!(unknown(&model, "KIA"), None);
    assert_eq!(unknown(&model, "Лада"), None, "a synonym");
    assert_eq!(unknown(&model, "Kiaa").unwrap(), "brand \"Kiaa\" is not known (did you mean \"kia\"?)");
    assert_eq!(unknown(&model, "Zündapp").unwrap(), "brand \"Zündapp\" is not known");
    let long = unknown(&model, &"я".repeat(200)).unwrap();
    assert_eq!(long, format!("brand \"{}…\" is not known", "я".repeat(60)));
    assert_eq!(model.unknown_make(&Listing::default()), None, "a missing make is not an unknown one");

    let without_makes = signature.schema.categorical.iter().map(|feature| match feature.name.as_str() {
        "drive" => feature.values.clone(),
        _ => Vec::new(),
    });
    signature.schema = FeatureSchema::new(without_makes.collect(), Market::russia());
    signature.golden = None;
    let model = open(&file(file::graph(&signature.schema), &signature)).unwrap();
    assert_eq!(unknown(&model, "Kiaa"), None, "a model without makes refuses none");
}

fn car(brand: &str) -> Listing {
    let cells = [
        (Column::Brand, Cell::Text(brand)),
        (Column::Year, Cell::Number(2018.0)),
        (Column::Mileage, Cell::Number(1.0)),
    ];
    Listing::from_cells(cells, Market::russia(), NaiveDate::from_ymd_opt(2026, 3, 17).unwrap()).unwrap()
}

#[test]
fn vocabularies_must_match_the_embedding_table() {
    let with_extra_key = |feature: usize| {
        error_of_signature(|signature| {
            let mut schema = signature.schema.clone();
            let key = schema.categorical[feature].columns.iter().map(|_| "new".to_owned()).collect();
            schema.categorical[feature].values.push(key);
            signature.schema = schema.with_fingerprint();
        })
    };
    // Beyond the table, and in the part of the next category.
    for feature in [12, 0] {
        assert!(with_extra_key(feature).contains("19 rows for 20 ids"), "{}", with_extra_key(feature));
    }
}

#[test]
fn lookups_that_may_exceed_their_table_are_rejected() {
    // A table of brands only, whose last id is 2.
    let of_brands = |rows: usize| {
        error_of_graph(|graph| {
            graph.node.retain(|node| node.output[0] != "effect");
            graph.node.insert(0, node("Slice", &["categorical", "nothing", "one", "one"], "brand"));
            graph.node.insert(1, node("Gather", &["brands", "brand"], "embedded"));
            graph.node.insert(2, node("Reshape", &["embedded", "column"], "effect"));
            graph.node.retain(|node| !matches!(node.output[0].as_str(), "rows" | "flat" | "of_rows" | "of_listings"));
            graph.initializer.push(tensor("brands", &[rows, 1], &vec![0.1; rows]));
            graph.initializer.extend([list("nothing", &[0]), list("column", &[-1, 1])]);
        })
    };
    assert!(of_brands(2).contains("may look up rows 0 to 2 of `brands`, which has 2"), "{}", of_brands(2));
    assert!(of_brands(3).contains("its prices differ"), "{}", of_brands(3));
    // A row that depends on a number: unbounded, bounded too widely, and by NaN.
    let of_number = |bounds: Option<[f32; 2]>| {
        error_of_graph(|graph| {
            let last = graph.node.len() - 1;
            let bounded = ["filled", "low", "high"];
            let row = node("Clip", if bounds.is_some() { &bounded } else { &bounded[..1] }, "bounded");
            let cast = node_with("Cast", &["bounded"], "row", vec![to_int64()]);
            graph.node.splice(last..last, [row, cast, node("Gather", &["spread", "row"], "looked_up")]);
            let [low, high] = bounds.unwrap_or_default();
            graph.initializer.extend([tensor("low", &[], &[low]), tensor("high", &[], &[high])]);
            graph.node.push(node("Exp", &["looked_up"], "more"));
        })
    };
    assert!(of_number(None).contains("may look up rows -inf to inf of `spread`"), "{}", of_number(None));
    assert!(of_number(Some([0.0, 7.0])).contains("may look up rows 0 to 7 of `spread`, which has 7"));
    assert!(of_number(Some([-1.0, 6.0])).contains("may look up rows -1 to 6"));
    assert!(of_number(Some([5.0, f32::NAN])).contains("may look up"));
}

#[test]
fn bounds_account_for_rounding() {
    // In double precision the sum is just below 7; in the graph's single precision it is 7.
    let error = error_of_graph(|graph| {
        let last = graph.node.len() - 1;
        let bounded = node("Clip", &["filled", "low", "high"], "bounded");
        let sum = node("Add", &["bounded", "little"], "sum");
        let cast = node_with("Cast", &["sum"], "row", vec![to_int64()]);
        graph.node.splice(last..last, [bounded, sum, cast, node("Gather", &["spread", "row"], "looked_up")]);
        graph.initializer.extend([tensor("low", &[], &[0.0]), tensor("high", &[], &[6.999_999_5])]);
        graph.initializer.push(tensor("little", &[], &[4e-7]));
    });
    assert!(error.contains("may look up rows 0 to 7 of `spread`"), "{error}");
}

#[test]
fn lookups_in_the_batch_are_bounded_by_the_smallest_session() {
    let (mut graph, signature) = valid_model();
    let last = graph.node.len() - 1;
    let bounded = node("Clip", &["filled", "low", "high"], "bounded");
    let cast = node_with("Cast", &["bounded"], "row", vec![to_int64()]);
    graph.node.splice(last..last, [bounded, cast, node("Gather", &["shift", "row"], "looked_up")]);
    graph.initializer.extend([tensor("low", &[], &[0.0]), tensor("high", &[], &[200.0])]);
    let file = file(graph, &signature);
    let error = Model::open(runtime(), &file, Sessions { bulk: 1, quick: 1 }).unwrap_err();
    assert!(error.to_string().contains("may look up rows 0 to 200 of `shift`, which has 4"), "{error}");
}

#[test]
fn integer_divisions_are_rejected() {
    let divided = error_of_graph(|graph| graph.node.insert(0, node("Div", &["categorical", "offsets"], "more")));
    assert!(divided.contains("divides integers"), "{divided}");
}

#[test]
fn runtime_errors_are_reported() {
    let error = error_of_graph(|graph| {
        let weights = graph.initializer.iter_mut().find(|tensor| tensor.name == "of_number").unwrap();
        weights.dims.reverse();
    });
    assert!(error.starts_with("the ONNX runtime"), "{error}");
}

#[test]
fn invalid_files_are_rejected() {
    let (graph, signature) = valid_model();
    let whole = file(graph, &signature);
    assert!(error_of_file(b"").contains("empty"));
    assert!(error_of_file(b"PK\x03\x04").contains("not an ONNX file"));
    for part in 1..16 {
        error_of_file(&whole[..whole.len() * part / 16]);
    }
}

#[test]
fn loops_branches_and_foreign_operations_are_rejected() {
    let error_of_node = |op_type: &str, domain: &str, attribute: Vec<AttributeProto>| {
        error_of_graph(|graph| {
            let node = NodeProto { domain: domain.to_owned(), ..node_with(op_type, &["shift"], "more", attribute) };
            graph.node.insert(graph.node.len() - 1, node);
        })
    };
    let body = || AttributeProto {
        name: "body".to_owned(),
        r#type: AttributeType::Graph as i32,
        g: Some(GraphProto::default()),
        ..AttributeProto::default()
    };
    let constant = AttributeProto {
        name: "value".to_owned(),
        r#type: AttributeType::Tensor as i32,
        t: Some(TensorProto::default()),
        ..AttributeProto::default()
    };
    for op_type in ["Loop", "Scan", "If"] {
        assert!(error_of_node(op_type, "", vec![body()]).contains("not supported"));
    }
    assert!(error_of_node("ConstantOfShape", "", vec![constant]).contains("not supported"));
    assert!(error_of_node("RandomNormal", "", vec![]).contains("not supported"));
    assert!(error_of_node("Exp", "com.example", vec![]).contains("not supported"));
    let (graph, signature) = valid_model();
    let mut model = model_proto(graph, &signature);
    model.functions.push(tract_onnx::pb::FunctionProto::default());
    assert!(error_of_file(&prost::Message::encode_to_vec(&model)).contains("functions"));
}

#[test]
fn expensive_graphs_are_rejected() {
    let bomb = |op_type: &str, numbers: &[i64]| {
        error_of_graph(|graph| {
            graph.initializer.push(list("huge", numbers));
            graph.node.push(node(op_type, &["shift", "huge"], "bomb"));
        })
    };
    assert!(bomb("Expand", &[1 << 40, 1, 1]).contains("too large"));
    assert!(bomb("Tile", &[1 << 30, 1 << 33]).contains("too large"));
    assert!(bomb("Reshape", &[i64::MAX, i64::MAX]).contains("too large"));
    // Twenty doublings, none of them large by itself.
    let doubled = error_of_graph(|graph| {
        graph.node.push(node("Identity", &["numeric"], "d0"));
        for step in 0..20 {
            let (from, to) = (format!("d{step}"), format!("d{}", step + 1));
            graph.node.push(node_with("Concat", &[&from, &from], &to, vec![int("axis", 0)]));
        }
    });
    assert!(doubled.contains("too large"));
    let products = error_of_graph(|graph| {
        graph.initializer.push(tensor("wide", &[1, 3000], &[0.0; 3000]));
        graph.initializer.push(tensor("narrower", &[3000, 1000], &vec![0.0; 3_000_000]));
        graph.initializer.push(tensor("back", &[1000, 3000], &vec![0.0; 3_000_000]));
        graph.node.push(node("MatMul", &["shift", "wide"], "p0"));
        for step in 0..100 {
            let [from, between, to] = [format!("p{step}"), format!("q{step}"), format!("p{}", step + 1)];
            graph.node.push(node("MatMul", &[&from, "narrower"], &between));
            graph.node.push(node("MatMul", &[&between, "back"], &to));
        }
    });
    assert!(products.contains("too large"));
    let many = error_of_graph(|graph| {
        (0..5000).for_each(|step| graph.node.push(node("Exp", &["shift"], &format!("n{step}"))));
    });
    assert!(many.contains("nodes"));
}

#[test]
fn invalid_tensors_are_rejected() {
    let tensor = |change: fn(&mut TensorProto)| error_of_graph(|graph| change(&mut graph.initializer[0]));
    let outside = tensor(|tensor| {
        tensor.data_location = Some(tract_onnx::pb::tensor_proto::DataLocation::External as i32);
        let location = ("location".to_owned(), "/etc/passwd".to_owned());
        tensor.external_data.push(StringStringEntryProto { key: location.0, value: location.1 });
        tensor.raw_data.clear();
    });
    assert!(outside.contains("in another file"));
    assert!(tensor(|tensor| tensor.dims = vec![1 << 40]).contains("with the dimensions"));
    assert!(tensor(|tensor| tensor.dims = vec![i64::MAX, i64::MAX]).contains("with the dimensions"));
    assert!(tensor(|tensor| tensor.dims = vec![-1]).contains("with the dimensions"));
    assert!(tensor(|tensor| tensor.data_type = DataType::String as i32).contains("unsupported element type"));
    assert!(tensor(|tensor| tensor.name = "categorical".to_owned()).contains("duplicate value"));
}

#[test]
fn inputs_and_outputs_are_checked() {
    let replace_last = |graph: &mut GraphProto, node: NodeProto| {
        let index = graph.node.len() - 1;
        graph.node[index] = node;
    };
    assert!(error_of_graph(|graph| graph.input[0].name = "ids".to_owned()).contains("inputs"));
    assert!(error_of_graph(|graph| graph.input.swap(0, 1)).contains("inputs"));
    assert!(error_of_graph(|graph| graph.input[1] = value("numeric", DataType::Float, 5)).contains("inputs"));
    assert!(error_of_graph(|graph| graph.output.clear()).contains("outputs"));
    assert!(error_of_graph(|graph| graph.output.push(graph.output[0].clone())).contains("outputs"));
    let int = error_of_graph(|graph| graph.output[0] = value("price_quantiles", DataType::Int64, QUANTILES));
    assert!(int.contains("outputs"));
    let narrow = error_of_graph(|graph| replace_last(graph, node("Exp", &["shift"], "price_quantiles")));
    assert!(narrow.contains("its output has the shape Some([256, 1])"), "{narrow}");
    let other = error_of_graph(|graph| {
        replace_last(graph, node_with("Cast", &["log_price"], "price_quantiles", vec![to_int64()]));
    });
    assert!(other.contains("it returned") && other.contains("instead of"), "{other}");
}

/// The attribute of a cast to integers.
fn to_int64() -> AttributeProto {
    int("to", DataType::Int64 as i64)
}

#[test]
fn invalid_prices_are_rejected() {
    let spread = |values: [f32; QUANTILES]| {
        let (mut graph, mut signature) = valid_model();
        graph.initializer.iter_mut().filter(|tensor| tensor.name == "spread").for_each(|tensor| {
            tensor.raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        });
        // The golden rows match, but the prices are invalid.
        let mut golden = signature.golden.take().unwrap();
        let model = open(&file(graph.clone(), &signature)).unwrap();
        golden.price_quantiles = model.run_graph(&golden.categorical, &[0.0; 12]).unwrap();
        if golden.price_quantiles.iter().all(|price| price.is_finite()) {
            signature.golden = Some(golden);
        }
        error_of_file(&file(graph, &signature))
    };
    assert!(spread([14.3, 14.2, 14.1, 14.0, 13.9, 13.8, 13.7]).contains("not ascending prices"));
    assert!(spread([14.0, 14.1, 14.2, 14.3, 14.4, 14.5, f32::NAN]).contains("golden"));
    let (mut graph, mut signature) = valid_model();
    graph.initializer.iter_mut().filter(|tensor| tensor.name == "spread").for_each(|tensor| {
        tensor.raw_data = f32::INFINITY.to_le_bytes().repeat(QUANTILES);
    });
    signature.golden.as_mut().unwrap().price_quantiles.fill(f32::MAX);
    assert!(error_of_file(&file(graph, &signature)).contains("its prices differ"));
}

#[test]
fn golden_rows_are_checked() {
    let golden = |change: fn(&mut Golden)| error_of_signature(|signature| change(signature.golden.as_mut().unwrap()));
    assert!(error_of_signature(|signature| signature.golden = None).contains("missing"));
    assert!(golden(|golden| *golden = Golden::default()).contains("0 rows"));
    assert!(golden(|golden| golden.price_quantiles[3] *= 1.01).contains("its prices differ"));
    assert!(golden(|golden| golden.price_quantiles.truncate(QUANTILES)).contains("are not rows of"));
    assert!(golden(|golden| golden.numeric.clear()).contains("are not rows of"));
    assert!(golden(|golden| golden.categorical[0] = 3).contains("brand has no id 3"));
    assert!(golden(|golden| golden.categorical[0] = -1).contains("brand has no id -1"));
    assert!(golden(|golden| golden.price_quantiles = vec![1.0; 7 * 2000]).contains("2000 rows"));
}

#[test]
fn inconsistent_schemas_are_rejected() {
    let schema = |change: fn(&mut domain::feature::FeatureSchema)| {
        error_of_signature(|signature| {
            let mut schema = signature.schema.clone();
            change(&mut schema);
            signature.schema = schema.with_fingerprint();
        })
    };
    assert!(schema(|schema| schema.categorical[0].values[1] = vec!["kia".to_owned()]).contains("twice"));
    assert!(
        schema(|schema| schema.categorical[0].values[1] = vec!["a".to_owned(), "b".to_owned()]).contains("not a key")
    );
    assert!(schema(|schema| schema.categorical[0].values[1].clear()).contains("not a key"));
    assert!(schema(|schema| schema.categorical.clear()).contains("no categorical"));
    assert!(schema(|schema| schema.numeric.clear()).contains("no categorical or no numeric"));
    assert!(schema(|schema| schema.numeric[0].name = "wings".to_owned()).contains("wings"));
    let reference = onnx_model::reference::Reference::default();
    assert!(error_of_signature(|signature| signature.reference = Some(reference)).contains("probeg.reference"));
    assert!(error_of_signature(|signature| signature.quantiles.fill(0.5)).contains("ascending"));
}

//! Files of other programs: what is accepted, computed and refused.

use domain::feature::{CATEGORICAL, NUMERIC};
use onnx_model::{Error, ForeignFile, Model, Sessions};
use prost::Message;
use tract_onnx::pb;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, ModelProto, NodeProto, TensorProto};

use crate::file::{list, runtime, valid_model};
use crate::proto::{QUANTILES, int, node, node_with, signature, tensor, value};

/// The ratios of the quantiles to the price.
const RATIOS: [f32; QUANTILES] = [0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3];

/// A file whose price is the exponential of the value `log_price` of these nodes.
fn foreign(mut nodes: Vec<NodeProto>, initializer: Vec<TensorProto>) -> ModelProto {
    nodes.push(node("Exp", &["log_price"], "price"));
    let opset = |domain: &str, version| pb::OperatorSetIdProto { domain: domain.to_owned(), version };
    ModelProto {
        ir_version: 8,
        producer_name: "lightgbm".to_owned(),
        producer_version: "4.7".to_owned(),
        opset_import: vec![opset("", 17), opset("ai.onnx.ml", 3)],
        graph: Some(pb::GraphProto {
            name: "foreign".to_owned(),
            node: nodes,
            initializer,
            input: vec![
                value("categorical", DataType::Int64, CATEGORICAL.len()),
                value("numeric", DataType::Float, NUMERIC.len()),
            ],
            output: vec![value("price", DataType::Float, 1)],
            ..pb::GraphProto::default()
        }),
        ..ModelProto::default()
    }
}

/// A file whose logarithm of the price is 14 times the first number.
fn linear() -> ModelProto {
    let weights: Vec<f32> = (0..NUMERIC.len()).map(|index| if index == 0 { 14.0 } else { 0.0 }).collect();
    let product = node("MatMul", &["numeric", "weights"], "log_price");
    foreign(vec![product], vec![tensor("weights", &[NUMERIC.len(), 1], &weights)])
}

fn read(file: &ModelProto) -> Result<ForeignFile, Error> {
    ForeignFile::read(&file.encode_to_vec(), &signature().schema, runtime())
}

/// The error for a changed file.
fn error(change: impl FnOnce(&mut ModelProto)) -> String {
    let mut file = linear();
    change(&mut file);
    read(&file).expect_err("the file must be rejected").to_string()
}

/// The error for a changed graph.
fn error_of_graph(change: impl FnOnce(&mut pb::GraphProto)) -> String {
    error(|file| change(file.graph.as_mut().unwrap()))
}

fn open(file: &ForeignFile) -> Model {
    let bytes = file.model_file(&signature(), &RATIOS).unwrap();
    assert!(!ForeignFile::is_foreign(&bytes).unwrap());
    Model::open(runtime(), &bytes, Sessions { bulk: 1, quick: 1 }).unwrap()
}

fn add_metadata(file: &mut ModelProto, key: &str, value: String) {
    file.metadata_props.push(pb::StringStringEntryProto { key: key.to_owned(), value });
}

#[test]
fn a_price_becomes_quantiles() {
    let matrix = linear();
    // The same as a vector, and with the name of the quantiles.
    let mut vector = linear();
    let graph = vector.graph.as_mut().unwrap();
    graph.node.push(node("Reshape", &["price", "flat"], "price_quantiles"));
    graph.initializer.push(list("flat", &[-1]));
    graph.output[0].name = "price_quantiles".to_owned();
    for file in [matrix, vector] {
        assert!(ForeignFile::is_foreign(&file.encode_to_vec()).unwrap());
        let file = read(&file).unwrap();
        assert_eq!((file.producer().as_str(), file.levels()), ("lightgbm 4.7", None));
        for rows in [1, 30] {
            let prices = open(&file).run_graph(&vec![0; rows * CATEGORICAL.len()], &vec![1.0; rows * 6]).unwrap();
            assert_eq!(prices.len(), rows * QUANTILES);
            for (price, ratio) in prices.iter().zip(RATIOS.iter().cycle()) {
                assert!((price / (14.0_f32.exp() * ratio) - 1.0).abs() < 1e-6, "{prices:?}");
            }
        }
    }
}

#[test]
fn quantiles_are_kept() {
    let (graph, signature) = valid_model();
    let mut file = ModelProto { graph: Some(graph), ..linear() };
    add_metadata(&mut file, "probeg.quantiles", serde_json::to_string(&signature.quantiles).unwrap());
    add_metadata(&mut file, "probeg.schema", serde_json::to_string(&signature.schema).unwrap());
    let foreign = read(&file).unwrap();
    assert_eq!(foreign.levels(), Some(&signature.quantiles[..]));
    let prices = open(&foreign).run_graph(&[0; 13], &[0.0; 6]).unwrap();
    assert!((prices[3].ln() - 14.0).abs() < 1e-4, "{prices:?}");
    file.metadata_props[0].value = "[0.1, 0.5, 0.9]".to_owned();
    let error = read(&file).unwrap_err().to_string();
    assert!(error.contains("it has 3 levels, but `price_quantiles` has 7 columns"), "{error}");
    file.metadata_props[0].value = "high".to_owned();
    assert!(read(&file).unwrap_err().to_string().contains("its metadata `probeg.quantiles` is invalid"));
    let mut file = linear();
    add_metadata(&mut file, "probeg.quantiles", "[0.5]".to_owned());
    assert!(read(&file).unwrap_err().to_string().contains("its output is `price` float32 [N, 1]"));
}

#[test]
fn the_schema_must_be_intact() {
    let mut schema = signature().schema;
    schema.categorical[0].values.push(vec!["new".to_owned()]);
    let changed = serde_json::to_string(&schema).unwrap();
    let error = error(|file| add_metadata(file, "probeg.schema", changed));
    assert!(error.contains("its fingerprint does not match its content"), "{error}");
    let mut file = linear();
    add_metadata(&mut file, "probeg.schema", serde_json::to_string(&schema.with_fingerprint()).unwrap());
    assert_eq!(read(&file).unwrap().schema().categorical[0].values.len(), 3, "its own");
    assert_eq!(read(&linear()).unwrap().schema().categorical[0].values.len(), 2, "that of the champion");
}

#[test]
fn other_inputs_and_outputs_are_refused() {
    let expected = "they must be `categorical` int64 [N, 13] and `numeric` float32 [N, 6]";
    for change in [
        |graph: &mut pb::GraphProto| graph.input[0].name = "ids".to_owned(),
        |graph: &mut pb::GraphProto| graph.input[0] = value("categorical", DataType::Int32, 13),
        |graph: &mut pb::GraphProto| graph.input[1] = value("numeric", DataType::Float, 7),
        |graph: &mut pb::GraphProto| drop(graph.input.remove(0)),
        |graph: &mut pb::GraphProto| graph.input.push(value("more", DataType::Float, 1)),
    ] {
        let error = error_of_graph(change);
        assert!(error.starts_with("its inputs are ") && error.contains(expected), "{error}");
    }
    let fixed = error_of_graph(|graph| {
        let pb::type_proto::Value::TensorType(tensor) = graph.input[1].r#type.as_mut().unwrap().value.as_mut().unwrap();
        tensor.shape.as_mut().unwrap().dim[0].value = Some(pb::tensor_shape_proto::dimension::Value::DimValue(1));
    });
    assert!(fixed.contains("its input `numeric` has exactly 1 rows"), "{fixed}");
    for change in [
        |graph: &mut pb::GraphProto| graph.output.clear(),
        |graph: &mut pb::GraphProto| graph.output.push(value("log_price", DataType::Float, 1)),
        |graph: &mut pb::GraphProto| graph.output[0] = value("price", DataType::Double, 1),
        |graph: &mut pb::GraphProto| graph.output[0] = value("numeric", DataType::Float, 6),
    ] {
        let error = error_of_graph(change);
        assert!(error.starts_with("its output is ") && error.contains("one price per listing"), "{error}");
    }
    // The order of the inputs does not matter.
    let mut file = linear();
    file.graph.as_mut().unwrap().input.swap(0, 1);
    open(&read(&file).unwrap());
}

#[test]
fn unsupported_operators_are_named() {
    let error_of_node = |operator: &str, domain: &str| {
        error_of_graph(|graph| {
            graph.node.insert(0, NodeProto { domain: domain.to_owned(), ..node(operator, &["numeric"], "more") });
        })
    };
    let native = error_of_node("Scaler", "ai.onnx.ml");
    assert!(
        native.contains("uses the operator Scaler (ai.onnx.ml)") && native.contains("set ORT_DYLIB_PATH"),
        "{native}"
    );
    for (operator, domain) in [("Loop", ""), ("TreeEnsemble", "ai.onnx.ml"), ("Exp", "com.example")] {
        let error = error_of_node(operator, domain);
        assert!(error.contains(&format!("the operator {operator}")) && error.contains("is not supported"), "{error}");
    }
    let old = error(|file| file.opset_import[0].version = 9);
    assert!(old.contains("export it with opset 13 or later"), "{old}");
}

#[test]
fn constants_are_accepted_in_every_form() {
    let mut file = linear();
    let graph = file.graph.as_mut().unwrap();
    let mut weights = graph.initializer.pop().unwrap();
    let (numbers, _) = weights.raw_data.as_chunks();
    weights.float_data = numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    weights.raw_data.clear();
    let attribute = |name: &str, r#type, change: fn(&mut AttributeProto)| {
        let mut attribute =
            AttributeProto { name: name.to_owned(), r#type: r#type as i32, ..AttributeProto::default() };
        change(&mut attribute);
        attribute
    };
    let mut of_tensor = attribute("value", AttributeType::Tensor, |_| ());
    of_tensor.t = Some(weights);
    let one = attribute("value_float", AttributeType::Float, |attribute| attribute.f = 1.0);
    let column = attribute("value_ints", AttributeType::Ints, |attribute| attribute.ints = vec![-1, 1]);
    graph.node[0].output[0] = "product".to_owned();
    graph.node.splice(
        0..0,
        [
            node_with("Constant", &[], "weights", vec![of_tensor]),
            node_with("Constant", &[], "one", vec![one]),
            node_with("Constant", &[], "column", vec![column]),
        ],
    );
    let last = graph.node.len() - 1;
    graph.node.splice(
        last..last,
        [node("Mul", &["product", "one"], "same"), node("Reshape", &["same", "column"], "log_price")],
    );
    graph.input.push(value("weights", DataType::Float, 1));
    let prices = open(&read(&file).unwrap()).run_graph(&[0; 13], &[1.0; 6]).unwrap();
    assert!((prices[3].ln() - 14.0).abs() < 1e-4, "{prices:?}");
}

#[test]
fn layers_and_selected_columns_are_accepted() {
    // A category is selected by its column, looked up in a table of its own, and goes through a layer.
    let gemm = vec![int("transB", 1)];
    let nodes = vec![
        node_with("Gather", &["categorical", "brand"], "brands", vec![int("axis", 1)]),
        node_with("Gather", &["table", "brands"], "effects", vec![int("axis", 0)]),
        node_with("Gemm", &["effects", "layer", "bias"], "layered", gemm),
        node("Softplus", &["layered"], "positive"),
        node_with("Flatten", &["positive"], "log_price", vec![int("axis", 1)]),
    ];
    let constants = |rows: usize| {
        let table: Vec<f32> = (0..2 * rows).map(|row| if row < 2 { 0.0 } else { 1.0 }).collect();
        let bias = tensor("bias", &[1], &[10.0]);
        vec![list_of_one("brand"), tensor("table", &[rows, 2], &table), tensor("layer", &[1, 2], &[1.0, 2.0]), bias]
    };
    let prices = open(&read(&foreign(nodes.clone(), constants(3))).unwrap());
    let mut ids = [0; 26];
    ids[13] = 2;
    let prices = prices.run_graph(&ids, &[f32::NAN; 12]).unwrap();
    assert!((prices[3].ln() - 10.0).abs() < 1e-3 && (prices[10].ln() - 13.0).abs() < 1e-3, "{prices:?}");
    let short = read(&foreign(nodes, constants(2))).unwrap_err().to_string();
    assert!(short.contains("may look up rows 0 to 2 of `table`, which has 2"), "{short}");
}

/// The index 0 without dimensions, as a selected column is exported.
fn list_of_one(name: &str) -> TensorProto {
    TensorProto { dims: Vec::new(), ..list(name, &[0]) }
}

/// A branch or a leaf of a random tree.
#[derive(Clone, Debug)]
struct Sprout {
    tree: i64,
    id: i64,
    mode: &'static str,
    feature: i64,
    value: f32,
    children: [i64; 2],
    missing: bool,
    weight: f32,
}

/// Reproducible random numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    /// A small multiple of 1/4, so that numbers and thresholds are often equal.
    fn number(&mut self) -> f32 {
        f32::from(u8::try_from(self.below(17)).unwrap()) / 4.0 - 2.0
    }
}

/// Adds a random subtree and returns the id of its root.
fn grow(nodes: &mut Vec<Sprout>, random: &mut Random, tree: i64, depth: u64) -> i64 {
    let first = nodes.iter().position(|node| node.tree == tree).unwrap_or(nodes.len());
    let index = nodes.len();
    let id = i64::try_from(index - first).unwrap();
    let is_leaf = depth == 0 || random.below(5) == 0;
    let modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GT", "BRANCH_GTE"];
    nodes.push(Sprout {
        tree,
        id,
        mode: if is_leaf { "LEAF" } else { modes[usize::try_from(random.below(4)).unwrap()] },
        feature: i64::try_from(random.below(6)).unwrap(),
        value: random.number(),
        children: [0, 0],
        missing: random.below(2) == 1,
        weight: random.number() / 8.0,
    });
    if !is_leaf {
        let yes = grow(nodes, random, tree, depth - 1);
        let no = grow(nodes, random, tree, depth - 1);
        nodes[index].children = [yes, no];
    }
    id
}

fn random_trees(seed: u64, trees: i64) -> Vec<Sprout> {
    let (mut nodes, mut random) = (Vec::new(), Random(seed));
    for tree in 0..trees {
        grow(&mut nodes, &mut random, tree, 5);
    }
    nodes
}

/// The sum of the leaves that numbers reach, calculated branch by branch.
fn walk(nodes: &[Sprout], numbers: &[f32]) -> f32 {
    let trees = nodes.last().unwrap().tree + 1;
    let of_tree = |tree: i64| {
        let tree: Vec<&Sprout> = nodes.iter().filter(|node| node.tree == tree).collect();
        let mut at = tree[0];
        while at.mode != "LEAF" {
            let number = numbers[usize::try_from(at.feature).unwrap()];
            let answer = match at.mode {
                _ if number.is_nan() => at.missing,
                "BRANCH_LEQ" => number <= at.value,
                "BRANCH_LT" => number < at.value,
                "BRANCH_GT" => number > at.value,
                _ => number >= at.value,
            };
            at = tree[usize::try_from(at.children[usize::from(!answer)]).unwrap()];
        }
        at.weight
    };
    (0..trees).map(of_tree).sum()
}

fn ensemble(nodes: &[Sprout], change: impl FnOnce(&mut Vec<AttributeProto>)) -> ModelProto {
    let ints = |name: &str, values: Vec<i64>| AttributeProto { ints: values, ..typed(name, AttributeType::Ints) };
    let floats = |name: &str, values: Vec<f32>| AttributeProto { floats: values, ..typed(name, AttributeType::Floats) };
    let of = |field: fn(&Sprout) -> i64| nodes.iter().map(field).collect::<Vec<_>>();
    let leaves = || nodes.iter().filter(|node| node.mode == "LEAF");
    let mut attributes = vec![
        int("n_targets", 1),
        ints("nodes_treeids", of(|node| node.tree)),
        ints("nodes_nodeids", of(|node| node.id)),
        ints("nodes_featureids", of(|node| node.feature)),
        ints("nodes_truenodeids", of(|node| node.children[0])),
        ints("nodes_falsenodeids", of(|node| node.children[1])),
        ints("nodes_missing_value_tracks_true", of(|node| i64::from(node.missing))),
        floats("nodes_values", nodes.iter().map(|node| node.value).collect()),
        AttributeProto {
            strings: nodes.iter().map(|node| node.mode.as_bytes().to_vec()).collect(),
            ..typed("nodes_modes", AttributeType::Strings)
        },
        ints("target_treeids", leaves().map(|node| node.tree).collect()),
        ints("target_nodeids", leaves().map(|node| node.id).collect()),
        ints("target_ids", leaves().map(|_| 0).collect()),
        floats("target_weights", leaves().map(|node| node.weight).collect()),
        floats("base_values", vec![13.5]),
    ];
    change(&mut attributes);
    let trees = node_with("TreeEnsembleRegressor", &["numeric"], "log_price", attributes);
    foreign(vec![NodeProto { domain: "ai.onnx.ml".to_owned(), ..trees }], vec![])
}

fn typed(name: &str, r#type: AttributeType) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: r#type as i32, ..AttributeProto::default() }
}

#[test]
fn trees_give_the_sum_of_the_leaves_that_are_reached() {
    for seed in 0..20 {
        let nodes = random_trees(seed, 1 + i64::try_from(seed).unwrap());
        let model = open(&read(&ensemble(&nodes, |_| ())).unwrap());
        let mut random = Random(seed + 100);
        let rows = 40;
        let numbers: Vec<f32> =
            (0..rows * 6).map(|_| if random.below(6) == 0 { f32::NAN } else { random.number() }).collect();
        let prices = model.run_graph(&vec![0; rows * 13], &numbers).unwrap();
        for (row, numbers) in numbers.chunks(6).enumerate() {
            let expected = (13.5 + walk(&nodes, numbers)).exp();
            let price = prices[row * QUANTILES + 3];
            assert!((price / expected - 1.0).abs() < 1e-5, "{price} instead of {expected} for {numbers:?}");
        }
    }
}

#[test]
fn invalid_trees_are_refused() {
    let leaf = |id: i64| Sprout {
        tree: 0,
        id,
        mode: "LEAF",
        feature: 0,
        value: 0.0,
        children: [0, 0],
        missing: false,
        weight: 1.0,
    };
    let branch = |id: i64, children: [i64; 2]| Sprout { mode: "BRANCH_LEQ", children, ..leaf(id) };
    let nodes = vec![branch(0, [1, 2]), leaf(1), branch(2, [3, 4]), leaf(3), leaf(4)];
    let error = |change: fn(&mut Vec<Sprout>)| {
        let mut nodes = nodes.clone();
        change(&mut nodes);
        read(&ensemble(&nodes, |_| ())).unwrap_err().to_string()
    };
    assert!(read(&ensemble(&nodes, |_| ())).is_ok());
    assert!(error(|nodes| nodes[2].children = [0, 4]).contains("the node 0 is reached twice"));
    assert!(error(|nodes| nodes[2].children = [3, 3]).contains("the node 3 is reached twice"));
    assert!(error(|nodes| nodes[0].children = [1, 7]).contains("has no child"));
    assert!(error(|nodes| nodes[2].mode = "LEAF").contains("is not reached"));
    assert!(error(|nodes| nodes[4].id = 3).contains("has two nodes 3"));
    assert!(error(|nodes| nodes[0].feature = 6).contains("it has no feature 6 of 6"));
    assert!(error(|nodes| nodes[0].value = f32::NAN).contains("the threshold NaN"));
    assert!(error(|nodes| nodes[1].weight = f32::INFINITY).contains("a weight is inf"));
    let categorical = error(|nodes| nodes[0].mode = "BRANCH_EQ");
    assert!(categorical.contains("a branch is BRANCH_EQ") && categorical.contains("ordered numbers"), "{categorical}");

    let changed = |change: fn(&mut Vec<AttributeProto>)| read(&ensemble(&nodes, change)).unwrap_err().to_string();
    let set = |attributes: &mut Vec<AttributeProto>, name: &str, text: &str| {
        attributes.push(AttributeProto { s: text.as_bytes().to_vec(), ..typed(name, AttributeType::String) });
    };
    assert!(changed(|attributes| attributes[3].ints.truncate(1)).contains("different lengths"));
    assert!(changed(|attributes| attributes[6].ints.truncate(1)).contains("different lengths"));
    assert!(changed(|attributes| attributes[10].ints.truncate(1)).contains("different lengths"));
    assert!(changed(Vec::clear).contains("different lengths"));
    assert!(changed(|attributes| attributes[11].ints[0] = 1).contains("a weight is"));
    assert!(changed(|attributes| attributes[13].floats.push(1.0)).contains("2 base values"));
    for (name, text) in [("post_transform", "LOGISTIC"), ("aggregate_function", "MAX"), ("nodes_values_as_tensor", "")]
    {
        let error = read(&ensemble(&nodes, |attributes| set(attributes, name, text))).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    // A chain of branches, whose matrix would be large.
    let depth = 6000;
    let chain = (0..depth).flat_map(|step| [branch(2 * step, [2 * step + 1, 2 * step + 2]), leaf(2 * step + 1)]);
    let chain: Vec<Sprout> = chain.chain([leaf(2 * depth)]).collect();
    let large = read(&ensemble(&chain, |_| ())).unwrap_err().to_string();
    assert!(large.contains("1 trees of up to 6001 leaves take more than 128 MiB"), "{large}");
}

#[test]
fn prices_are_checked() {
    assert!(ForeignFile::check_prices(&[1.0, 1.0, 2.0]).is_ok());
    for prices in [[1.0, f32::NAN, 2.0], [0.0, 1.0, 2.0], [3.0, 2.0, 4.0], [1.0, 2.0, f32::INFINITY]] {
        let error = ForeignFile::check_prices(&prices).unwrap_err().to_string();
        assert!(error.contains("prices must be positive and finite, and quantiles ascending"), "{error}");
    }
}

//! Replaces tree ensembles by ordinary operators, which both runtimes have and compute alike. The built-in runtime has no
//! `TreeEnsembleRegressor`, and its classifier takes time quadratic in the number of leaves.
//!
//! Every branch becomes a comparison `number <= threshold` with the answer 1 or 0. A leaf counts the answers on its path: 1 for
//! each branch where the path goes on as true, and -1 for each where it goes on as false and the answer was true. Only the leaf
//! that the listing reaches has the count of its path. So all leaves of all trees are found by one batch of matrix products.

use std::collections::HashMap;

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::{AttributeProto, GraphProto, NodeProto, TensorProto};

use super::proto::{floats, integers, node};
use crate::error::{Error, ForeignError};
use crate::shapes::{ML_DOMAIN, Shapes, int};

/// The maximum size of the matrices of all trees of a graph.
const MAX_MATRIX_BYTES: usize = 128 << 20;

/// Replaces all tree ensembles of a graph. `infer` returns the shapes of a graph.
pub(super) fn replace_trees(
    graph: &mut GraphProto,
    infer: impl Fn(&GraphProto) -> Result<Shapes<'_>, Error>,
) -> Result<(), Error> {
    let mut bytes = 0;
    for original in std::mem::take(&mut graph.node) {
        if (original.domain.as_str(), original.op_type.as_str()) != (ML_DOMAIN, "TreeEnsembleRegressor") {
            graph.node.push(original);
            continue;
        }
        let failed = |reason: String| ForeignError::Trees { node: original.name.clone(), reason };
        let ([input], [output]) = (&original.input[..], &original.output[..]) else {
            return Err(failed("it needs one input and one output".to_owned()).into());
        };
        let shapes = infer(graph)?;
        let Some(&[_, features]) = shapes.of(input) else {
            return Err(failed(format!("its input `{input}` is not a matrix [N, features]")).into());
        };
        let features = usize::try_from(features).unwrap_or(usize::MAX);
        drop(shapes);
        let ensemble = Ensemble::read(&original, features).map_err(&failed)?;
        bytes += matrix_bytes(ensemble.size, ensemble.targets);
        if bytes > MAX_MATRIX_BYTES {
            return Err(failed(too_large(ensemble.size)).into());
        }
        ensemble.add_to(graph, input, output, features);
    }
    Ok(())
}

/// The size of the matrices of an ensemble.
fn matrix_bytes(size: Size, targets: usize) -> usize {
    let numbers = (size.branches + targets).saturating_mul(size.leaves).saturating_mul(size.trees);
    numbers.saturating_mul(size_of::<f32>())
}

fn too_large(Size { trees, leaves, .. }: Size) -> String {
    let limit = MAX_MATRIX_BYTES >> 20;
    format!(
        "{trees} trees of up to {leaves} leaves take more than {limit} MiB as matrices; use fewer leaves per tree, or fewer trees"
    )
}

/// The number of trees, and the largest numbers of branches and leaves of a tree, at least one of each.
#[derive(Clone, Copy)]
struct Size {
    trees: usize,
    branches: usize,
    leaves: usize,
}

/// A tree ensemble.
struct Ensemble {
    size: Size,
    trees: Vec<Tree>,
    /// The number of outputs.
    targets: usize,
    /// The value added to each output; empty if there is none.
    base: Vec<f32>,
}

/// A tree: its branches and leaves in any order.
#[derive(Default)]
struct Tree {
    branches: Vec<Branch>,
    leaves: Vec<Leaf>,
}

/// The question whether a number is at most a threshold.
struct Branch {
    feature: usize,
    threshold: f32,
    /// The answer for a missing number.
    missing: bool,
}

struct Leaf {
    /// The branches from the root to the leaf, each with the answer that leads to it.
    path: Vec<(usize, bool)>,
    weights: Vec<f32>,
}

/// The attributes of a node, as in the ONNX specification.
struct Attributes<'n> {
    node_trees: &'n [i64],
    node_ids: &'n [i64],
    features: &'n [i64],
    true_ids: &'n [i64],
    false_ids: &'n [i64],
    thresholds: &'n [f32],
    modes: &'n [Vec<u8>],
    missing_is_true: &'n [i64],
    leaf_trees: &'n [i64],
    leaf_ids: &'n [i64],
    targets: &'n [i64],
    weights: &'n [f32],
    base: &'n [f32],
}

/// The attributes that are read or do not matter.
const KNOWN: [&str; 17] = [
    "aggregate_function",
    "base_values",
    "n_targets",
    "nodes_falsenodeids",
    "nodes_featureids",
    "nodes_hitrates",
    "nodes_missing_value_tracks_true",
    "nodes_modes",
    "nodes_nodeids",
    "nodes_treeids",
    "nodes_truenodeids",
    "nodes_values",
    "post_transform",
    "target_ids",
    "target_nodeids",
    "target_treeids",
    "target_weights",
];

impl<'n> Attributes<'n> {
    fn read(node: &'n NodeProto) -> Result<Self, String> {
        if let Some(unknown) = node.attribute.iter().find(|attribute| !KNOWN.contains(&attribute.name.as_str())) {
            return Err(format!("the attribute {} is not supported", unknown.name));
        }
        let named = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
        for (name, expected) in [("post_transform", "NONE"), ("aggregate_function", "SUM")] {
            if let Some(other) = named(name).filter(|attribute| attribute.s != expected.as_bytes()) {
                return Err(format!("{name} is {}; only {expected} is supported", String::from_utf8_lossy(&other.s)));
            }
        }
        let ints = |name: &str| named(name).map_or(&[][..], |attribute| &attribute.ints);
        let numbers = |name: &str| named(name).map_or(&[][..], |attribute| &attribute.floats);
        let attributes = Self {
            node_trees: ints("nodes_treeids"),
            node_ids: ints("nodes_nodeids"),
            features: ints("nodes_featureids"),
            true_ids: ints("nodes_truenodeids"),
            false_ids: ints("nodes_falsenodeids"),
            thresholds: numbers("nodes_values"),
            modes: named("nodes_modes").map_or(&[][..], |attribute| &attribute.strings),
            missing_is_true: ints("nodes_missing_value_tracks_true"),
            leaf_trees: ints("target_treeids"),
            leaf_ids: ints("target_nodeids"),
            targets: ints("target_ids"),
            weights: numbers("target_weights"),
            base: numbers("base_values"),
        };
        let Self { node_trees, features, true_ids, false_ids, thresholds, modes, missing_is_true, .. } = attributes;
        let nodes = attributes.node_ids.len();
        let lengths =
            [node_trees.len(), features.len(), true_ids.len(), false_ids.len(), thresholds.len(), modes.len()];
        if nodes == 0 || lengths.iter().any(|length| *length != nodes) || ![0, nodes].contains(&missing_is_true.len()) {
            return Err(format!("its lists of nodes have different lengths: {lengths:?} for {nodes} nodes"));
        }
        let Self { leaf_trees, leaf_ids, targets, weights, .. } = attributes;
        let lengths = [leaf_trees.len(), leaf_ids.len(), targets.len(), weights.len()];
        if lengths.iter().any(|length| *length != weights.len()) {
            return Err(format!("its lists of leaves have different lengths: {lengths:?}"));
        }
        Ok(attributes)
    }

    fn is_leaf(&self, index: usize) -> bool {
        self.modes[index] == b"LEAF"
    }

    fn size(&self, roots: &[usize]) -> Size {
        let ends = roots.iter().skip(1).copied().chain([self.node_ids.len()]);
        let mut size = Size { trees: roots.len(), branches: 1, leaves: 1 };
        for (root, end) in roots.iter().zip(ends) {
            let leaves = (*root..end).filter(|index| self.is_leaf(*index)).count();
            size.leaves = size.leaves.max(leaves);
            size.branches = size.branches.max(end - root - leaves);
        }
        size
    }

    /// A branch, and whether its answer is opposite to that of the node.
    fn branch(&self, index: usize, features: usize) -> Result<(Branch, bool), String> {
        let feature = usize::try_from(self.features[index]).ok().filter(|feature| *feature < features);
        let feature = feature.ok_or_else(|| format!("it has no feature {} of {features}", self.features[index]))?;
        let value = self.thresholds[index];
        if value.is_nan() || value == f32::NEG_INFINITY {
            return Err(format!("the threshold {value} of a branch is not supported"));
        }
        let (threshold, is_opposite) = match &self.modes[index][..] {
            b"BRANCH_LEQ" => (value, false),
            b"BRANCH_LT" => (value.next_down(), false),
            b"BRANCH_GT" => (value, true),
            b"BRANCH_GTE" => (value.next_down(), true),
            other => {
                let reason = "only BRANCH_LEQ, BRANCH_LT, BRANCH_GT and BRANCH_GTE are supported, so encode categories as \
                              ordered numbers, such as mean prices";
                return Err(format!("a branch is {}; {reason}", String::from_utf8_lossy(other)));
            }
        };
        let is_true = self.missing_is_true.get(index).is_some_and(|tracks| *tracks != 0);
        Ok((Branch { feature, threshold, missing: is_true != is_opposite }, is_opposite))
    }
}

/// The maximum number of targets of an ensemble: quantiles.
const MAX_TARGETS: usize = 99;

impl Ensemble {
    fn read(node: &NodeProto, features: usize) -> Result<Self, String> {
        let attributes = Attributes::read(node)?;
        let targets = usize::try_from(int(node, "n_targets").unwrap_or(1)).unwrap_or_default();
        let base = attributes.base.to_vec();
        if !(1..=MAX_TARGETS).contains(&targets) || ![0, targets].contains(&base.len()) {
            return Err(format!("it has {targets} targets and {} base values", base.len()));
        }
        let mut indices: HashMap<(i64, i64), usize> = HashMap::new();
        let mut roots: Vec<usize> = Vec::new();
        for (index, key) in attributes.node_trees.iter().copied().zip(attributes.node_ids.iter().copied()).enumerate() {
            if indices.insert(key, index).is_some() {
                return Err(format!("the tree {} has two nodes {}", key.0, key.1));
            }
            // The root is the first node of its tree, and the nodes of a tree are together.
            if roots.last().is_none_or(|root| attributes.node_trees[*root] != key.0) {
                roots.push(index);
            }
        }
        // Before the paths are collected, whose size is that of the matrices.
        let size = attributes.size(&roots);
        if matrix_bytes(size, targets) > MAX_MATRIX_BYTES {
            return Err(too_large(size));
        }
        let mut weights: HashMap<usize, Vec<f32>> = HashMap::new();
        let keys = attributes.leaf_trees.iter().copied().zip(attributes.leaf_ids.iter().copied());
        for (key, (target, weight)) in keys.zip(attributes.targets.iter().zip(attributes.weights)) {
            let leaf = indices.get(&key).copied().filter(|index| attributes.is_leaf(*index));
            let target = usize::try_from(*target).ok().filter(|target| *target < targets && weight.is_finite());
            let (Some(leaf), Some(target)) = (leaf, target) else {
                return Err(format!("a weight is {weight} for the target {target:?} of no leaf of {key:?}"));
            };
            weights.entry(leaf).or_insert_with(|| vec![0.0; targets])[target] += weight;
        }
        let mut visited = vec![false; attributes.node_ids.len()];
        let trees = roots.into_iter().map(|root| {
            let (mut tree, mut pending) = (Tree::default(), vec![(root, Vec::new())]);
            while let Some((index, path)) = pending.pop() {
                if std::mem::replace(&mut visited[index], true) {
                    return Err(format!("the node {} is reached twice", attributes.node_ids[index]));
                }
                if attributes.is_leaf(index) {
                    let weights = weights.remove(&index).unwrap_or_else(|| vec![0.0; targets]);
                    tree.leaves.push(Leaf { path, weights });
                    continue;
                }
                let (branch, is_opposite) = attributes.branch(index, features)?;
                for (child, answer) in [(attributes.true_ids[index], true), (attributes.false_ids[index], false)] {
                    let child = indices.get(&(attributes.node_trees[index], child)).copied();
                    let child = child.ok_or_else(|| format!("the node {} has no child", attributes.node_ids[index]))?;
                    let step = (tree.branches.len(), answer != is_opposite);
                    pending.push((child, path.iter().copied().chain([step]).collect()));
                }
                tree.branches.push(branch);
            }
            Ok(tree)
        });
        let trees = trees.collect::<Result<Vec<_>, String>>()?;
        if let Some(index) = visited.iter().position(|visited| !visited) {
            return Err(format!("the node {} is not reached", attributes.node_ids[index]));
        }
        Ok(Self { size, trees, targets, base })
    }

    /// Adds the nodes that compute `output` from `input` with this number of columns.
    fn add_to(&self, graph: &mut GraphProto, input: &str, output: &str, features: usize) {
        let Size { trees, branches, .. } = self.size;
        let name = |part: &str| format!("{output}/{part}");
        let mut step = |operator: &str, inputs: &[&str], part: &str, attributes: Vec<AttributeProto>| {
            let added = NodeProto { attribute: attributes, ..node(operator, inputs, &name(part)) };
            graph.node.push(added);
            name(part)
        };
        // A missing number compares as false in the first copy of the columns and as true in the second.
        let is_missing = step("IsNaN", &[input], "missing", vec![]);
        let low = step("Where", &[&is_missing, &name("lowest"), input], "low", vec![]);
        let both = step("Concat", &[input, &low], "both", vec![integer("axis", 1)]);
        let columns = step("Transpose", &[&both], "columns", vec![permutation(&[1, 0])]);
        let compared = step("Gather", &[&columns, &name("features")], "compared", vec![integer("axis", 0)]);
        let by_tree = step("Reshape", &[&compared, &name("by_tree")], "numbers", vec![]);
        let answers = step("LessOrEqual", &[&by_tree, &name("thresholds")], "answers", vec![]);
        let answers = step("Cast", &[&answers], "ones", vec![integer("to", 1)]);
        let counts = step("MatMul", &[&name("paths"), &answers], "counts", vec![]);
        let excess = step("Add", &[&counts, &name("lengths")], "excess", vec![]);
        let reached = step("Relu", &[&excess], "reached", vec![]);
        let of_trees = step("MatMul", &[&name("weights"), &reached], "of_trees", vec![]);
        let sums = step("ReduceSum", &[&of_trees, &name("first")], "sums", vec![integer("keepdims", 0)]);
        let last = if self.base.is_empty() { output.to_owned() } else { name("by_row") };
        graph.node.push(NodeProto { attribute: vec![permutation(&[1, 0])], ..node("Transpose", &[&sums], &last) });
        if !self.base.is_empty() {
            graph.node.push(node("Add", &[&last, &name("base")], output));
            graph.initializer.push(floats(&name("base"), &[1, self.targets], &self.base));
        }
        graph.initializer.extend([
            floats(&name("lowest"), &[], &[f32::NEG_INFINITY]),
            integers(&name("first"), &[1], &[0]),
            integers(
                &name("by_tree"),
                &[3],
                &[trees, branches].map(as_i64).into_iter().chain([-1]).collect::<Vec<_>>(),
            ),
        ]);
        graph.initializer.extend(self.matrices(&name, features));
    }

    /// The constants of the branches and leaves, filled up to the size of the largest tree.
    fn matrices(&self, name: &impl Fn(&str) -> String, features: usize) -> [TensorProto; 5] {
        let Size { trees, branches, leaves } = self.size;
        let mut columns = vec![0; trees * branches];
        let mut thresholds = vec![0.0; trees * branches];
        let mut paths = vec![0.0; trees * leaves * branches];
        // Of a leaf that does not exist, the excess is negative.
        let mut lengths = vec![-1.0; trees * leaves];
        let mut weights = vec![0.0; trees * self.targets * leaves];
        for (number, tree) in self.trees.iter().enumerate() {
            for (index, branch) in tree.branches.iter().enumerate() {
                let of_missing = if branch.missing { features } else { 0 };
                columns[number * branches + index] = as_i64(branch.feature + of_missing);
                thresholds[number * branches + index] = branch.threshold;
            }
            for (index, leaf) in tree.leaves.iter().enumerate() {
                let row = number * leaves + index;
                // One more than the count of its path is left for the leaf that is reached.
                lengths[row] = 1.0;
                for (branch, answer) in &leaf.path {
                    paths[row * branches + branch] = if *answer { 1.0 } else { -1.0 };
                    lengths[row] -= if *answer { 1.0 } else { 0.0 };
                }
                for (target, weight) in leaf.weights.iter().enumerate() {
                    weights[(number * self.targets + target) * leaves + index] = *weight;
                }
            }
        }
        [
            integers(&name("features"), &[trees * branches], &columns),
            floats(&name("thresholds"), &[trees, branches, 1], &thresholds),
            floats(&name("paths"), &[trees, leaves, branches], &paths),
            floats(&name("lengths"), &[trees, leaves, 1], &lengths),
            floats(&name("weights"), &[trees, self.targets, leaves], &weights),
        ]
    }
}

fn as_i64(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Int as i32, i: value, ..AttributeProto::default() }
}

fn permutation(axes: &[i64]) -> AttributeProto {
    let (name, r#type, ints) = ("perm".to_owned(), AttributeType::Ints as i32, axes.to_vec());
    AttributeProto { name, r#type, ints, ..AttributeProto::default() }
}

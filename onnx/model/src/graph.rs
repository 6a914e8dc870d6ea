//! The graph of a model file: the checks it must pass before a runtime sees it.

use std::collections::HashSet;

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

use crate::error::Error;
use crate::ranges::Ranges;
use crate::shapes::Shapes;

/// The name of the input `int64 [N, C]`: ids of the categorical features, 0 = unknown or missing.
pub const CATEGORICAL_INPUT: &str = "categorical";
/// The name of the input `float32 [N, F]`: numbers in raw units, NaN = missing.
pub const NUMERIC_INPUT: &str = "numeric";
/// The name of the output `float32 [N, Q]`: price quantiles, ascending along Q.
pub const OUTPUT: &str = "price_quantiles";

/// The maximum number of nodes; a network of a few members has two hundred.
const MAX_NODES: usize = 4096;

/// The widths of the inputs and the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Widths {
    /// The number of ids, `C`.
    pub(crate) categorical: usize,
    /// The number of numbers, `F`.
    pub(crate) numeric: usize,
    /// The number of quantiles, `Q`.
    pub(crate) quantiles: usize,
}

/// The part of a model file that a runtime needs.
#[derive(Debug)]
pub(crate) struct Graph {
    file: ModelProto,
}

impl Graph {
    /// Validates the graph of a decoded file for each of these numbers of rows before a runtime loads it: a runtime would read
    /// external files, follow infinite loops, and abort the process if the graph needs too much memory.
    ///
    /// # Errors
    /// The graph has unsupported features, different inputs or outputs, or is too large.
    pub(crate) fn new(
        mut file: ModelProto,
        widths: Widths,
        largest_ids: &[usize],
        rows: &[usize],
        is_native: bool,
    ) -> Result<Self, Error> {
        file.metadata_props.clear();
        let graph = file.graph.as_mut().ok_or_else(|| Error::graph("there is none"))?;
        // These optional hints may be wrong.
        graph.value_info.clear();
        if !file.functions.is_empty() || !file.training_info.is_empty() || !graph.sparse_initializer.is_empty() {
            return Err(Error::graph("functions, training information and sparse tensors are not supported"));
        }
        if graph.node.len() > MAX_NODES {
            return Err(Error::graph(format!("it has {} nodes; at most {MAX_NODES} are accepted", graph.node.len())));
        }
        check_interface(graph, widths)?;
        rows.iter().try_for_each(|rows| check_nodes(graph, widths, largest_ids, *rows, is_native))?;
        Ok(Self { file })
    }

    /// The file with a fixed first dimension of inputs and output: static shapes make a runtime a third faster.
    pub(crate) fn with_rows(&mut self, rows: usize) -> &ModelProto {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        if let Some(graph) = &mut self.file.graph {
            for dim in graph.input.iter_mut().chain(&mut graph.output).filter_map(first_dimension) {
                *dim = Some(dimension::Value::DimValue(rows));
            }
        }
        &self.file
    }
}

fn first_dimension(value: &mut ValueInfoProto) -> Option<&mut Option<dimension::Value>> {
    let Value::TensorType(tensor) = value.r#type.as_mut()?.value.as_mut()?;
    Some(&mut tensor.shape.as_mut()?.dim.first_mut()?.value)
}

/// Checks the inputs and the output against the contract.
fn check_interface(graph: &GraphProto, widths: Widths) -> Result<(), Error> {
    let inputs: Vec<_> = graph.input.iter().map(describe).collect();
    let expected = [
        (CATEGORICAL_INPUT, Some((DataType::Int64 as i32, Some(widths.categorical)))),
        (NUMERIC_INPUT, Some((DataType::Float as i32, Some(widths.numeric)))),
    ];
    if inputs != expected {
        return Err(Error::graph(format!(
            "its inputs are {inputs:?} instead of {expected:?} (name, element type, width)"
        )));
    }
    let outputs: Vec<_> = graph.output.iter().map(describe).collect();
    match outputs[..] {
        [(OUTPUT, Some((element, None)))] if element == DataType::Float as i32 => Ok(()),
        [(OUTPUT, Some((element, Some(width))))] if element == DataType::Float as i32 && width == widths.quantiles => {
            Ok(())
        }
        _ => Err(Error::graph(format!(
            "its outputs are {outputs:?} instead of `{OUTPUT}` alone, {} wide",
            widths.quantiles
        ))),
    }
}

/// The name, element type and width, if specified, of a matrix with any number of rows.
fn describe(value: &ValueInfoProto) -> (&str, Option<(i32, Option<usize>)>) {
    let kind = value.r#type.as_ref().and_then(|kind| kind.value.as_ref()).and_then(|Value::TensorType(tensor)| {
        let [_, width] = &tensor.shape.as_ref()?.dim[..] else { return None };
        let width = match &width.value {
            Some(dimension::Value::DimValue(width)) => Some(usize::try_from(*width).ok()?),
            _ => None,
        };
        Some((tensor.elem_type, width))
    });
    (&value.name, kind)
}

/// Checks the graph without running it: every value has a unique name and is defined before its use, none is too large, and
/// no lookup is out of range.
fn check_nodes(
    graph: &GraphProto,
    widths: Widths,
    largest_ids: &[usize],
    rows: usize,
    is_native: bool,
) -> Result<(), Error> {
    let shapes = infer_shapes(graph, widths, largest_ids, rows, is_native)?;
    if shapes.of(OUTPUT) == Some(&[rows as u64, widths.quantiles as u64]) {
        Ok(())
    } else {
        Err(Error::graph(format!(
            "its output has the shape {:?} for {rows} rows of {} quantiles",
            shapes.of(OUTPUT),
            widths.quantiles
        )))
    }
}

/// The shapes of all values, after the checks of [`check_nodes`] other than that of the output.
pub(crate) fn infer_shapes<'g>(
    graph: &'g GraphProto,
    widths: Widths,
    largest_ids: &[usize],
    rows: usize,
    is_native: bool,
) -> Result<Shapes<'g>, Error> {
    let mut names = HashSet::new();
    let (mut shapes, mut ranges) = (Shapes::new(is_native), Ranges::default());
    ranges.add_ids(CATEGORICAL_INPUT, largest_ids);
    for (name, width) in [(CATEGORICAL_INPUT, widths.categorical), (NUMERIC_INPUT, widths.numeric)] {
        names.insert(name);
        shapes.add_input(name, &[rows as u64, width as u64]);
    }
    for tensor in &graph.initializer {
        if !names.insert(&tensor.name) {
            return Err(Error::graph(format!("duplicate value `{}`", tensor.name)));
        }
        check_tensor(tensor)?;
        shapes.add_constant(tensor);
        ranges.add_constant(tensor);
    }
    let ids = (largest_ids.iter().sum::<usize>() + largest_ids.len()) as u64;
    let mut from_ids = HashSet::from([CATEGORICAL_INPUT]);
    for node in &graph.node {
        let [output] = &node.output[..] else {
            return Err(Error::graph(format!(
                "the node `{}` has {} outputs instead of one",
                node.name,
                node.output.len()
            )));
        };
        if !names.insert(output) {
            return Err(Error::graph(format!("duplicate value `{output}`")));
        }
        check_node(node)?;
        shapes.add_node(node)?;
        check_table(node, &shapes, &from_ids, rows as u64 * widths.categorical as u64, ids)?;
        ranges.add_node(node, &shapes)?;
        if node.input.iter().any(|input| from_ids.contains(input.as_str())) {
            from_ids.insert(output);
        }
    }
    Ok(shapes)
}

/// Checks that the bytes of a tensor are in the file and match its type and dimensions.
fn check_tensor(tensor: &TensorProto) -> Result<(), Error> {
    let is_external = tensor.data_location.is_some_and(|location| location != DataLocation::Default as i32);
    if is_external || !tensor.external_data.is_empty() {
        return Err(Error::graph(format!("the tensor `{}` is in another file", tensor.name)));
    }
    let bytes = match tensor.data_type {
        element if element == DataType::Float as i32 => 4_u64,
        element if element == DataType::Int64 as i32 => 8,
        element if element == DataType::Bool as i32 => 1,
        other => {
            return Err(Error::graph(format!("the tensor `{}` has the unsupported element type {other}", tensor.name)));
        }
    };
    let expected = tensor.dims.iter().try_fold(bytes, |size, dim| size.checked_mul(u64::try_from(*dim).ok()?));
    if expected == Some(tensor.raw_data.len() as u64) {
        Ok(())
    } else {
        let (name, dims, held) = (&tensor.name, &tensor.dims, tensor.raw_data.len());
        Err(Error::graph(format!("the tensor `{name}` with the dimensions {dims:?} has {held} bytes")))
    }
}

/// Checks that no attribute has a tensor or a subgraph, as those of loops and branches do.
fn check_node(node: &NodeProto) -> Result<(), Error> {
    let is_plain = |attribute: &AttributeProto| {
        attribute.t.is_none()
            && attribute.g.is_none()
            && attribute.sparse_tensor.is_none()
            && attribute.tensors.is_empty()
            && attribute.graphs.is_empty()
            && attribute.sparse_tensors.is_empty()
            && attribute.ref_attr_name.is_empty()
    };
    if node.attribute.iter().all(is_plain) {
        Ok(())
    } else {
        let reason = "is not supported: it has a tensor or a graph as an attribute";
        Err(Error::graph(format!("the node `{}` ({}) {reason}", node.name, node.op_type)))
    }
}

/// Checks that an embedding table has exactly one row per id: otherwise ids of one category would select rows of the next.
fn check_table(
    node: &NodeProto,
    shapes: &Shapes<'_>,
    from_ids: &HashSet<&str>,
    lookups: u64,
    ids: u64,
) -> Result<(), Error> {
    let [table, indices] = &node.input[..] else { return Ok(()) };
    if node.op_type != "Gather" || !from_ids.contains(indices.as_str()) || !shapes.is_weights(table) {
        return Ok(());
    }
    let covers_all_categories = shapes.of(indices).is_some_and(|indices| indices.iter().product::<u64>() == lookups);
    match shapes.of(table) {
        Some([rows, _]) if covers_all_categories && *rows != ids => Err(Error::Vocabulary { rows: *rows, ids }),
        _ => Ok(()),
    }
}

//! The graph of a model file: the checks it must pass before a runtime sees it.

use std::collections::HashSet;

use tract_onnx::pb::tensor_proto::{DataLocation, DataType};
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

use crate::error::Error;
use crate::ranges::Ranges;
use crate::sizes::Sizes;

/// Name of the input `int64 [N, C]`: ids of the categorical features, 0 = unknown or missing.
pub const CATEGORICAL_INPUT: &str = "categorical";
/// Name of the input `float32 [N, F]`: numbers in raw units, NaN = missing.
pub const NUMERIC_INPUT: &str = "numeric";
/// Name of the output `float32 [N, Q]`: quantiles of the price, rising along Q.
pub const OUTPUT: &str = "price_quantiles";

/// The most nodes of a graph; a network of a few members has two hundred.
const MAX_NODES: usize = 4096;

/// What each row of a graph has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Widths {
    /// Ids: `C`.
    pub(crate) categorical: usize,
    /// Numbers: `F`.
    pub(crate) numeric: usize,
    /// Outputs: `Q`.
    pub(crate) quantiles: usize,
}

/// The part of a model file that a runtime needs.
#[derive(Debug)]
pub(crate) struct Graph {
    file: ModelProto,
}

impl Graph {
    /// Takes the graph of a decoded file and checks it for each of these numbers of rows before a runtime sees it: a
    /// runtime reads files that a tensor names, follows endless loops, and aborts the process if a graph asks for more
    /// memory than there is.
    ///
    /// # Errors
    /// It contains something that no exported network contains, has other inputs or outputs, or is too large to run.
    pub(crate) fn new(
        mut file: ModelProto,
        widths: Widths,
        largest_ids: &[usize],
        rows: &[usize],
    ) -> Result<Self, Error> {
        file.metadata_props.clear();
        let graph = file.graph.as_mut().ok_or_else(|| Error::graph("the file holds none"))?;
        // Optional hints, which may be wrong.
        graph.value_info.clear();
        if !file.functions.is_empty() || !file.training_info.is_empty() || !graph.sparse_initializer.is_empty() {
            return Err(Error::graph("functions, training steps and sparse tensors are not accepted"));
        }
        if graph.node.len() > MAX_NODES {
            return Err(Error::graph(format!(
                "it has {} nodes, and {MAX_NODES} at most are accepted",
                graph.node.len()
            )));
        }
        check_interface(graph, widths)?;
        rows.iter().try_for_each(|rows| check_nodes(graph, widths, largest_ids, *rows))?;
        Ok(Self { file })
    }

    /// The file with the first dimension of inputs and output fixed: with static shapes a runtime saves a third of the work.
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

/// Whether inputs and output are those of the contract.
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

/// Name, element type and, where it is told, width of a matrix of any number of rows.
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

/// Checks the graph without running it: every value has a unique name and is defined before its use, none is too
/// large, and no look-up is out of range.
fn check_nodes(graph: &GraphProto, widths: Widths, largest_ids: &[usize], rows: usize) -> Result<(), Error> {
    let mut names = HashSet::new();
    let (mut sizes, mut ranges) = (Sizes::default(), Ranges::default());
    ranges.ids(CATEGORICAL_INPUT, largest_ids);
    for (name, width) in [(CATEGORICAL_INPUT, widths.categorical), (NUMERIC_INPUT, widths.numeric)] {
        names.insert(name);
        sizes.input(name, &[rows as u64, width as u64]);
    }
    for tensor in &graph.initializer {
        if !names.insert(&tensor.name) {
            return Err(Error::graph(format!("there are two values `{}`", tensor.name)));
        }
        check_tensor(tensor)?;
        sizes.constant(tensor);
        ranges.constant(tensor);
    }
    let ids = (largest_ids.iter().sum::<usize>() + largest_ids.len()) as u64;
    let mut from_ids = HashSet::from([CATEGORICAL_INPUT]);
    for node in &graph.node {
        let [output] = &node.output[..] else {
            return Err(Error::graph(format!(
                "its node `{}` has {} outputs instead of one",
                node.name,
                node.output.len()
            )));
        };
        if !names.insert(output) {
            return Err(Error::graph(format!("there are two values `{output}`")));
        }
        check_node(node)?;
        sizes.node(node)?;
        check_table(node, &sizes, &from_ids, rows as u64 * widths.categorical as u64, ids)?;
        ranges.node(node, &sizes)?;
        if node.input.iter().any(|input| from_ids.contains(input.as_str())) {
            from_ids.insert(output);
        }
    }
    if sizes.of(OUTPUT) == Some(&[rows as u64, widths.quantiles as u64]) {
        Ok(())
    } else {
        Err(Error::graph(format!(
            "its output is {:?} for {rows} rows of {} quantiles",
            sizes.of(OUTPUT),
            widths.quantiles
        )))
    }
}

/// A tensor's type and dimensions match its bytes, which are in the file.
fn check_tensor(tensor: &TensorProto) -> Result<(), Error> {
    let is_elsewhere = tensor.data_location.is_some_and(|place| place != DataLocation::Default as i32);
    if is_elsewhere || !tensor.external_data.is_empty() {
        return Err(Error::graph(format!("its tensor `{}` is in another file", tensor.name)));
    }
    let bytes = match tensor.data_type {
        it if it == DataType::Float as i32 => 4_u64,
        it if it == DataType::Int64 as i32 => 8,
        it if it == DataType::Bool as i32 => 1,
        other => return Err(Error::graph(format!("its tensor `{}` has elements of type {other}", tensor.name))),
    };
    let expected = tensor.dims.iter().try_fold(bytes, |size, dim| size.checked_mul(u64::try_from(*dim).ok()?));
    if expected == Some(tensor.raw_data.len() as u64) {
        Ok(())
    } else {
        let (name, dims, held) = (&tensor.name, &tensor.dims, tensor.raw_data.len());
        Err(Error::graph(format!("its tensor `{name}` says that it is {dims:?}, which its {held} bytes are not")))
    }
}

/// No attribute holds a tensor or another graph, as those of loops and branches do.
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
    if node.domain.is_empty() && node.attribute.iter().all(is_plain) {
        Ok(())
    } else {
        Err(Error::graph(format!("its node `{}` ({} {}) is not accepted", node.name, node.domain, node.op_type)))
    }
}

/// A table with a row for each id of each category must have exactly that many: otherwise ids of one category would
/// look up rows of the next.
fn check_table(
    node: &NodeProto,
    sizes: &Sizes<'_>,
    from_ids: &HashSet<&str>,
    looked_up: u64,
    ids: u64,
) -> Result<(), Error> {
    let [table, indices] = &node.input[..] else { return Ok(()) };
    if node.op_type != "Gather" || !from_ids.contains(indices.as_str()) || !sizes.is_weights(table) {
        return Ok(());
    }
    let of_all_categories = sizes.of(indices).is_some_and(|indices| indices.iter().product::<u64>() == looked_up);
    match sizes.of(table) {
        Some([rows, _]) if of_all_categories && *rows != ids => Err(Error::Vocabulary { rows: *rows, ids }),
        _ => Ok(()),
    }
}

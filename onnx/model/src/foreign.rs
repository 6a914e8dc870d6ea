//! ONNX files of other programs, which become regular model files: after that, nothing treats them differently.

mod normalize;
mod proto;
mod trees;

use domain::feature::FeatureSchema;
use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{self, Value};
use tract_onnx::pb::{GraphProto, ModelProto, StringStringEntryProto, TensorShapeProto, TypeProto, ValueInfoProto};

use crate::error::{Error, ForeignError};
use crate::file::decode_foreign;
use crate::graph::{CATEGORICAL_INPUT, NUMERIC_INPUT, OUTPUT, Widths, infer_shapes};
use crate::model::{check_prices, largest_ids};
use crate::runtime::Runtime;
use crate::signature::{Signature, check_schema};
use proto::{floats, integers, node};

/// The version of the operators from which on axes are inputs, as the checks expect.
const MIN_OPSET: i64 = 13;
/// The number of rows for which shapes are inferred.
const ROWS: usize = 256;

/// The metadata that a file of another program may have.
const SCHEMA: &str = "probeg.schema";
const QUANTILES: &str = "probeg.quantiles";

/// A file of another program whose inputs and output fit.
#[derive(Debug)]
pub struct ForeignFile {
    file: ModelProto,
    schema: FeatureSchema,
    /// The levels of the output; none if it is the price alone.
    levels: Option<Vec<f64>>,
}

impl ForeignFile {
    /// Whether a file is not one of Probeg: its metadata is at most the schema and the levels, so it has never been measured.
    ///
    /// # Errors
    /// The bytes are not an ONNX file.
    pub fn is_foreign(bytes: &[u8]) -> Result<bool, Error> {
        let file = decode_foreign(bytes)?;
        let mut keys = file.metadata_props.iter().map(|entry| entry.key.as_str());
        Ok(keys.all(|key| !key.starts_with("probeg.") || key == SCHEMA || key == QUANTILES))
    }

    /// Reads a file. Without a schema of its own it has that of the champion.
    ///
    /// # Errors
    /// [`ForeignError`], or the graph has unsupported operators.
    pub fn read(bytes: &[u8], champion: &FeatureSchema, runtime: &Runtime) -> Result<Self, Error> {
        let mut file = decode_foreign(bytes)?;
        let schema = match entry(&file, SCHEMA) {
            Some(json) => read_schema(json)?,
            None => champion.clone(),
        };
        let levels: Option<Vec<f64>> = match entry(&file, QUANTILES) {
            Some(json) => Some(serde_json::from_str(json).map_err(|error| metadata(QUANTILES, &error))?),
            None => None,
        };
        let version = file.opset_import.iter().find(|import| import.domain.is_empty() || import.domain == "ai.onnx");
        match version.map_or(0, |import| import.version) {
            version if version < MIN_OPSET => return Err(ForeignError::Opset { version }.into()),
            _ => file.metadata_props.clear(),
        }
        let widths = Widths {
            categorical: schema.categorical.len(),
            numeric: schema.numeric.len(),
            quantiles: levels.as_ref().map_or(1, Vec::len),
        };
        let (largest, is_native) = (largest_ids(&schema), runtime.is_native());
        let graph = file.graph.as_mut().ok_or_else(|| Error::graph("there is none"))?;
        normalize::normalize(graph);
        check_inputs(graph, widths)?;
        trees::replace_trees(graph, |graph| infer_shapes(graph, widths, &largest, ROWS, is_native))?;
        let shapes = infer_shapes(graph, widths, &largest, ROWS, is_native)?;
        check_output(graph, |name| shapes.of(name), levels.as_deref())?;
        if levels.is_none() {
            // The name of the quantiles is needed for what is computed from the price.
            rename_value(graph, OUTPUT, POINT);
        }
        // The built-in runtime needs unique names of nodes, which those of the values are.
        for node in &mut graph.node {
            node.name.clone_from(&node.output[0]);
        }
        Ok(Self { file, schema, levels })
    }

    /// The encoding of its inputs.
    #[must_use]
    pub fn schema(&self) -> &FeatureSchema {
        &self.schema
    }

    /// The levels of its output; `None` if that is the price alone.
    #[must_use]
    pub fn levels(&self) -> Option<&[f64]> {
        self.levels.as_deref()
    }

    /// The program that wrote it, as far as it says.
    #[must_use]
    pub fn producer(&self) -> String {
        let producer = format!("{} {}", self.file.producer_name, self.file.producer_version);
        match producer.trim() {
            "" => "unknown".to_owned(),
            producer => producer.to_owned(),
        }
    }

    /// The model file with this signature. If the file gives the price alone, its quantiles are the price times these ratios, one
    /// per level; otherwise they are not used.
    ///
    /// # Errors
    /// The signature cannot be serialized.
    pub fn model_file(&self, signature: &Signature, ratios: &[f32]) -> Result<Vec<u8>, Error> {
        let mut file = self.file.clone();
        let metadata = signature.to_metadata()?.into_iter();
        file.metadata_props =
            metadata.map(|(key, value)| StringStringEntryProto { key: key.to_owned(), value }).collect();
        if let Some(graph) = file.graph.as_mut().filter(|_| self.levels.is_none()) {
            add_spread(graph, ratios);
        }
        Ok(file.encode_to_vec())
    }

    /// Checks the prices for a listing of the validation split.
    ///
    /// # Errors
    /// [`ForeignError::Prices`].
    pub fn check_prices(prices: &[f32]) -> Result<(), Error> {
        if check_prices(prices).is_ok() && prices.iter().all(|price| *price > 0.0) {
            Ok(())
        } else {
            Err(ForeignError::Prices { prices: prices.to_vec() }.into())
        }
    }
}

/// The name of a price that is named like the quantiles.
const POINT: &str = "probeg/price";

fn entry<'f>(file: &'f ModelProto, key: &str) -> Option<&'f str> {
    file.metadata_props.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str())
}

fn metadata(key: &'static str, reason: &dyn std::fmt::Display) -> ForeignError {
    ForeignError::Metadata { key, reason: reason.to_string() }
}

fn read_schema(json: &str) -> Result<FeatureSchema, ForeignError> {
    let schema: FeatureSchema = serde_json::from_str(json).map_err(|error| metadata(SCHEMA, &error))?;
    if !schema.is_intact() {
        return Err(metadata(SCHEMA, &"its fingerprint does not match its content"));
    }
    check_schema(&schema).map_err(|reason| metadata(SCHEMA, &reason))?;
    Ok(schema)
}

/// Checks the inputs, and puts them in the order of a model file.
fn check_inputs(graph: &mut GraphProto, widths: Widths) -> Result<(), ForeignError> {
    graph.input.sort_by_key(|input| input.name != CATEGORICAL_INPUT);
    let expected =
        [(CATEGORICAL_INPUT, DataType::Int64, widths.categorical), (NUMERIC_INPUT, DataType::Float, widths.numeric)];
    let is_expected = |(input, (name, element, width)): (&ValueInfoProto, &(&str, DataType, usize))| {
        let dims = dimensions(input);
        input.name == *name
            && element_type(input) == Some(*element as i32)
            && matches!(dims[..], [_, Some(columns)] if usize::try_from(columns).is_ok_and(|columns| columns == *width))
    };
    if graph.input.len() != expected.len() || !graph.input.iter().zip(&expected).all(is_expected) {
        let (categorical, numeric) = (widths.categorical, widths.numeric);
        return Err(ForeignError::Inputs { found: describe(&graph.input), categorical, numeric });
    }
    for input in &graph.input {
        if let [Some(rows), _] = dimensions(input)[..] {
            return Err(ForeignError::FixedRows { input: input.name.clone(), rows });
        }
    }
    Ok(())
}

/// Checks the output by its name, its element type and its inferred shape for [`ROWS`] rows.
fn check_output<'s>(
    graph: &GraphProto,
    shape: impl Fn(&str) -> Option<&'s [u64]>,
    levels: Option<&[f64]>,
) -> Result<(), ForeignError> {
    let other = || ForeignError::Output { found: describe(&graph.output) };
    let [output] = &graph.output[..] else { return Err(other()) };
    let shape = shape(&output.name).ok_or_else(other)?;
    if element_type(output) != Some(DataType::Float as i32) {
        return Err(other());
    }
    match (levels, shape) {
        (None, [rows] | [rows, 1]) if *rows == ROWS as u64 => Ok(()),
        (Some(levels), [rows, width]) if *rows == ROWS as u64 && output.name == OUTPUT => {
            if *width == levels.len() as u64 {
                return Ok(());
            }
            Err(metadata(QUANTILES, &format!("it has {} levels, but `{OUTPUT}` has {width} columns", levels.len())))
        }
        _ => Err(other()),
    }
}

fn element_type(value: &ValueInfoProto) -> Option<i32> {
    let Value::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    Some(tensor.elem_type)
}

/// The dimensions of a value: a size, or none if any is possible.
fn dimensions(value: &ValueInfoProto) -> Vec<Option<i64>> {
    let kind = value.r#type.as_ref().and_then(|kind| kind.value.as_ref());
    let shape = kind.and_then(|Value::TensorType(tensor)| tensor.shape.as_ref());
    let dim = |dim: &Dimension| match dim.value {
        // Older exporters write 0 or -1 for a dimension of any size.
        Some(dimension::Value::DimValue(size)) if size > 0 => Some(size),
        _ => None,
    };
    shape.map(|shape| shape.dim.iter().map(dim).collect()).unwrap_or_default()
}

/// Values as a text such as "`x` float32 [N, 19]".
fn describe(values: &[ValueInfoProto]) -> String {
    let describe = |value: &ValueInfoProto| {
        let element = element_type(value).map(|element| match DataType::try_from(element) {
            Ok(DataType::Float) => "float32".to_owned(),
            Ok(element) => format!("{element:?}").to_lowercase(),
            Err(_) => "of an unknown type".to_owned(),
        });
        let dims = dimensions(value).into_iter().map(|dim| dim.map_or("N".to_owned(), |size| size.to_string()));
        format!("`{}` {} [{}]", value.name, element.unwrap_or_default(), dims.collect::<Vec<_>>().join(", "))
    };
    match &values.iter().map(describe).collect::<Vec<_>>()[..] {
        [] => "missing".to_owned(),
        described => described.join(" and "),
    }
}

fn rename_value(graph: &mut GraphProto, from: &str, to: &str) {
    let names = graph.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
    let names = names.chain(graph.output.iter_mut().map(|output| &mut output.name));
    names.filter(|name| *name == from).for_each(|name| to.clone_into(name));
}

/// Replaces the price by quantiles: the price times each ratio.
fn add_spread(graph: &mut GraphProto, ratios: &[f32]) {
    let Some(price) = graph.output.pop() else { return };
    graph.initializer.push(integers("probeg/column", &[2], &[-1, 1]));
    graph.initializer.push(floats("probeg/ratios", &[1, ratios.len()], ratios));
    graph.node.push(node("Reshape", &[&price.name, "probeg/column"], "probeg/prices"));
    graph.node.push(node("Mul", &["probeg/prices", "probeg/ratios"], OUTPUT));
    let dim = |value| Dimension { value: Some(value), ..Dimension::default() };
    let rows = dim(dimension::Value::DimParam("N".to_owned()));
    let width = dim(dimension::Value::DimValue(i64::try_from(ratios.len()).unwrap_or(i64::MAX)));
    let shape = Some(TensorShapeProto { dim: vec![rows, width] });
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape };
    let kind = TypeProto { value: Some(Value::TensorType(tensor)), ..TypeProto::default() };
    graph.output.push(ValueInfoProto { name: OUTPUT.to_owned(), r#type: Some(kind), ..ValueInfoProto::default() });
}

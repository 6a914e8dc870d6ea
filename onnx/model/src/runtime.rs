//! The ONNX runtime: pure Rust by default, native ONNX Runtime when asked for.

use std::path::Path;

use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use prost::Message;
use tract_onnx::pb::ModelProto;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::type_proto::Value;

use crate::{CATEGORICAL_INPUT, Error, NUMERIC_INPUT, OUTPUT};

/// A runtime that is ready to open sessions. A process has one: the first that is loaded.
#[derive(Clone, Debug)]
pub struct Runtime {
    environment: Environment,
    name: &'static str,
}

impl Runtime {
    /// Loads the native ONNX Runtime from a shared library (`ORT_DYLIB_PATH`), or without one the
    /// pure-Rust runtime that is part of the program.
    ///
    /// # Errors
    /// When the library cannot be loaded or is too old.
    pub fn load(library: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = library else {
            // False when a runtime is in place already, which is then the one that is used.
            ort::set_api(ort_tract::api());
            return Ok(Self { environment: ort::init().build()?, name: "ort-tract" });
        };
        let failed = |reason: String| Error::Runtime { path: path.display().to_string(), reason };
        let builder = ort::init_from(path).map_err(|error| failed(error.to_string()))?;
        let environment = builder.with_name("probeg").build().map_err(|error| failed(error.to_string()))?;
        Ok(Self { environment, name: "onnxruntime" })
    }

    /// `ort-tract` or `onnxruntime`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

/// One loaded graph, made for a fixed number of rows: with sizes that it knows, a runtime does without a third of the
/// work. Runs one batch at a time.
#[derive(Debug)]
pub struct Session {
    inner: ort::session::Session,
    widths: Widths,
    rows: usize,
    /// The inputs of a run, with rows of nothing behind the last one.
    ids: Vec<i64>,
    numbers: Vec<f32>,
}

/// What each row of a graph has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Widths {
    /// Ids: `C`.
    pub categorical: usize,
    /// Numbers: `F`.
    pub numeric: usize,
    /// Outputs: `Q`.
    pub quantiles: usize,
}

impl Session {
    /// Opens a graph of these widths for `rows` rows a run, and runs it once to see that it answers.
    ///
    /// # Errors
    /// When the runtime refuses the graph, or it has other inputs or outputs.
    pub fn open(runtime: &Runtime, graph: &mut Graph, widths: Widths, rows: usize) -> Result<Self, Error> {
        let session = ort::session::Session::builder(&runtime.environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(ort::Error::from)?
            // One thread a session: requests run beside each other in several sessions instead.
            .with_intra_threads(1)
            .map_err(ort::Error::from)?
            .commit_from_memory(&graph.with_rows(rows)?)?;
        let inputs: Vec<&str> = session.inputs().iter().map(ort::value::Outlet::name).collect();
        if inputs != [CATEGORICAL_INPUT, NUMERIC_INPUT] {
            return Err(Error::Graph(format!("its inputs are {inputs:?}")));
        }
        let mut session = Self { inner: session, widths, rows, ids: Vec::new(), numbers: Vec::new() };
        session.run(&vec![0; widths.categorical], &vec![f32::NAN; widths.numeric], &mut Vec::new())?;
        Ok(session)
    }

    /// The most rows of a run. One of fewer rows costs the same.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Runs a batch: ids `[N, C]` and numbers `[N, F]`, row by row; appends the answer, `[N, Q]`, row by row, in
    /// currency units.
    ///
    /// # Errors
    /// When the lengths do not fit each other or the runtime fails.
    pub fn run(&mut self, ids: &[i64], numbers: &[f32], quantiles: &mut Vec<f32>) -> Result<(), Error> {
        let Widths { categorical, numeric, quantiles: width } = self.widths;
        let count = ids.len() / categorical;
        if count > self.rows || ids.len() != count * categorical || numbers.len() != count * numeric {
            let given = format!("{} ids and {} numbers do not make up to {} rows", ids.len(), numbers.len(), self.rows);
            return Err(Error::Graph(given));
        }
        self.ids.clear();
        self.ids.extend_from_slice(ids);
        self.ids.resize(self.rows * categorical, 0);
        self.numbers.clear();
        self.numbers.extend_from_slice(numbers);
        self.numbers.resize(self.rows * numeric, f32::NAN);
        let categorical = TensorRef::from_array_view(([self.rows, categorical], self.ids.as_slice()))?;
        let numeric = TensorRef::from_array_view(([self.rows, numeric], self.numbers.as_slice()))?;
        let inputs = ort::inputs! { CATEGORICAL_INPUT => categorical, NUMERIC_INPUT => numeric };
        let outputs = self.inner.run(inputs)?;
        let output = outputs.get(OUTPUT).ok_or_else(|| Error::Graph(format!("it has no output `{OUTPUT}`")))?;
        let (_, prices) = output.try_extract_tensor::<f32>()?;
        if prices.len() != self.rows * width {
            return Err(Error::Graph(format!("it answered {} numbers for {} rows", prices.len(), self.rows)));
        }
        quantiles.extend_from_slice(&prices[..count * width]);
        Ok(())
    }
}

/// What a runtime needs of a model file.
#[derive(Debug)]
pub struct Graph {
    file: ModelProto,
}

impl Graph {
    /// The graph of a model file.
    ///
    /// # Errors
    /// The bytes are no ONNX file.
    pub fn of_file(file: &[u8]) -> Result<Self, Error> {
        let mut file = ModelProto::decode(file)?;
        file.metadata_props.clear();
        Ok(Self { file })
    }

    /// An ONNX file of it in which the first dimension of inputs and output is fixed.
    fn with_rows(&mut self, rows: usize) -> Result<Vec<u8>, Error> {
        let rows = i64::try_from(rows).map_err(|_| Error::Graph(format!("{rows} rows are too many")))?;
        let graph = self.file.graph.as_mut().ok_or_else(|| Error::Graph("the file holds none".to_owned()))?;
        for value in graph.input.iter_mut().chain(&mut graph.output) {
            let Some(Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut()) else {
                continue;
            };
            if let Some(first) = tensor.shape.as_mut().and_then(|shape| shape.dim.first_mut()) {
                first.value = Some(dimension::Value::DimValue(rows));
            }
        }
        Ok(self.file.encode_to_vec())
    }
}

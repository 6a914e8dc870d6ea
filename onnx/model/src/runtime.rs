//! The ONNX runtime: pure Rust by default, native ONNX Runtime when asked for.
//!
//! The pure-Rust one is tract, without ort in between: ort reaches it through C functions, and a panic that comes to
//! one of those ends the process.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use ort::environment::Environment;
use ort::session::Session as NativeSession;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use prost::Message;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{
    InferenceModelExt, IntoRunnable, IntoTensor, Tensor, TractError, TractResult, TypedRunnableModel, tvec,
};

use crate::graph::{Graph, Widths};
use crate::{CATEGORICAL_INPUT, Error, NUMERIC_INPUT, OUTPUT};

/// A runtime that is ready to open sessions. A process has one: the first that is loaded.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// `None` for the built-in runtime.
    native: Option<Environment>,
}

impl Runtime {
    /// Loads the native ONNX Runtime from a shared library (`ORT_DYLIB_PATH`), or without one the
    /// pure-Rust runtime that is part of the program.
    ///
    /// # Errors
    /// When the library cannot be loaded or is too old.
    pub fn load(library: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = library else { return Ok(Self { native: None }) };
        let failed = |reason: String| Error::Runtime { path: path.display().to_string(), reason };
        let builder = ort::init_from(path).map_err(|error| failed(error.to_string()))?;
        let environment = builder.with_name("probeg").build().map_err(|error| failed(error.to_string()))?;
        Ok(Self { native: Some(environment) })
    }

    /// `tract` or `onnxruntime`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        if self.native.is_some() { "onnxruntime" } else { "tract" }
    }
}

/// One loaded graph, made for a fixed number of rows. Runs one batch at a time.
#[derive(Debug)]
pub(crate) struct Session {
    program: Program,
    widths: Widths,
    rows: usize,
    /// The inputs of a run, with rows of nothing behind the last one.
    ids: Vec<i64>,
    numbers: Vec<f32>,
}

/// A graph as its runtime executes it.
#[derive(Debug)]
enum Program {
    /// Never changes: each run has a state of its own, which a panic leaves behind.
    Tract(Arc<TypedRunnableModel>),
    Native(NativeSession),
}

impl Session {
    /// Opens a graph for `rows` rows a run, and runs it once to see that it answers.
    ///
    /// # Errors
    /// When the runtime refuses the graph.
    pub(crate) fn open(runtime: &Runtime, graph: &mut Graph, widths: Widths, rows: usize) -> Result<Self, Error> {
        let file = graph.with_rows(rows);
        let program = guarded(|| match &runtime.native {
            None => open_tract(file).map(Program::Tract).map_err(failed),
            Some(environment) => open_native(environment, file).map(Program::Native),
        })?;
        let mut session = Self { program, widths, rows, ids: Vec::new(), numbers: Vec::new() };
        session.run(&vec![0; widths.categorical], &vec![f32::NAN; widths.numeric], &mut Vec::new())?;
        Ok(session)
    }

    /// The most rows of a run. One of fewer rows costs the same.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Runs a batch: ids `[N, C]` and numbers `[N, F]`, row by row; appends the answer, `[N, Q]`, row by row, in
    /// currency units. A session is as good as new after every run, however it ended.
    ///
    /// # Errors
    /// When the lengths do not fit each other, or the runtime fails or panics.
    pub(crate) fn run(&mut self, ids: &[i64], numbers: &[f32], quantiles: &mut Vec<f32>) -> Result<(), Error> {
        let Widths { categorical, numeric, quantiles: width, .. } = self.widths;
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
        let ids = ([self.rows, categorical], self.ids.as_slice());
        let numbers = ([self.rows, numeric], self.numbers.as_slice());
        let expected = [self.rows, width];
        let mut take = |shape: &[usize], prices: &[f32]| {
            if shape != expected {
                return Err(Error::Graph(format!("it answered {shape:?} where {expected:?} was expected")));
            }
            quantiles.extend_from_slice(&prices[..count * width]);
            Ok(())
        };
        guarded(|| match &mut self.program {
            Program::Tract(graph) => {
                let prices = run_tract(graph, ids, numbers).map_err(failed)?;
                let values = prices.try_as_plain_ram().and_then(|values| values.as_slice::<f32>()).map_err(failed)?;
                take(prices.shape(), values)
            }
            Program::Native(session) => {
                let (ids, numbers) = (TensorRef::from_array_view(ids)?, TensorRef::from_array_view(numbers)?);
                let outputs = session.run(ort::inputs! { CATEGORICAL_INPUT => ids, NUMERIC_INPUT => numbers })?;
                let output = outputs.get(OUTPUT).ok_or_else(|| failed(format!("there is no output `{OUTPUT}`")))?;
                let (shape, prices) = output.try_extract_tensor::<f32>()?;
                let shape: Vec<usize> = shape.iter().filter_map(|dim| usize::try_from(*dim).ok()).collect();
                take(&shape, prices)
            }
        })
    }
}

fn open_tract(file: &ModelProto) -> TractResult<Arc<TypedRunnableModel>> {
    tract_onnx::onnx().parse(file, None)?.model.into_optimized()?.into_runnable()
}

fn open_native(environment: &Environment, file: &ModelProto) -> Result<NativeSession, Error> {
    let session = NativeSession::builder(environment)?
        .with_optimization_level(GraphOptimizationLevel::Level3)
        .map_err(failed)?
        // One thread a session: requests run beside each other in several sessions instead.
        .with_intra_threads(1)
        .map_err(failed)?
        .commit_from_memory(&file.encode_to_vec())?;
    Ok(session)
}

/// The graph's only output.
fn run_tract(
    graph: &Arc<TypedRunnableModel>,
    (ids_shape, ids): ([usize; 2], &[i64]),
    (numbers_shape, numbers): ([usize; 2], &[f32]),
) -> TractResult<Tensor> {
    let inputs =
        tvec![Tensor::from_shape(&ids_shape, ids)?.into(), Tensor::from_shape(&numbers_shape, numbers)?.into()];
    let output = graph.run(inputs)?.pop().ok_or_else(|| TractError::msg("it has no output"))?;
    Ok(output.into_tensor())
}

/// Work of the runtime, whose panics are failures like others.
fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(Error::Panicked(told(&*panic))))
}

/// What a panic says.
fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word").to_owned()
}

fn failed(reason: impl std::fmt::Display) -> Error {
    Error::Inference(format!("{reason:#}"))
}

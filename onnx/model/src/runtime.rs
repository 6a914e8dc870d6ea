//! The ONNX runtime behind ort: pure Rust by default, or the native ONNX Runtime.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;

use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::{Datum, InferenceModelExt, IntoRunnable, TValue, TVec, Tensor, TractResult, tvec};

use crate::error::Error;
use crate::graph::{CATEGORICAL_INPUT, Graph, NUMERIC_INPUT, OUTPUT, Widths};

/// A loaded runtime. A process has only one: the first that is loaded.
#[derive(Clone, Debug)]
pub struct Runtime {
    environment: Environment,
    is_native: bool,
}

impl Runtime {
    /// Loads the native ONNX Runtime from a shared library (`ORT_DYLIB_PATH`), or else the built-in pure-Rust runtime.
    ///
    /// # Errors
    /// The library cannot be loaded or is too old.
    pub fn load(library: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = library else {
            // Returns false if a runtime has already been loaded, which is then used.
            ort::set_api(ort_tract::api());
            return Ok(Self { environment: ort::init().build()?, is_native: false });
        };
        let failed = |reason: String| Error::Runtime { path: path.display().to_string(), reason };
        let builder = ort::init_from(path).map_err(|error| failed(error.to_string()))?;
        let environment = builder.with_name("probeg").build().map_err(|error| failed(error.to_string()))?;
        Ok(Self { environment, is_native: true })
    }

    /// `ort-tract` or `onnxruntime`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        if self.is_native { "onnxruntime" } else { "ort-tract" }
    }

    /// Whether it is the native ONNX Runtime.
    pub(crate) fn is_native(&self) -> bool {
        self.is_native
    }

    /// Opens and runs a graph once in the built-in runtime without ort, which calls it through C functions, where a panic aborts
    /// the process. This detects failures that only depend on the graph; those that depend on the inputs are excluded by
    /// [`Graph::new`].
    ///
    /// # Errors
    /// The runtime rejects the graph or panics.
    pub(crate) fn dry_run(&self, graph: &mut Graph, widths: Widths, rows: usize) -> Result<(), Error> {
        if self.is_native {
            return Ok(());
        }
        let file = graph.with_rows(rows);
        let result = catch_unwind(AssertUnwindSafe(|| run_once(file, widths, rows)));
        let outputs = result.map_err(|panic| Error::Panicked(panic_message(&*panic)))?;
        let outputs = outputs.map_err(|error| Error::Inference(format!("{error:#}")))?;
        let expected = (f32::datum_type(), &[rows, widths.quantiles][..]);
        match &outputs[..] {
            [output] if (output.datum_type(), output.shape()) == expected => Ok(()),
            outputs => Err(Error::graph(format!("it returned {outputs:?} instead of {expected:?}"))),
        }
    }
}

fn run_once(file: &ModelProto, widths: Widths, rows: usize) -> TractResult<TVec<TValue>> {
    let graph = tract_onnx::onnx().parse(file, None)?.model.into_optimized()?.into_runnable()?;
    let ids = vec![0_i64; rows * widths.categorical];
    let numbers = vec![f32::NAN; rows * widths.numeric];
    let ids = Tensor::from_shape(&[rows, widths.categorical], &ids)?;
    let numbers = Tensor::from_shape(&[rows, widths.numeric], &numbers)?;
    graph.run(tvec![ids.into(), numbers.into()])
}

/// The message of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message").to_owned()
}

/// A loaded graph with a fixed batch size. Runs one batch at a time.
#[derive(Debug)]
pub(crate) struct Session {
    inner: ort::session::Session,
    widths: Widths,
    rows: usize,
    /// The inputs, padded to the batch size.
    ids: Vec<i64>,
    numbers: Vec<f32>,
}

impl Session {
    /// Opens the file of a graph with a batch size of `rows`, and runs it once as a check.
    ///
    /// # Errors
    /// The runtime rejects the graph.
    pub(crate) fn open(runtime: &Runtime, file: &[u8], widths: Widths, rows: usize) -> Result<Self, Error> {
        let session = ort::session::Session::builder(&runtime.environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(ort::Error::from)?
            // Requests run in parallel in several sessions instead.
            .with_intra_threads(1)
            .map_err(ort::Error::from)?
            .commit_from_memory(file)?;
        let mut session = Self { inner: session, widths, rows, ids: Vec::new(), numbers: Vec::new() };
        session.run_batch(&vec![0; widths.categorical], &vec![f32::NAN; widths.numeric], &mut Vec::new())?;
        Ok(session)
    }

    /// Runs a batch of ids `[N, C]` and numbers `[N, F]`, and appends the price quantiles `[N, Q]`, all in row-major order.
    ///
    /// # Errors
    /// The lengths do not match, or the runtime fails.
    pub(crate) fn run_batch(&mut self, ids: &[i64], numbers: &[f32], quantiles: &mut Vec<f32>) -> Result<(), Error> {
        let Widths { categorical, numeric, quantiles: width } = self.widths;
        let count = ids.len() / categorical;
        if count > self.rows || ids.len() != count * categorical || numbers.len() != count * numeric {
            let reason = format!("{} ids and {} numbers are not at most {} rows", ids.len(), numbers.len(), self.rows);
            return Err(Error::graph(reason));
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
        let output = outputs.get(OUTPUT).ok_or_else(|| Error::graph(format!("it has no output `{OUTPUT}`")))?;
        let (shape, prices) = output.try_extract_tensor::<f32>()?;
        let expected = [self.rows, width].map(|dim| i64::try_from(dim).unwrap_or(i64::MAX));
        if **shape != expected {
            return Err(Error::graph(format!("it returned the shape {shape:?} instead of {expected:?}")));
        }
        quantiles.extend_from_slice(&prices[..count * width]);
        Ok(())
    }
}

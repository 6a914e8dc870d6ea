//! The ONNX runtime: pure Rust by default, native ONNX Runtime when asked for.

use std::path::Path;

use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;

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

/// One loaded graph. Runs one batch at a time.
#[derive(Debug)]
pub struct Session {
    inner: ort::session::Session,
    categorical: usize,
    numeric: usize,
    quantiles: usize,
}

impl Session {
    /// Opens a graph with `categorical` ids, `numeric` numbers and `quantiles` outputs a row, and
    /// runs it once to see that it answers.
    ///
    /// # Errors
    /// When the runtime refuses the file, or its graph has other inputs or outputs.
    pub fn open(
        runtime: &Runtime,
        file: &[u8],
        categorical: usize,
        numeric: usize,
        quantiles: usize,
    ) -> Result<Self, Error> {
        let session = ort::session::Session::builder(&runtime.environment)?
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .map_err(ort::Error::from)?
            // One thread a session: requests run beside each other in several sessions instead.
            .with_intra_threads(1)
            .map_err(ort::Error::from)?
            .commit_from_memory(file)?;
        let inputs: Vec<&str> = session.inputs().iter().map(ort::value::Outlet::name).collect();
        if inputs != [CATEGORICAL_INPUT, NUMERIC_INPUT] {
            return Err(Error::Graph(format!("its inputs are {inputs:?}")));
        }
        let mut session = Self { inner: session, categorical, numeric, quantiles };
        session.run(&vec![0; categorical], &vec![f32::NAN; numeric])?;
        Ok(session)
    }

    /// Runs a batch: ids `[N, C]` and numbers `[N, F]`, row by row; the answer is `[N, Q]`, row by
    /// row, in currency units.
    ///
    /// # Errors
    /// When the lengths do not fit each other or the runtime fails.
    pub fn run(&mut self, ids: &[i64], numbers: &[f32]) -> Result<Vec<f32>, Error> {
        let rows = ids.len() / self.categorical;
        let categorical = TensorRef::from_array_view(([rows, self.categorical], ids))?;
        let numeric = TensorRef::from_array_view(([rows, self.numeric], numbers))?;
        let inputs = ort::inputs! { CATEGORICAL_INPUT => categorical, NUMERIC_INPUT => numeric };
        let outputs = self.inner.run(inputs)?;
        let output = outputs.get(OUTPUT).ok_or_else(|| Error::Graph(format!("it has no output `{OUTPUT}`")))?;
        let (_, prices) = output.try_extract_tensor::<f32>()?;
        if prices.len() == rows * self.quantiles {
            Ok(prices.to_vec())
        } else {
            Err(Error::Graph(format!("it answered {} numbers for {rows} rows", prices.len())))
        }
    }
}

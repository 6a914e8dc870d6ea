//! Runs files with tract and ort and compares the results with burn.

use std::sync::OnceLock;

use burn::prelude::*;
use onnx_export::{ExportError, Graph, Input, Traced, export};
use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::TensorRef;
use tract_onnx::prelude::{Framework, InferenceModelExt, IntoRunnable, IntoTValue, tract_ndarray, tvec};

pub const IDS: usize = 3;
pub const NUMBERS: usize = 4;
/// One row, a few, and more than a block of a matrix multiplication.
const SIZES: [usize; 4] = [1, 2, 64, 257];

/// A graph with the inputs `ids` and `numbers` and the output `result`.
pub const GRAPH: Graph<'_> = Graph {
    name: "test",
    producer: ("onnx-export", "test"),
    inputs: &[Input::Int64 { name: "ids", columns: IDS }, Input::Float32 { name: "numbers", columns: NUMBERS }],
    output: "result",
    metadata: &[],
};

/// A forward function of the inputs of [`GRAPH`].
pub type Forward<'a> = &'a dyn Fn(Tensor<2, Int>, Tensor<2>) -> Tensor<2>;

pub fn export_forward(forward: Forward<'_>) -> Result<Vec<u8>, ExportError> {
    export(&GRAPH, |_, inputs| {
        let [Traced::Int(ids), Traced::Float(numbers)] = inputs else { unreachable!("the inputs of GRAPH") };
        forward(ids.clone(), numbers.clone())
    })
}

/// Exports `forward` and compares both runtimes with burn on batches of every size.
pub fn assert_same(name: &str, forward: Forward<'_>) {
    let file = export_forward(forward).unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_file_same(name, &file, &|batch| batch.run_burn(forward));
}

/// The same for an exported file.
pub fn assert_file_same(name: &str, file: &[u8], burn: &dyn Fn(&Batch) -> Vec<f32>) {
    for rows in SIZES {
        let batch = Batch::of(rows);
        let expected = burn(&batch);
        assert_close(&format!("{name}, tract, {rows} rows"), &batch.run_tract(file), &expected);
        assert_close(&format!("{name}, ort, {rows} rows"), &batch.run_ort(file), &expected);
    }
}

/// Deterministic inputs: ids from 0 to 4, numbers from -8 to 8, every seventh NaN.
pub struct Batch {
    rows: usize,
    ids: Vec<i64>,
    numbers: Vec<f32>,
}

impl Batch {
    pub fn of(rows: usize) -> Self {
        let ids = (0..rows * IDS).map(|index| (index * 7 + index / IDS) as i64 % 5).collect();
        let number = |index: usize| {
            if index % 7 == 3 { f32::NAN } else { ((index * 37) % 160) as f32 / 10.0 - 8.0 }
        };
        Self { rows, ids, numbers: (0..rows * NUMBERS).map(number).collect() }
    }

    pub fn tensors(&self) -> (Tensor<2, Int>, Tensor<2>) {
        let device = Device::flex();
        let ids: Vec<i32> = self.ids.iter().map(|id| *id as i32).collect();
        (
            Tensor::from_data(TensorData::new(ids, [self.rows, IDS]), &device),
            Tensor::from_data(TensorData::new(self.numbers.clone(), [self.rows, NUMBERS]), &device),
        )
    }

    fn run_burn(&self, forward: Forward<'_>) -> Vec<f32> {
        let (ids, numbers) = self.tensors();
        forward(ids, numbers).into_data().try_to_vec().unwrap()
    }

    fn run_tract(&self, mut file: &[u8]) -> Vec<f32> {
        let model = tract_onnx::onnx().model_for_read(&mut file).unwrap();
        let runnable = model.into_optimized().unwrap().into_runnable().unwrap();
        let ids = tract_ndarray::Array2::from_shape_vec((self.rows, IDS), self.ids.clone()).unwrap();
        let numbers = tract_ndarray::Array2::from_shape_vec((self.rows, NUMBERS), self.numbers.clone()).unwrap();
        let result = runnable.run(tvec!(ids.into_tvalue(), numbers.into_tvalue())).unwrap();
        result[0].to_plain_array_view::<f32>().unwrap().iter().copied().collect()
    }

    fn run_ort(&self, file: &[u8]) -> Vec<f32> {
        let mut session = Session::builder(environment())
            .unwrap()
            .with_optimization_level(GraphOptimizationLevel::Level3)
            .unwrap()
            .commit_from_memory(file)
            .unwrap();
        let ids = TensorRef::from_array_view(([self.rows, IDS], &self.ids[..])).unwrap();
        let numbers = TensorRef::from_array_view(([self.rows, NUMBERS], &self.numbers[..])).unwrap();
        let outputs = session.run(ort::inputs! { "ids" => ids, "numbers" => numbers }).unwrap();
        outputs["result"].try_extract_tensor::<f32>().unwrap().1.to_vec()
    }
}

/// ort with the pure-Rust runtime.
fn environment() -> &'static Environment {
    static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        ort::set_api(ort_tract::api());
        ort::init().build().unwrap()
    })
}

/// Compares with a relative tolerance of 1e-5; NaN equals NaN.
fn assert_close(name: &str, actual: &[f32], expected: &[f32]) {
    assert_eq!(actual.len(), expected.len(), "{name}");
    for (index, (a, e)) in actual.iter().zip(expected).enumerate() {
        let same = a.to_bits() == e.to_bits() || (a.is_nan() && e.is_nan());
        let close = same || (a - e).abs() <= 1e-5 * e.abs().max(0.1);
        assert!(close, "{name}: {a} instead of {e} at {index}");
    }
}

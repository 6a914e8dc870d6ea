//! Exports the network to a model file, and checks that both compute the same.

use burn::prelude::*;
use domain::feature::{CATEGORICAL, NUMERIC};
use onnx_export::{Graph, Input, Traced};
use onnx_model::model::largest_difference;
use onnx_model::signature::Golden;
use onnx_model::{CATEGORICAL_INPUT, Model, NUMERIC_INPUT, OUTPUT, Signature};
use storage::TabularBatch;

use crate::Error;
use crate::model::TabularRegressor;

/// The maximum accepted relative difference between the network and the exported file.
pub const TOLERANCE: f64 = 1e-4;

/// Exports the regressor by tracing its `forward`, with the signature as metadata.
///
/// # Errors
/// An operation of the network has no ONNX equivalent.
pub fn model_file(regressor: &TabularRegressor, signature: &Signature) -> Result<Vec<u8>, Error> {
    let metadata = signature.to_metadata()?;
    let graph = Graph {
        name: "probeg",
        producer: ("probeg", env!("CARGO_PKG_VERSION")),
        inputs: &[
            Input::Int64 { name: CATEGORICAL_INPUT, columns: CATEGORICAL.len() },
            Input::Float32 { name: NUMERIC_INPUT, columns: NUMERIC.len() },
        ],
        output: OUTPUT,
        metadata: &metadata,
    };
    let file = onnx_export::export(&graph, |device, inputs| {
        let [Traced::Int(categorical), Traced::Float(numeric)] = inputs else {
            unreachable!("the graph above has these two inputs");
        };
        regressor.clone().to_device(device).forward(categorical, numeric)
    })?;
    Ok(file)
}

/// Compares the predictions of the network and the exported model on rows, also with every category unknown and with every
/// number missing. Returns the largest relative difference.
///
/// # Errors
/// The difference exceeds [`TOLERANCE`].
pub fn check_agreement(regressor: &TabularRegressor, model: &Model, rows: &TabularBatch) -> Result<f64, Error> {
    let ids: Vec<i64> = rows.ids.iter().map(|id| i64::from(*id)).collect();
    let unknown = vec![0; ids.len()];
    let missing = vec![f32::NAN; rows.numbers.len()];
    let mut largest: f64 = 0.0;
    for (ids, numbers) in [(&ids, &rows.numbers), (&unknown, &rows.numbers), (&ids, &missing)] {
        let from_file = model.run_graph(ids, numbers)?;
        let from_network = predict(regressor, ids, numbers);
        largest = largest.max(largest_difference(&from_file, &from_network));
    }
    if largest <= TOLERANCE {
        Ok(largest)
    } else {
        Err(Error::Disagreement { difference: largest, tolerance: TOLERANCE })
    }
}

/// Golden rows with the network's predictions, which a server verifies before serving the file. One row has only unknown
/// categories, and one only missing numbers.
#[must_use]
pub fn golden(regressor: &TabularRegressor, rows: &TabularBatch) -> Golden {
    let rows = rows.pick(&(0..rows.len().min(GOLDEN_ROWS)).filter_map(|row| row.try_into().ok()).collect::<Vec<u32>>());
    let mut categorical: Vec<i64> = rows.ids.iter().map(|id| i64::from(*id)).collect();
    let mut numbers = rows.numbers;
    if rows.log_prices.len() == GOLDEN_ROWS {
        categorical[..CATEGORICAL.len()].fill(0);
        numbers[NUMERIC.len()..2 * NUMERIC.len()].fill(f32::NAN);
    }
    let price_quantiles = predict(regressor, &categorical, &numbers);
    let numeric = numbers.into_iter().map(|number| (!number.is_nan()).then_some(number)).collect();
    Golden { categorical, numeric, price_quantiles }
}

/// The number of golden rows in a file.
pub(crate) const GOLDEN_ROWS: usize = 32;

fn predict(regressor: &TabularRegressor, ids: &[i64], numbers: &[f32]) -> Vec<f32> {
    let device = Device::flex();
    let n = ids.len() / CATEGORICAL.len();
    let ids = Tensor::from_data(TensorData::new(ids.to_vec(), [n, CATEGORICAL.len()]), &device);
    let numbers = Tensor::from_data(TensorData::new(numbers.to_vec(), [n, NUMERIC.len()]), &device);
    regressor.forward(&ids, &numbers).into_data().iter::<f32>().collect()
}

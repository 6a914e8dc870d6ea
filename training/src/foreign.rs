//! Models that another program trained: measured on the same splits as our own, calibrated, and registered like them.

use std::sync::atomic::AtomicBool;

use chrono::{NaiveDate, SecondsFormat, Utc};
use domain::accuracy::{Accuracy, AccuracyCard};
use domain::calibration::Calibration;
use domain::feature::FeatureSchema;
use domain::identity::Split;
use domain::quantile;
use onnx_model::signature::{Golden, RunSummary};
use onnx_model::{Encoder, ForeignError, ForeignFile, Model, Runtime, Sessions, Signature};
use storage::TabularBatch;

use crate::Error;
use crate::checkpoint::PreparedData;
use crate::config::{Family, TrainConfig};
use crate::evaluate::{CalibrationSample, MAX_ROWS, Measurement, accuracy_on_test, calibrated_model};
use crate::export::GOLDEN_ROWS;
use crate::linear::{self, LinearFit};
use crate::statistics;
use crate::stream::ListingStream;
use crate::train::count_rows;

/// The maximum ratio of actual to predicted prices, or the reverse, that the median may have. Beyond it, the model gives
/// something other than prices, such as their logarithms.
const MAX_RATIO: f64 = 2.0;

/// Turns an ONNX file of another program into a model file: its prices become quantiles by the errors on the validation split,
/// on which the intervals are calibrated too, and its accuracy is measured on the test split. Returns the file with its
/// signature. The champion gives the schema, the levels and the distribution of the training data, as far as the file has none.
/// Blocks: call it outside the async runtime.
///
/// # Errors
/// The file does not fit or gives no prices, there are too few listings, or the database is unavailable.
pub fn measure(
    file: &[u8],
    champion: &Signature,
    runtime: &Runtime,
    stream: &mut ListingStream<'_>,
    today: NaiveDate,
    stop: &AtomicBool,
) -> Result<(Vec<u8>, Signature), Error> {
    let file = ForeignFile::read(file, &champion.schema, runtime)?;
    let mut signature = signature(&file, champion);
    signature.run.rows = count_rows(stream)?;
    let levels = signature.quantiles.clone();

    let open = |signature: &Signature, ratios: &[f32]| {
        let file = file.model_file(signature, ratios)?;
        Ok::<_, Error>((Model::open(runtime, &file, Sessions::bulk(1))?, file))
    };
    let (model, _) = open(&signature, &vec![1.0; levels.len()])?;
    let errors = log_errors(&model, stream)?;
    let median = f64::from(ratio(&errors, 0.5));
    if !(1.0 / MAX_RATIO..=MAX_RATIO).contains(&median) {
        return Err(onnx_model::Error::from(ForeignError::Scale { ratio: median }).into());
    }
    let ratios: Vec<f32> = levels.iter().map(|level| ratio(&errors, *level)).collect();

    let (model, _) = open(&signature, &ratios)?;
    let mut sample = CalibrationSample::new(&model, today);
    stream.scan(Split::Validation, |chunk| sample.add_chunk(chunk))?;
    signature.calibration = Calibration::fit(&levels, &sample.into_rows());
    let model = model.calibrated(signature.calibration.clone());

    let mut measurement = Measurement::new(&model, today);
    stream.scan(Split::Test, |chunk| measurement.add_chunk(chunk))?;
    let floor = floor(&signature, (runtime, today), stream, stop)?;
    signature.accuracy = measurement.card()?.map(|card| AccuracyCard { floor: Some(floor), ..card });
    signature.golden = Some(golden(&model, stream)?);
    let (model, file) = open(&signature, &ratios)?;
    // A server would reject a file that fails this check.
    model.verify()?;
    Ok((file, signature))
}

/// The signature before calibration and evaluation.
fn signature(file: &ForeignFile, champion: &Signature) -> Signature {
    let quantiles = file.levels().map_or_else(|| champion.quantiles.clone(), <[f64]>::to_vec);
    let is_same = |schema: &FeatureSchema| schema.fingerprint == champion.schema.fingerprint;
    Signature {
        task: champion.task.clone(),
        schema: file.schema().clone(),
        calibration: Calibration::fit(&quantiles, &[]),
        quantiles,
        accuracy: None,
        run: RunSummary {
            producer: Some(file.producer()),
            trained_at: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
            ..RunSummary::default()
        },
        // The ids of another schema have other meanings.
        reference: champion.reference.clone().filter(|_| is_same(file.schema())),
        golden: None,
    }
}

/// The accuracy of the linear model on the same test split.
fn floor(
    measured: &Signature,
    (runtime, today): (&Runtime, NaiveDate),
    stream: &mut ListingStream<'_>,
    stop: &AtomicBool,
) -> Result<Accuracy, Error> {
    let rows = measured.run.rows.train;
    let config =
        TrainConfig { family: Family::Linear, quantiles: measured.quantiles.clone(), ..TrainConfig::default() };
    let PreparedData { schema, statistics, .. } = statistics::fit(stream, &config, &measured.task, None)?;
    let encoder = Encoder::new(&schema)?;
    let data = linear::Data { statistics: &statistics, encoder: &encoder, rows };
    let LinearFit { regressor, .. } = linear::fit(&config, data, stream, stop)?;
    let signature = Signature {
        schema,
        calibration: Calibration::fit(&config.quantiles, &[]),
        reference: None,
        ..measured.clone()
    };
    let model = calibrated_model(&regressor, &signature, (runtime, today), stream)?;
    accuracy_on_test(&model, today, stream)
}

/// The sorted logarithms of the actual relative to the predicted prices on the validation split.
fn log_errors(model: &Model, stream: &mut ListingStream<'_>) -> Result<Vec<f64>, Error> {
    let width = model.signature().quantiles.len();
    let mut errors: Vec<f64> = Vec::new();
    let mut failure = None;
    stream.for_each_batch(Split::Validation, model.encoder(), |batch| {
        match run(model, &batch) {
            Ok(quantiles) => {
                let medians = quantiles.chunks(width).map(|row| f64::from(row[width / 2].ln()));
                errors.extend(medians.zip(&batch.log_prices).map(|(median, price)| f64::from(*price) - median));
            }
            Err(error) => failure = Some(error),
        }
        failure.is_none() && errors.len() < MAX_ROWS
    })?;
    errors.sort_unstable_by(f64::total_cmp);
    failure.map_or(Ok(errors), Err)
}

/// The checked quantiles of a batch.
fn run(model: &Model, batch: &TabularBatch) -> Result<Vec<f32>, Error> {
    let ids: Vec<i64> = batch.ids.iter().map(|id| i64::from(*id)).collect();
    let quantiles = model.run_graph(&ids, &batch.numbers)?;
    quantiles.chunks(model.signature().quantiles.len()).try_for_each(ForeignFile::check_prices)?;
    Ok(quantiles)
}

/// The price at a level relative to the price of the model.
#[expect(clippy::cast_possible_truncation, reason = "the graph computes in single precision")]
fn ratio(sorted_errors: &[f64], level: f64) -> f32 {
    quantile::interpolated(sorted_errors, level).unwrap_or_default().exp() as f32
}

/// Golden rows of the test split with the prices of the model, whose calculation a server repeats.
fn golden(model: &Model, stream: &mut ListingStream<'_>) -> Result<Golden, Error> {
    let mut rows = TabularBatch::default();
    stream.for_each_batch(Split::Test, model.encoder(), |batch| {
        rows.extend(&batch, 0..batch.len().min(GOLDEN_ROWS - rows.len()));
        rows.len() < GOLDEN_ROWS
    })?;
    let price_quantiles = run(model, &rows)?;
    let categorical = rows.ids.iter().map(|id| i64::from(*id)).collect();
    let numeric = rows.numbers.iter().map(|number| (!number.is_nan()).then_some(*number)).collect();
    Ok(Golden { categorical, numeric, price_quantiles })
}

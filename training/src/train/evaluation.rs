//! Evaluates the network of a run and exports it to the model file.

use chrono::{SecondsFormat, Utc};
use domain::accuracy::{Accuracy, AccuracyCard, Forecast, Newest};
use domain::identity::Split;
use onnx_model::{Encoder, Model, Sessions, Signature};
use storage::{TabularBatch, retry_while_unavailable};

use super::context::{Progress, RunContext};
use super::run::TrainingRun;
use crate::Error;
use crate::evaluate::{Measurement, accuracy_on_test, calibrated_model};
use crate::export::{check_agreement, golden, model_file};
use crate::model::TabularRegressor;
use crate::residuals::residuals_on_test;
use crate::stream::ListingStream;

/// The number of test rows on which the exported file is compared with the network.
const AGREEMENT_ROWS: usize = 1024;

impl TrainingRun<'_> {
    /// Exports the network, evaluates the exported file on the test split, also in comparison with the network of another seed if
    /// there is one, and compares the final file with the network.
    pub(super) fn export(
        &mut self,
        regressor: &TabularRegressor,
        mut signature: Signature,
        (floor, forecast): (Option<Accuracy>, Option<Forecast>),
        other_seed: Option<&Model>,
        stream: &mut ListingStream<'_>,
    ) -> Result<(Vec<u8>, Signature), Error> {
        let RunContext { runtime, today, report, .. } = self.context;
        self.summary.trained_at = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        signature.run = self.summary.clone();
        let model = Model::open(runtime, &model_file(regressor, &signature)?, Sessions::bulk(1))?;
        let mut measurement = Measurement::new(&model, today).compared_with(other_seed);
        stream.scan(Split::Test, |chunk| measurement.add_chunk(chunk))?;
        let newest = forecast.as_ref().and_then(|forecast| forecast.origins.first());
        let newest = newest.map(|origin| Newest { since: origin.since, accuracy: origin.accuracy.clone() });
        signature.accuracy = measurement.card()?.map(|card| AccuracyCard { newest, floor, forecast, ..card });
        let test = agreement_rows(stream, model.encoder())?;
        signature.golden = Some(golden(regressor, &test));
        let file = model_file(regressor, &signature)?;
        let model = Model::open(runtime, &file, Sessions::bulk(1))?;
        let difference = check_agreement(regressor, &model, &test)?;
        // A server would reject a file that fails this check.
        model.verify()?;
        report(Progress::Agreed(difference));
        self.record_residuals(&model, stream)?;
        Ok((file, signature))
    }

    /// Records how the prices of the final model differ from those of the test split.
    fn record_residuals(&self, model: &Model, stream: &mut ListingStream<'_>) -> Result<(), Error> {
        let RunContext { database, today, retry_for, .. } = self.context;
        let Some(residuals) = residuals_on_test(model, today, stream)? else { return Ok(()) };
        let runs = database.runs();
        let recorded = retry_while_unavailable(retry_for, async || runs.set_residuals(self.id, &residuals).await);
        self.context.block_on(recorded)?;
        Ok(())
    }

    /// The accuracy of a model on the test split.
    pub(super) fn accuracy(&self, model: &Model, stream: &mut ListingStream<'_>) -> Result<Accuracy, Error> {
        accuracy_on_test(model, self.context.today, stream)
    }

    /// Exports the network and calibrates its intervals on the validation split.
    pub(super) fn calibrated_model(
        &self,
        regressor: &TabularRegressor,
        signature: &Signature,
        stream: &mut ListingStream<'_>,
    ) -> Result<Model, Error> {
        let RunContext { runtime, today, .. } = self.context;
        calibrated_model(regressor, signature, (runtime, today), stream)
    }
}

/// The test rows on which the exported file is compared with the network.
fn agreement_rows(stream: &mut ListingStream<'_>, encoder: &Encoder) -> Result<TabularBatch, Error> {
    let mut rows = TabularBatch::default();
    stream.for_each_batch(Split::Test, encoder, |batch| {
        rows.extend(&batch, 0..batch.len());
        rows.len() < AGREEMENT_ROWS
    })?;
    Ok(rows)
}

//! The stages of a run, up to the registered version.

use domain::SplitCounts;
use domain::accuracy::Newest;
use domain::calibration::Calibration;
use onnx_model::Signature;
use onnx_model::signature::RunSummary;
use serde_json::json;
use storage::{NewModel, Snapshot, retry_while_unavailable};

use super::context::{Progress, RunContext, RunResult};
use crate::Error;
use crate::checkpoint::{PreparedData, RunFolder, RunManifest, Stage};
use crate::config::TrainConfig;
use crate::evaluate::Measurement;
use crate::learner::{FittedNetwork, StoppingRule};
use crate::stream::ListingStream;

/// The minimum number of listings to train on.
const MIN_ROWS: u64 = 100;
/// The share of the newest dated listings that the backtest holds out.
const NEWEST_SHARE: f64 = 0.05;
/// The number of members of the backtest model: a few are accurate enough, and much faster.
const BACKTEST_MEMBERS: usize = 2;

/// A run in progress.
pub(super) struct TrainingRun<'a> {
    pub(super) config: &'a TrainConfig,
    pub(super) context: RunContext<'a>,
    pub(super) summary: RunSummary,
    pub(super) folder: &'a RunFolder,
}

impl TrainingRun<'_> {
    /// Executes all stages and registers the version.
    pub(super) fn execute(mut self, manifest: Option<RunManifest>) -> Result<RunResult, Error> {
        let context = self.context;
        let RunContext { database, handle, report, retry_for, today, stop, .. } = context;
        let snapshot = match &manifest {
            Some(manifest) => Snapshot::reopen(database, manifest.extent),
            None => context.block_on(retry_while_unavailable(retry_for, async || {
                database.recanonicalize_listings().await?;
                Snapshot::begin(database).await
            }))?,
        };
        let snapshot = snapshot.with_retry_limit(retry_for);
        let extent = snapshot.extent();
        let mut stream = ListingStream::new(snapshot, self.config.seed, !self.config.shuffle, handle, stop)?;
        let rows = count_rows(&mut stream)?;
        match manifest {
            Some(manifest) if manifest.rows != rows => {
                return Err(Error::ListingsChanged { expected: manifest.rows.train, found: rows.train });
            }
            Some(_) => {}
            None => self.folder.write_manifest(&RunManifest { config: self.config.clone(), today, extent, rows })?,
        }
        self.summary.rows = rows;

        let (prepared, FittedNetwork { regressor, epoch }) = self.train_stage(
            Stage::Training,
            (self.config, StoppingRule::EarlyStopping),
            rows.train,
            &mut stream,
            &mut |epoch, metrics| {
                let number = u32::try_from(epoch).unwrap_or(u32::MAX);
                let (runs, metrics_json) = (database.runs(), json!(metrics));
                let id = self.summary.id;
                let recorded =
                    retry_while_unavailable(retry_for, async || runs.record_epoch(id, number, &metrics_json).await);
                context.block_on(recorded)?;
                report(Progress::Epoch(epoch, metrics));
                Ok(())
            },
        )?;
        let signature = self.signature(prepared);
        let mut signature = self.calibrated_model(&regressor, &signature, &mut stream)?.signature().clone();
        let newest = if self.config.backtest { self.backtest(&mut stream)? } else { None };
        let regressor = if self.config.refit {
            let (prepared, fitted) = self.refit(epoch, &mut stream)?;
            (signature.schema, signature.reference) = (prepared.schema, Some(prepared.reference));
            fitted.regressor
        } else {
            regressor
        };
        report(Progress::Evaluating);
        let (file, signature) = self.export(&regressor, signature, newest, &mut stream)?;
        let version = self.register(file, &signature)?;
        Ok(RunResult { run: self.summary.id, version, card: signature.accuracy })
    }

    /// Registers the version exactly once: it may already be registered, by an attempt whose response was lost or by this run
    /// before it was killed.
    fn register(&self, file: Vec<u8>, signature: &Signature) -> Result<i64, Error> {
        let RunContext { database, retry_for, .. } = self.context;
        let id = self.summary.id;
        let model =
            NewModel { run_id: Some(id), bytes: file, signature: signature.summary(), card: json!(signature.accuracy) };
        let (runs, models) = (database.runs(), database.models());
        let version =
            retry_while_unavailable(retry_for, async || match runs.get(id).await?.and_then(|run| run.model_version) {
                Some(version) => Ok(version),
                None => models.register(&model).await,
            });
        self.context.block_on(version)
    }

    /// Trains on the training and validation splits, after the latter has determined the number of epochs and the calibration.
    fn refit(&self, epochs: usize, stream: &mut ListingStream<'_>) -> Result<(PreparedData, FittedNetwork), Error> {
        (self.context.report)(Progress::Refitting(epochs));
        stream.train_on_validation();
        let rows = self.summary.rows.train + self.summary.rows.validation;
        self.train_stage(Stage::Refit, (self.config, StoppingRule::Epochs(epochs)), rows, stream, &mut |_, _| Ok(()))
    }

    /// Trains a smaller model without the newest listings, and evaluates it on them.
    fn backtest(&self, stream: &mut ListingStream<'_>) -> Result<Option<Newest>, Error> {
        let RunContext { today, report, .. } = self.context;
        let Some(since) = stream.hold_out_newest(NEWEST_SHARE)? else { return Ok(None) };
        let rows = match count_rows(stream) {
            Err(Error::TooFewListings { .. }) => {
                stream.release_held_out();
                return Ok(None);
            }
            rows => rows?,
        };
        report(Progress::Backtesting(since));
        let config = TrainConfig { k: self.config.k.min(BACKTEST_MEMBERS), ..self.config.clone() };
        let (prepared, FittedNetwork { regressor, .. }) = self.train_stage(
            Stage::Backtest,
            (&config, StoppingRule::EarlyStopping),
            rows.train,
            stream,
            &mut |_, _| Ok(()),
        )?;
        let model = self.calibrated_model(&regressor, &self.signature(prepared), stream)?;
        let mut measurement = Measurement::new(&model, today);
        stream.scan_held_out(|chunk| measurement.add_chunk(chunk))?;
        stream.release_held_out();
        Ok(measurement.card()?.map(|card| Newest { since, accuracy: card.overall }))
    }

    /// The signature before calibration and evaluation.
    fn signature(&self, prepared: PreparedData) -> Signature {
        Signature {
            schema: prepared.schema,
            quantiles: self.config.quantiles.clone(),
            calibration: Calibration::fit(&self.config.quantiles, &[]),
            accuracy: None,
            run: self.summary.clone(),
            reference: Some(prepared.reference),
            golden: None,
        }
    }
}

fn count_rows(stream: &mut ListingStream<'_>) -> Result<SplitCounts, Error> {
    let rows = stream.count_rows()?;
    let SplitCounts { train, validation, test } = rows;
    if rows.total() < MIN_ROWS || train == 0 || validation == 0 || test == 0 {
        return Err(Error::TooFewListings { train, validation, test, minimum: MIN_ROWS });
    }
    Ok(rows)
}

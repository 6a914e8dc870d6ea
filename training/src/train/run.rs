//! The stages of a run, up to the registered version.

use std::time::Duration;

use burn::prelude::*;
use chrono::NaiveDate;
use domain::SplitCounts;
use domain::accuracy::Accuracy;
use domain::calibration::Calibration;
use domain::identity::Split;
use onnx_model::signature::RunSummary;
use onnx_model::{Model, Signature};
use serde_json::json;
use storage::{Extent, Lease, NewModel, Snapshot, retry_while_unavailable};

use super::context::{Progress, RunContext, RunResult};
use crate::Error;
use crate::accuracy::MIN_SEGMENT_ROWS;
use crate::checkpoint::{PreparedData, RunFolder, RunManifest, Stage};
use crate::config::{Family, TrainConfig};
use crate::evaluate::{MAX_ROWS, later_outcomes, trend};
use crate::learner::{EpochMetrics, FittedModel, LearnerState, StoppingRule};
use crate::level::{Level, OriginOutcomes, Trend};
use crate::model::LevelEffect;
use crate::stream::ListingStream;

/// The time between attempts to record the listings of a run.
const RETRY_INTERVAL: Duration = Duration::from_secs(5);
/// The minimum number of listings to train on.
const MIN_ROWS: u64 = 100;
/// The shares of the newest dated listings that the backtest holds out, each from a cut day.
pub(super) const HELD_OUT_SHARES: [f64; 4] = [0.05, 0.25, 0.5, 0.7];
/// The maximum number of members of a backtest model: a few are accurate enough, and much faster.
const BACKTEST_MEMBERS: usize = 2;
/// The part of the epochs for which a backtest model is trained.
const BACKTEST_EPOCHS: usize = 3;
/// The number of listings on which the trend of the market is measured.
const TREND_ROWS: u64 = 500;

/// A run in progress.
pub(super) struct TrainingRun<'a> {
    /// With the number of epochs for the listings once they are counted.
    pub(super) config: TrainConfig,
    pub(super) context: RunContext<'a>,
    /// The number of the run.
    pub(super) id: i64,
    pub(super) summary: RunSummary,
    pub(super) folder: &'a RunFolder,
    /// The right to execute a part, or to register the version, if the run is split among processes.
    pub(super) lease: Option<Lease>,
}

/// A stage with its preprocessing.
pub(super) struct PreparedStage {
    pub(super) stage: Stage,
    pub(super) prepared: PreparedData,
    /// The state from which its training is resumed.
    pub(super) saved: Option<LearnerState>,
}

/// The training on both splits.
pub(super) struct Refit {
    pub(super) stage: PreparedStage,
    pub(super) config: TrainConfig,
    pub(super) rule: StoppingRule,
    pub(super) rows: u64,
}

impl<'a> TrainingRun<'a> {
    /// Opens the listings as of the start of the run, or as of now, and completes the configuration with what suits them.
    pub(super) fn open_stream(&mut self, manifest: Option<RunManifest>) -> Result<ListingStream<'a>, Error> {
        let earlier = manifest.as_ref().map(|manifest| manifest.extent);
        let (extent, mut stream) = open_listings(&self.config, earlier, self.context)?;
        self.record_extent(extent);
        let rows = count_rows(&mut stream)?;
        let today = self.context.today;
        match manifest {
            Some(manifest) if manifest.rows != rows => {
                return Err(Error::ListingsChanged { expected: manifest.rows.train, found: rows.train });
            }
            Some(_) => {}
            None => self.folder.write_manifest(&RunManifest { config: self.config.clone(), today, extent, rows })?,
        }
        self.summary.rows = rows;
        self.config = self.config.clone().for_rows(rows.train);
        self.summary.config = json!(self.config);
        Ok(stream)
    }

    /// Records which listings those are, beside training. A failure is only logged.
    fn record_extent(&self, extent: Extent) {
        let RunContext { database, handle, has_log, .. } = self.context;
        if !has_log {
            return;
        }
        let (id, runs, listings) = (self.id, database.runs(), database.listings());
        handle.spawn(async move {
            loop {
                let recorded = async { runs.set_data(id, &listings.data_up_to(extent.last_id()).await?).await };
                match recorded.await {
                    Ok(()) => return,
                    Err(error) if error.is_unavailable() => tokio::time::sleep(RETRY_INTERVAL).await,
                    Err(error) => {
                        tracing::warn!("The listings of run {id} were not recorded: {error}.");
                        return;
                    }
                }
            }
        });
    }

    /// Executes all stages and registers the version.
    pub(super) fn execute(mut self, manifest: Option<RunManifest>) -> Result<RunResult, Error> {
        let context = self.context;
        let report = context.report;
        let mut stream = self.open_stream(manifest)?;
        let rows = self.summary.rows;
        let stage = self.prepare_stage(Stage::Training, &self.config, &mut stream)?;
        let floor = match self.config.family {
            Family::Network => Some(self.floor(&stage.prepared, &mut stream)?),
            Family::Linear => None,
        };
        let (prepared, FittedModel { regressor, epoch, .. }) = self.train_stage(
            stage,
            (&self.config, self.early_stopping(1)),
            rows.train,
            &mut stream,
            &mut |epoch, metrics| self.record_epoch(epoch, metrics),
        )?;
        let mut dates = prepared.statistics.dates;
        let model = self.calibrated_model(&regressor, &self.signature(prepared), &mut stream)?;
        let trend = self.trend(&model, dates, &mut stream)?;
        let mut signature = model.signature().clone();
        let origins = if self.config.backtest && dates.is_some() { self.backtest(&mut stream)? } else { Vec::new() };
        let level = Level::fit(&origins.iter().collect::<Vec<_>>());
        let is_refitted = self.config.refit && self.config.family == Family::Network;
        let regressor = if is_refitted {
            let (prepared, fitted) = self.refit(epoch, &mut stream)?;
            (signature.schema, signature.reference) = (prepared.schema, Some(prepared.reference));
            dates = prepared.statistics.dates;
            fitted.regressor
        } else {
            regressor
        };
        self.summary.market_as_of = dates.map(|[_, last]| last);
        let levels = &self.config.quantiles;
        let effect = |years: f64, quantile: usize| level.effect(trend, years, levels[quantile]);
        let regressor = regressor.with_level(LevelEffect::new(levels.len(), effect, &Device::flex()));
        report(Progress::Evaluating);
        let forecast = dates.map(|_| level.forecast(trend, &origins));
        let other_seed = is_refitted.then_some(&model);
        let (file, signature) = self.export(&regressor, signature, (floor, forecast), other_seed, &mut stream)?;
        let version = self.register(file, &signature)?;
        Ok(RunResult { run: self.id, version, card: signature.accuracy })
    }

    /// Records and reports the metrics of an epoch of the first stage.
    pub(super) fn record_epoch(&self, epoch: usize, metrics: EpochMetrics) -> Result<(), Error> {
        let RunContext { database, report, retry_for, .. } = self.context;
        let number = u32::try_from(epoch).unwrap_or(u32::MAX);
        let (id, runs, metrics_json) = (self.id, database.runs(), json!(metrics));
        let recorded = retry_while_unavailable(retry_for, async || runs.record_epoch(id, number, &metrics_json).await);
        self.context.block_on(recorded)?;
        report(Progress::Epoch(epoch, metrics));
        Ok(())
    }

    /// The accuracy of the linear model on the test split. A resumed run does not fit it again.
    pub(super) fn floor(&self, prepared: &PreparedData, stream: &mut ListingStream<'_>) -> Result<Accuracy, Error> {
        let floor = if let Some(floor) = self.folder.read_floor()? {
            floor
        } else {
            let regressor = self.fit_linear(prepared, &self.config, self.summary.rows.train, stream)?;
            let model = self.calibrated_model(&regressor, &self.signature(prepared.clone()), stream)?;
            let floor = self.accuracy(&model, stream)?;
            self.folder.write_floor(&floor)?;
            floor
        };
        (self.context.report)(Progress::Floor(floor.clone()));
        Ok(floor)
    }

    /// Early stopping with a part of the epochs.
    pub(super) fn early_stopping(&self, part: usize) -> StoppingRule {
        StoppingRule::EarlyStopping(self.config.epochs.unwrap_or_default().div_ceil(part))
    }

    /// Registers the version exactly once: it may already be registered, by an attempt whose response was lost or by this run
    /// before it was killed.
    fn register(&self, file: Vec<u8>, signature: &Signature) -> Result<i64, Error> {
        let RunContext { database, retry_for, .. } = self.context;
        let id = self.id;
        let model = NewModel {
            task: signature.task.name.clone(),
            run_id: Some(id),
            bytes: file,
            signature: signature.summary(),
            card: json!(signature.accuracy),
        };
        let (runs, models) = (database.runs(), database.models());
        let version =
            retry_while_unavailable(retry_for, async || match runs.get(id).await?.and_then(|run| run.model_version) {
                Some(version) => Ok(version),
                None => match &self.lease {
                    Some(lease) => models.register_leased(&model, lease).await,
                    None => models.register(&model).await,
                },
            });
        self.context.block_on(version)
    }

    /// Trains on the training and validation splits, after the latter has determined the number of epochs and the calibration.
    /// The seed is another one, so that a comparison of both networks shows how far prices depend on it.
    fn refit(&self, epochs: usize, stream: &mut ListingStream<'_>) -> Result<(PreparedData, FittedModel), Error> {
        let Refit { stage, config, rule, rows } = self.prepare_refit(epochs, stream)?;
        self.train_stage(stage, (&config, rule), rows, stream, &mut |_, _| Ok(()))
    }

    /// Switches the stream to both splits and fits the preprocessing.
    pub(super) fn prepare_refit(&self, epochs: usize, stream: &mut ListingStream<'_>) -> Result<Refit, Error> {
        (self.context.report)(Progress::Refitting(epochs));
        stream.train_on_validation();
        let rows = self.summary.rows.train + self.summary.rows.validation;
        let config = TrainConfig { seed: self.config.seed.wrapping_add(1), ..self.config.clone() };
        let rule = StoppingRule::Epochs { epochs, annealed_over: self.config.epochs.unwrap_or(epochs) };
        let stage = self.prepare_stage(Stage::Refit, &config, stream)?;
        Ok(Refit { stage, config, rule, rows })
    }

    /// Trains smaller models on the listings before each of several cut days, and evaluates them on those since.
    fn backtest(&self, stream: &mut ListingStream<'_>) -> Result<Vec<OriginOutcomes>, Error> {
        let mut origins: Vec<OriginOutcomes> = Vec::new();
        for (number, share) in HELD_OUT_SHARES.into_iter().enumerate() {
            let Some(since) = stream.hold_out_newest(share)? else { break };
            if origins.last().is_none_or(|last| last.since != since) {
                origins.extend(self.backtest_since(since, number, stream)?);
            }
        }
        stream.release_held_out();
        Ok(origins)
    }

    /// The outcomes of the held-out listings; `None` if there are too few others to train on.
    fn backtest_since(
        &self,
        since: NaiveDate,
        number: usize,
        stream: &mut ListingStream<'_>,
    ) -> Result<Option<OriginOutcomes>, Error> {
        let Some((prepared, FittedModel { regressor, .. })) = self.train_origin(since, number, stream)? else {
            return Ok(None);
        };
        let Some(dates) = prepared.statistics.dates else { return Ok(None) };
        let model = self.calibrated_model(&regressor, &self.signature(prepared), stream)?;
        let trend = self.trend(&model, Some(dates), stream)?;
        let [_, market_as_of] = dates;
        let mut rows = Vec::new();
        stream.scan_held_out(|chunk| {
            rows.extend(later_outcomes(&model, market_as_of, chunk)?);
            Ok(rows.len() < MAX_ROWS)
        })?;
        Ok((rows.len() >= MIN_SEGMENT_ROWS).then_some(OriginOutcomes { since, market_as_of, trend, rows }))
    }

    /// Trains the model on the listings before a cut day; `None` if there are too few.
    pub(super) fn train_origin(
        &self,
        since: NaiveDate,
        number: usize,
        stream: &mut ListingStream<'_>,
    ) -> Result<Option<(PreparedData, FittedModel)>, Error> {
        let rows = match count_rows(stream) {
            Err(Error::TooFewListings { .. }) => return Ok(None),
            rows => rows?,
        };
        (self.context.report)(Progress::Backtesting(since));
        let config = TrainConfig { k: self.config.k.min(BACKTEST_MEMBERS), ..self.config.clone() };
        let stage = self.prepare_stage(Stage::Origin(number), &config, stream)?;
        let rule = self.early_stopping(BACKTEST_EPOCHS);
        self.train_stage(stage, (&config, rule), rows.train, stream, &mut |_, _| Ok(())).map(Some)
    }

    /// The trend of the market according to a model, on a sample of the validation split.
    fn trend(
        &self,
        model: &Model,
        dates: Option<[NaiveDate; 2]>,
        stream: &mut ListingStream<'_>,
    ) -> Result<Trend, Error> {
        let Some(dates) = dates else { return Ok(Trend::default()) };
        let step = usize::try_from(self.summary.rows.validation / TREND_ROWS).unwrap_or(usize::MAX).max(1);
        let mut cars = Vec::new();
        stream.scan(Split::Validation, |chunk| {
            cars.extend((0..chunk.len()).step_by(step).map(|row| chunk.listing(row)));
            Ok(true)
        })?;
        trend(model, &cars, dates)
    }

    /// The signature before calibration and evaluation.
    fn signature(&self, prepared: PreparedData) -> Signature {
        Signature {
            task: self.context.task.clone(),
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

/// Opens the listings of a task: those of an earlier snapshot, or those of now.
pub(crate) fn open_listings<'a>(
    config: &TrainConfig,
    earlier: Option<Extent>,
    context: RunContext<'a>,
) -> Result<(Extent, ListingStream<'a>), Error> {
    let RunContext { task, database, handle, retry_for, stop, .. } = context;
    let snapshot = match earlier {
        Some(extent) => Snapshot::reopen(database, extent),
        None => context.block_on(retry_while_unavailable(retry_for, async || {
            database.recanonicalize_listings().await?;
            Snapshot::begin(database).await
        }))?,
    };
    let snapshot = snapshot.for_task(task)?.with_retry_limit(retry_for);
    let extent = snapshot.extent();
    Ok((extent, ListingStream::new(snapshot, config.seed, !config.shuffle, handle, stop)?))
}

pub(crate) fn count_rows(stream: &mut ListingStream<'_>) -> Result<SplitCounts, Error> {
    let rows = stream.count_rows()?;
    let SplitCounts { train, validation, test } = rows;
    if rows.total() < MIN_ROWS || train == 0 || validation == 0 || test == 0 {
        return Err(Error::TooFewListings { train, validation, test, minimum: MIN_ROWS });
    }
    Ok(rows)
}

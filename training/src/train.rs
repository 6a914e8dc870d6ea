//! One run from the first row to the registered version.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{NaiveDate, SecondsFormat, Utc};
use domain::SplitCounts;
use domain::accuracy::{AccuracyCard, Newest};
use domain::calibration::Calibration;
use domain::feature::FeatureSchema;
use domain::identity::Split;
use onnx_model::signature::RunSummary;
use onnx_model::{Encoder, Model, Runtime, Sessions, Signature};
use serde_json::json;
use storage::{Database, ListingChunk, NewModel, NewRun, Outcome, RunStatus, Snapshot, TabularBatch, retried};
use tokio::runtime::Handle;

use crate::Error;
use crate::checkpoint::{Prepared, RunFolder, RunManifest, Stage};
use crate::config::TrainConfig;
use crate::evaluate::{Measurement, calibration_rows, stored_listing};
use crate::export::{check_agreement, golden, model_file};
use crate::learner::{self, Callbacks, FittedNetwork, LearnerState, TrainingTask, Until};
pub use crate::learner::{EpochMetrics, Step};
use crate::model::TabularRegressor;
use crate::statistics;
use crate::stream::{ListingStream, stopped, wait};

/// Progress events of a run.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The run is in the database under this number.
    Started(i64),
    /// The run continues after it was stopped.
    Resumed(i64),
    /// Nothing of the run was kept here, so it starts from the beginning.
    Restarted(i64),
    /// The training of a network resumes in this epoch, counted from 1.
    ResumedEpoch(usize),
    /// Vocabularies and bins are being fitted.
    Fitting,
    /// They are fitted: listings of each split, and known values of each category.
    Fitted(SplitCounts, Vec<(String, usize)>),
    /// A training step.
    Step(Step),
    /// The end of an epoch, counted from 1.
    Epoch(usize, EpochMetrics),
    /// The network is trained again for this many epochs, on the validation split too.
    Refitting(usize),
    /// A smaller model is trained on the listings before this day and evaluated on the newer ones.
    Backtesting(NaiveDate),
    /// Accuracy is being measured.
    Evaluating,
    /// The file and the network agree to this relative difference.
    Agreed(f64),
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// The run's number.
    pub run: i64,
    /// The registered version.
    pub version: i64,
    /// Its accuracy on the test split.
    pub card: Option<AccuracyCard>,
}

/// What a run needs besides its configuration.
#[derive(Clone, Copy)]
pub struct RunContext<'a> {
    /// The database of listings and models.
    pub database: &'a Database,
    /// The async runtime of the database client.
    pub handle: &'a Handle,
    /// The ONNX runtime for the exported file.
    pub runtime: &'a Runtime,
    /// The folder that checkpoints and spools are kept in.
    pub home: &'a Path,
    /// How long to wait for an unavailable database.
    pub retry_for: Duration,
    /// The day of the run.
    pub today: NaiveDate,
    /// Set from outside to stop at the next batch.
    pub stop: &'a AtomicBool,
    /// Receives progress events.
    pub report: &'a (dyn Fn(Progress) + Sync),
}

/// The fewest listings to train on.
const MIN_ROWS: u64 = 100;
/// The most listings of a split that are evaluated: more add nothing, and memory must not grow with the table.
const MEASURED_ROWS: usize = 20_000;
/// Test rows on which the file is compared with the network.
const AGREEMENT_ROWS: usize = 1024;
/// The newest part of the listings, by date, that the backtest holds out.
const NEWEST_SHARE: f64 = 0.05;
/// Members of the backtest's model: a few tell as much in a fraction of the time.
const BACKTEST_MEMBERS: usize = 2;
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a run that is stopped may take to record that.
const FINISH_TIMEOUT: Duration = Duration::from_secs(2);

impl RunContext<'_> {
    /// Waits for the database, or until the run is to stop.
    fn block_on<T>(&self, work: impl Future<Output = storage::Result<T>>) -> Result<T, Error> {
        wait(self.handle, self.stop, work)
    }
}

/// Trains on the listings in the database and registers the result as a new version, which does not serve before it is
/// promoted. Blocks until done; call it outside the async runtime.
///
/// # Errors
/// When there are too few listings, the loss diverges, the exported file disagrees with the
/// network, or the database fails. The run is then marked as failed and nothing is registered.
/// [`Error::Resumable`] where [`resume`] can continue.
pub fn train(config: &TrainConfig, context: RunContext<'_>) -> Result<RunResult, Error> {
    let RunContext { database, home, report, .. } = context;
    RunFolder::prepare(home)?;
    let new_run = NewRun { label: None, seed: config.seed, config: json!(config) };
    let id = context.block_on(database.runs().create(&new_run))?;
    let run = context.block_on(database.runs().get(id))?.ok_or(storage::Error::NoRun(id))?;
    let folder = RunFolder::open(home, &run)?;
    report(Progress::Started(id));
    execute_run(&run, config, folder, None, context)
}

/// Resumes a run that was stopped, killed or cut off from the database; the result is that of an uninterrupted run.
///
/// # Errors
/// Those of [`train`], and when there is nothing to resume or another process is executing the run.
pub fn resume(id: i64, context: RunContext<'_>) -> Result<RunResult, Error> {
    let RunContext { database, home, report, .. } = context;
    let run = context.block_on(database.runs().get(id))?.ok_or(storage::Error::NoRun(id))?;
    match run.status {
        RunStatus::Completed => {
            if RunFolder::exists(home, &run) {
                RunFolder::open(home, &run)?.remove();
            }
            return Err(Error::RunIsComplete(id));
        }
        RunStatus::Running if !RunFolder::exists(home, &run) => return Err(Error::RunIsElsewhere(id)),
        _ => {}
    }
    let folder = RunFolder::open(home, &run)?;
    let manifest = folder.manifest()?;
    let config = match &manifest {
        Some(manifest) => manifest.config.clone(),
        None => serde_json::from_value(run.config.clone()).map_err(|cause| Error::RunConfig { run: id, cause })?,
    };
    context.block_on(database.runs().resume(id))?;
    report(if manifest.is_some() { Progress::Resumed(id) } else { Progress::Restarted(id) });
    execute_run(&run, &config, folder, manifest, context)
}

/// Executes a run and records how it ended.
fn execute_run(
    run: &storage::Run,
    config: &TrainConfig,
    folder: RunFolder,
    manifest: Option<RunManifest>,
    context: RunContext<'_>,
) -> Result<RunResult, Error> {
    let RunContext { database, handle, retry_for, stop, .. } = context;
    let runs = database.runs();
    let id = run.id;
    let heart = handle.spawn(async move {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            // If the database is unavailable, the next statement of the run itself reports it.
            let _ = runs.heartbeat(id).await;
        }
    });
    let summary = RunSummary {
        id,
        started_at: run.started_at.to_rfc3339_opts(SecondsFormat::Secs, true),
        trained_at: String::new(),
        seed: config.seed,
        rows: SplitCounts::default(),
        config: json!(config),
    };
    let today = manifest.as_ref().map_or(context.today, |manifest| manifest.today);
    let context = RunContext { today, ..context };
    let run = Run { config, context, summary, folder: &folder };
    // A run that panics has failed and must not look as if it were still running.
    let result = catch_unwind(AssertUnwindSafe(|| run.complete(manifest))).unwrap_or(Err(Error::ThreadStopped));
    heart.abort();
    let outcome = match &result {
        Ok(_) => Outcome::Completed,
        Err(Error::Interrupted) => Outcome::Interrupted,
        Err(error) => Outcome::Failed(error.to_string()),
    };
    // An unavailable database is not waited for again: without heartbeats the run counts as interrupted.
    let is_away = matches!(result, Err(Error::Storage(storage::Error::StillAway { .. })));
    let retry_for = if is_away { Duration::ZERO } else { retry_for };
    let runs = database.runs();
    let finished = handle.block_on(async {
        tokio::select! {
            finished = retried(retry_for, async || runs.finish(id, &outcome).await) => Ok(finished?),
            () = async {
                stopped(stop).await;
                tokio::time::sleep(FINISH_TIMEOUT).await;
            } => Err(Error::Interrupted),
        }
    });
    match result.and_then(|trained| finished.map(|()| trained)) {
        Ok(trained) => {
            folder.remove();
            Ok(trained)
        }
        Err(cause) if cause.is_resumable() => Err(Error::Resumable { run: id, cause: Box::new(cause) }),
        Err(error) => Err(error),
    }
}

struct Run<'a> {
    config: &'a TrainConfig,
    context: RunContext<'a>,
    summary: RunSummary,
    folder: &'a RunFolder,
}

/// Receives the metrics of an epoch.
type OnEpoch<'a> = dyn FnMut(usize, EpochMetrics) -> Result<(), Error> + 'a;

impl Run<'_> {
    fn complete(mut self, manifest: Option<RunManifest>) -> Result<RunResult, Error> {
        let context = self.context;
        let RunContext { database, handle, report, retry_for, today, stop, .. } = context;
        let snapshot = match &manifest {
            Some(manifest) => Snapshot::again(database, manifest.extent),
            None => context.block_on(retried(retry_for, async || {
                database.renew_listings().await?;
                Snapshot::begin(database).await
            }))?,
        };
        let snapshot = snapshot.retrying(retry_for);
        let extent = snapshot.extent();
        let mut stream = ListingStream::new(snapshot, self.config.seed, !self.config.shuffle, handle, stop)?;
        let rows = count_rows(&mut stream)?;
        match manifest {
            Some(manifest) if manifest.rows != rows => {
                return Err(Error::ListingsChanged { expected: manifest.rows.train, found: rows.train });
            }
            Some(_) => {}
            None => self.folder.begin(&RunManifest { config: self.config.clone(), today, extent, rows })?,
        }
        self.summary.rows = rows;

        let (prepared, FittedNetwork { regressor, epoch }) =
            self.learn(Stage::Learning, (self.config, Until::Best), rows.train, &mut stream, &mut |epoch, metrics| {
                let number = u32::try_from(epoch).unwrap_or(u32::MAX);
                let (runs, metrics_json) = (database.runs(), json!(metrics));
                let id = self.summary.id;
                let recorded = retried(retry_for, async || runs.record_epoch(id, number, &metrics_json).await);
                context.block_on(recorded)?;
                report(Progress::Epoch(epoch, metrics));
                Ok(())
            })?;
        let signature = self.signature(prepared);
        let mut signature = self.calibrated_model(&regressor, &signature, &mut stream)?.signature().clone();
        let newest = if self.config.backtest { self.backtest(&mut stream)? } else { None };
        let regressor = if self.config.refit {
            let (prepared, learned) = self.refit(epoch, &mut stream)?;
            (signature.schema, signature.reference) = (prepared.schema, Some(prepared.reference));
            learned.regressor
        } else {
            regressor
        };
        report(Progress::Evaluating);
        let (file, signature) = self.make_file(&regressor, signature, newest, &mut stream)?;
        let version = self.register(file, &signature)?;
        Ok(RunResult { run: self.summary.id, version, card: signature.accuracy })
    }

    /// Registers the version exactly once: it may be registered already, by an attempt whose answer was lost or by this run
    /// before it was killed.
    fn register(&self, file: Vec<u8>, signature: &Signature) -> Result<i64, Error> {
        let RunContext { database, retry_for, .. } = self.context;
        let id = self.summary.id;
        let model =
            NewModel { run_id: Some(id), bytes: file, signature: signature.summary(), card: json!(signature.accuracy) };
        let (runs, models) = (database.runs(), database.models());
        let version = retried(retry_for, async || match runs.get(id).await?.and_then(|run| run.model_version) {
            Some(version) => Ok(version),
            None => models.register(&model).await,
        });
        self.context.block_on(version)
    }

    /// Trains a network, from the first pass over the listings or from the stage's checkpoint.
    fn learn(
        &self,
        stage: Stage,
        (config, until): (&TrainConfig, Until),
        rows: u64,
        stream: &mut ListingStream<'_>,
        on_epoch: &mut OnEpoch<'_>,
    ) -> Result<(Prepared, FittedNetwork), Error> {
        let RunContext { report, stop, .. } = self.context;
        let (prepared, saved) = if let Some(saved) = self.folder.load(stage)? {
            saved
        } else {
            report(Progress::Fitting);
            let spool = config.spool.then(|| self.folder.spool(stage, Split::Train));
            let prepared = statistics::fit(stream, config, spool.as_deref())?;
            self.folder.save(stage, &prepared, None)?;
            (prepared, None)
        };
        if stage == Stage::Learning {
            self.describe(&prepared.schema)?;
        }
        let encoder = Encoder::new(&prepared.schema)?;
        let resume_epoch = saved.as_ref().map_or(Some(1), LearnerState::resume_epoch);
        if let Some(epoch) = resume_epoch {
            self.open_spools(stage, until, stream, &encoder)?;
            if saved.is_some() {
                report(Progress::ResumedEpoch(epoch));
            }
        }
        let task = TrainingTask { config, statistics: &prepared.statistics, encoder: &encoder, rows, until, stop };
        let callbacks = Callbacks {
            step: &|step| report(Progress::Step(step)),
            epoch: on_epoch,
            checkpoint: &mut |state| self.folder.save(stage, &prepared, Some(state)),
        };
        let learned = learner::fit(task, stream, saved, callbacks).inspect_err(remove_damaged_spool)?;
        stream.close_spools();
        self.folder.remove_spools(stage);
        Ok((prepared, learned))
    }

    /// Switches the training and validation splits to spools, if they are enabled.
    fn open_spools(
        &self,
        stage: Stage,
        until: Until,
        stream: &mut ListingStream<'_>,
        encoder: &Encoder,
    ) -> Result<(), Error> {
        let splits = match until {
            Until::Best => [Some(Split::Train), Some(Split::Validation)],
            Until::Epochs(_) => [Some(Split::Train), None],
        };
        for split in splits.into_iter().flatten().filter(|_| self.config.spool) {
            let file = self.folder.spool(stage, split);
            if !stream.open_spool(split, &file)? {
                stream.encode(split, encoder, Some(&file), |_| {})?;
            }
        }
        Ok(())
    }

    /// Reports and records the data of the run.
    fn describe(&self, schema: &FeatureSchema) -> Result<(), Error> {
        let RunContext { database, report, retry_for, .. } = self.context;
        let (runs, id, rows) = (database.runs(), self.summary.id, self.summary.rows);
        let described = retried(retry_for, async || runs.describe(id, &schema.fingerprint, rows).await);
        self.context.block_on(described)?;
        let sizes = schema.categorical.iter().map(|feature| (feature.name.clone(), feature.values.len())).collect();
        report(Progress::Fitted(self.summary.rows, sizes));
        Ok(())
    }

    /// Trains on the training and the validation split, once the latter has determined the number of epochs and the width
    /// of the intervals.
    fn refit(&self, epochs: usize, stream: &mut ListingStream<'_>) -> Result<(Prepared, FittedNetwork), Error> {
        (self.context.report)(Progress::Refitting(epochs));
        stream.learn_from_validation();
        let rows = self.summary.rows.train + self.summary.rows.validation;
        self.learn(Stage::Refit, (self.config, Until::Epochs(epochs)), rows, stream, &mut |_, _| Ok(()))
    }

    /// Trains a smaller model on all but the newest listings and evaluates it on those.
    fn backtest(&self, stream: &mut ListingStream<'_>) -> Result<Option<Newest>, Error> {
        let RunContext { today, report, .. } = self.context;
        let Some(since) = stream.hold_out_newest(NEWEST_SHARE)? else { return Ok(None) };
        let rows = match count_rows(stream) {
            Err(Error::TooFewListings { .. }) => {
                stream.hold_out_nothing();
                return Ok(None);
            }
            rows => rows?,
        };
        report(Progress::Backtesting(since));
        let config = TrainConfig { k: self.config.k.min(BACKTEST_MEMBERS), ..self.config.clone() };
        let (prepared, FittedNetwork { regressor, .. }) =
            self.learn(Stage::Backtest, (&config, Until::Best), rows.train, stream, &mut |_, _| Ok(()))?;
        let model = self.calibrated_model(&regressor, &self.signature(prepared), stream)?;
        let mut measurement = Measurement::new(&model, today);
        stream.scan_held_out(|chunk| measure(chunk, &mut measurement))?;
        stream.hold_out_nothing();
        Ok(measurement.card()?.map(|card| Newest { since, accuracy: card.overall }))
    }

    /// Exports the network, evaluates the exported file on the test split, and compares the final file with the network.
    fn make_file(
        &mut self,
        regressor: &TabularRegressor,
        mut signature: Signature,
        newest: Option<Newest>,
        stream: &mut ListingStream<'_>,
    ) -> Result<(Vec<u8>, Signature), Error> {
        let RunContext { runtime, today, report, .. } = self.context;
        self.summary.trained_at = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        signature.run = self.summary.clone();
        let model = Model::open(runtime, &model_file(regressor, &signature)?, Sessions::bulk(1))?;
        let mut measurement = Measurement::new(&model, today);
        stream.scan(Split::Test, |chunk| measure(chunk, &mut measurement))?;
        signature.accuracy = measurement.card()?.map(|card| AccuracyCard { newest, ..card });
        let test = agreement_rows(stream, model.encoder())?;
        signature.golden = Some(golden(regressor, &test));
        let file = model_file(regressor, &signature)?;
        let model = Model::open(runtime, &file, Sessions::bulk(1))?;
        let agreed = check_agreement(regressor, &model, &test)?;
        // A server would refuse a file that fails this.
        model.prove()?;
        report(Progress::Agreed(agreed));
        Ok((file, signature))
    }

    /// The signature before anything is measured.
    fn signature(&self, prepared: Prepared) -> Signature {
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

    /// The exported model with intervals from the validation split.
    fn calibrated_model(
        &self,
        regressor: &TabularRegressor,
        signature: &Signature,
        stream: &mut ListingStream<'_>,
    ) -> Result<Model, Error> {
        let RunContext { runtime, today, .. } = self.context;
        let model = Model::open(runtime, &model_file(regressor, signature)?, Sessions::bulk(1))?;
        let mut rows = Vec::new();
        stream.scan(Split::Validation, |chunk| {
            let listings: Vec<_> = (0..chunk.len()).map(|row| stored_listing(chunk, row)).collect();
            rows.extend(calibration_rows(&model, &listings, today)?);
            Ok(rows.len() < MEASURED_ROWS)
        })?;
        Ok(model.calibrated(Calibration::fit(&signature.quantiles, &rows)))
    }
}

/// The resumed run writes another.
fn remove_damaged_spool(error: &Error) {
    if let Error::Storage(storage::Error::DamagedSpool { path } | storage::Error::Spool { path, .. }) = error
        && let Err(cause) = std::fs::remove_file(path)
    {
        tracing::warn!(%cause, "{} could not be removed.", path.display());
    }
}

fn measure(chunk: &ListingChunk, measurement: &mut Measurement<'_>) -> Result<bool, Error> {
    (0..chunk.len()).try_for_each(|row| measurement.add(stored_listing(chunk, row)))?;
    Ok(measurement.len() < MEASURED_ROWS)
}

fn count_rows(stream: &mut ListingStream<'_>) -> Result<SplitCounts, Error> {
    let rows = stream.rows()?;
    let SplitCounts { train, validation, test } = rows;
    if rows.total() < MIN_ROWS || train == 0 || validation == 0 || test == 0 {
        return Err(Error::TooFewListings { train, validation, test, minimum: MIN_ROWS });
    }
    Ok(rows)
}

fn agreement_rows(stream: &mut ListingStream<'_>, encoder: &Encoder) -> Result<TabularBatch, Error> {
    let mut rows = TabularBatch::default();
    stream.batches(Split::Test, encoder, |batch| {
        rows.extend(&batch, 0..batch.len());
        rows.len() < AGREEMENT_ROWS
    })?;
    Ok(rows)
}

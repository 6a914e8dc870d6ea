//! One run from the first row to the registered version.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{NaiveDate, SecondsFormat, Utc};
use domain::accuracy::{AccuracyCard, Newest};
use domain::calibration::Calibration;
use domain::feature::FeatureSchema;
use domain::identity::Split;
use onnx_model::signature::{Rows, RunSummary};
use onnx_model::{Encoder, Model, Runtime, Signature};
use serde_json::json;
use storage::{Database, ListingChunk, NewModel, NewRun, Outcome, RunRows, Snapshot};
use tokio::runtime::Handle;

use crate::Error;
use crate::config::TrainConfig;
use crate::evaluate::{Measuring, calibration_rows, stored_listing};
use crate::export::{check_agreement, model_file};
pub use crate::learner::{EpochMetrics, Step};
use crate::learner::{Learned, Learning, Until};
use crate::model::{Statistics, TabularRegressor};
use crate::statistics;
use crate::stream::{ListingStream, TabularBatch};

/// What a run is doing, told as it goes.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The run is in the database under this number.
    Begun(i64),
    /// Vocabularies and bins are being fitted.
    Fitting,
    /// They are; so many listings and known values.
    Fitted(Rows, Vec<(String, usize)>),
    /// A step of learning.
    Step(Step),
    /// The end of an epoch, counted from 1.
    Epoch(usize, EpochMetrics),
    /// The network learns again, from the validation split as well, for so many epochs.
    Refitting(usize),
    /// A smaller model learns from the listings before this day, to be measured on the newer ones.
    Backtesting(NaiveDate),
    /// Accuracy is being measured.
    Evaluating,
    /// The file and the network agree to this relative difference.
    Agreed(f64),
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Trained {
    /// The run's number.
    pub run: i64,
    /// The registered version.
    pub version: i64,
    /// Its accuracy on the test split.
    pub card: Option<AccuracyCard>,
}

/// What a run needs besides its configuration.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    /// Where listings come from and models go.
    pub database: &'a Database,
    /// What runs the database client.
    pub handle: &'a Handle,
    /// What runs the exported file.
    pub runtime: &'a Runtime,
    /// The day of the run.
    pub today: NaiveDate,
    /// Set from outside to stop at the next batch.
    pub stop: &'a AtomicBool,
    /// Told how it goes.
    pub report: &'a (dyn Fn(Progress) + Sync),
}

/// Fewer listings than this teach nothing that deserves a price.
const LEAST_ROWS: u64 = 100;
/// Listings of a split that are valued at most: more say nothing new, and memory must not grow with the table.
const MEASURED_ROWS: usize = 20_000;
/// Test rows on which the file is held against the network.
const AGREEMENT_ROWS: usize = 1024;
/// The part of the listings, by date, that the backtest is kept from.
const NEWEST_SHARE: f64 = 0.05;
/// Members of the model of the backtest: fewer say as much at a fraction of the time.
const BACKTEST_MEMBERS: usize = 2;
const HEARTBEAT: Duration = Duration::from_secs(15);

/// Trains on the listings in the database and registers the result as a new version, which serves
/// nobody before it is promoted. Blocks until done; call it outside the async runtime.
///
/// # Errors
/// When there are too few listings, the loss diverges, the exported file disagrees with the
/// network, or the database fails. The run is then marked as failed and nothing is registered.
pub fn train(config: &TrainConfig, surroundings: Surroundings<'_>) -> Result<Trained, Error> {
    let Surroundings { database, handle, report, .. } = surroundings;
    let started_at = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
    let as_json = json!(config);
    let new_run = NewRun { label: None, seed: config.seed, config: as_json.clone() };
    let run = handle.block_on(database.runs().create(&new_run))?;
    report(Progress::Begun(run));
    let runs = database.runs();
    let heart = handle.spawn(async move {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            // A beat that is missed is told by the next statement of the run itself.
            let _ = runs.heartbeat(run).await;
        }
    });
    let summary = RunSummary {
        id: run,
        started_at,
        trained_at: String::new(),
        seed: config.seed,
        rows: Rows::default(),
        config: as_json,
    };
    let result = Run { config, surroundings, summary }.complete();
    heart.abort();
    let outcome = match &result {
        Ok(_) => Outcome::Completed,
        Err(Error::Interrupted) => Outcome::Interrupted,
        Err(error) => Outcome::Failed(error.to_string()),
    };
    let finished = handle.block_on(database.runs().finish(run, &outcome));
    let trained = result?;
    finished?;
    Ok(trained)
}

struct Run<'a> {
    config: &'a TrainConfig,
    surroundings: Surroundings<'a>,
    summary: RunSummary,
}

impl Run<'_> {
    fn complete(mut self) -> Result<Trained, Error> {
        let Surroundings { database, handle, report, .. } = self.surroundings;
        let mut stream = handle
            .block_on(async { ListingStream::begin(Snapshot::begin(database).await?, self.config.seed).await })?;
        self.summary.rows = handle.block_on(count_rows(&mut stream))?;
        report(Progress::Fitting);
        let (schema, statistics) = handle.block_on(statistics::fit(&mut stream, self.config))?;
        let Rows { train, validation, test } = self.summary.rows;
        let rows = RunRows { train, validation, test };
        handle.block_on(database.runs().describe(self.summary.id, &schema.fingerprint, rows))?;
        let sizes = schema.categorical.iter().map(|feature| (feature.name.clone(), feature.values.len())).collect();
        report(Progress::Fitted(self.summary.rows, sizes));

        let learned =
            self.learn((self.config, Until::Best), train, stream, (&schema, &statistics), &mut |epoch, metrics| {
                let number = u32::try_from(epoch).unwrap_or(u32::MAX);
                handle.block_on(database.runs().record_epoch(self.summary.id, number, &json!(metrics)))?;
                report(Progress::Epoch(epoch, metrics));
                Ok(())
            })?;
        let Learned { regressor, epoch, mut stream } = learned;
        let signature = self.signature(schema);
        let mut signature = self.calibrated_model(&regressor, &signature, &mut stream)?.signature().clone();
        let (newest, stream) = if self.config.backtest { self.backtest(stream)? } else { (None, stream) };
        let (regressor, mut stream) = if self.config.refit {
            let (schema, learned) = self.refit(epoch, stream)?;
            signature.schema = schema;
            (learned.regressor, learned.stream)
        } else {
            (regressor, stream)
        };
        report(Progress::Evaluating);
        let (file, signature) = self.make_file(&regressor, signature, newest, &mut stream)?;
        let version = handle.block_on(database.models().register(&NewModel {
            run_id: Some(self.summary.id),
            bytes: file,
            signature: json!({ "fingerprint": signature.schema.fingerprint, "quantiles": signature.quantiles }),
            card: json!(signature.accuracy),
        }))?;
        Ok(Trained { run: self.summary.id, version, card: signature.accuracy })
    }

    fn learn(
        &self,
        (config, until): (&TrainConfig, Until),
        rows: u64,
        stream: ListingStream,
        (schema, statistics): (&FeatureSchema, &Statistics),
        on_epoch: &mut dyn FnMut(usize, EpochMetrics) -> Result<(), Error>,
    ) -> Result<Learned, Error> {
        let Surroundings { handle, report, stop, .. } = self.surroundings;
        let encoder = Encoder::new(schema)?;
        let learning = Learning { config, statistics, encoder: &encoder, rows, until, stop };
        learning.learn(stream, handle, &|step| report(Progress::Step(step)), on_epoch)
    }

    /// Learns from the training and the validation split, which has had its say: it has told how long to learn and how
    /// wide the intervals must be.
    fn refit(&self, epochs: usize, mut stream: ListingStream) -> Result<(FeatureSchema, Learned), Error> {
        let Surroundings { handle, report, .. } = self.surroundings;
        report(Progress::Refitting(epochs));
        stream.learn_from_validation();
        let (schema, statistics) = handle.block_on(statistics::fit(&mut stream, self.config))?;
        let rows = self.summary.rows.train + self.summary.rows.validation;
        let until = Until::Epochs(epochs);
        let learned = self.learn((self.config, until), rows, stream, (&schema, &statistics), &mut |_, _| Ok(()))?;
        Ok((schema, learned))
    }

    /// Lets a smaller model learn from all but the newest listings and measures it on those.
    fn backtest(&self, mut stream: ListingStream) -> Result<(Option<Newest>, ListingStream), Error> {
        let Surroundings { handle, today, report, .. } = self.surroundings;
        let held_out = handle.block_on(stream.hold_out_newest(NEWEST_SHARE))?;
        let Some(since) = held_out else { return Ok((None, stream)) };
        let rows = match handle.block_on(count_rows(&mut stream)) {
            Err(Error::TooFewListings { .. }) => {
                stream.hold_out_nothing();
                return Ok((None, stream));
            }
            rows => rows?,
        };
        report(Progress::Backtesting(since));
        let config = TrainConfig { k: self.config.k.min(BACKTEST_MEMBERS), ..self.config.clone() };
        let (schema, statistics) = handle.block_on(statistics::fit(&mut stream, &config))?;
        let learned =
            self.learn((&config, Until::Best), rows.train, stream, (&schema, &statistics), &mut |_, _| Ok(()))?;
        let Learned { regressor, mut stream, .. } = learned;
        let model = self.calibrated_model(&regressor, &self.signature(schema), &mut stream)?;
        let mut measuring = Measuring::new(&model, today);
        handle.block_on(stream.scan_held_out(|chunk| measure(chunk, &mut measuring)))?;
        stream.hold_out_nothing();
        Ok((measuring.card()?.map(|card| Newest { since, accuracy: card.overall }), stream))
    }

    /// Exports, measures on the test split through the exported file, and holds the final file against the network.
    fn make_file(
        &mut self,
        regressor: &TabularRegressor,
        mut signature: Signature,
        newest: Option<Newest>,
        stream: &mut ListingStream,
    ) -> Result<(Vec<u8>, Signature), Error> {
        let Surroundings { handle, runtime, today, report, .. } = self.surroundings;
        self.summary.trained_at = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        signature.run = self.summary.clone();
        let model = Model::open(runtime, &model_file(regressor, &signature)?, 1)?;
        let mut measuring = Measuring::new(&model, today);
        handle.block_on(stream.scan(Split::Test, |chunk| measure(chunk, &mut measuring)))?;
        signature.accuracy = measuring.card()?.map(|card| AccuracyCard { newest, ..card });
        let file = model_file(regressor, &signature)?;
        let model = Model::open(runtime, &file, 1)?;
        let test = handle.block_on(agreement_rows(stream, model.encoder()))?;
        report(Progress::Agreed(check_agreement(regressor, &model, &test)?));
        Ok((file, signature))
    }

    /// The signature before anything is measured.
    fn signature(&self, schema: FeatureSchema) -> Signature {
        Signature {
            schema,
            quantiles: self.config.quantiles.clone(),
            calibration: Calibration::fit(&self.config.quantiles, &[]),
            accuracy: None,
            run: self.summary.clone(),
        }
    }

    /// The exported model with intervals from the validation split.
    fn calibrated_model(
        &self,
        regressor: &TabularRegressor,
        signature: &Signature,
        stream: &mut ListingStream,
    ) -> Result<Model, Error> {
        let Surroundings { handle, runtime, today, .. } = self.surroundings;
        let model = Model::open(runtime, &model_file(regressor, signature)?, 1)?;
        let mut rows = Vec::new();
        handle.block_on(stream.scan(Split::Validation, |chunk| {
            let listings: Vec<_> = (0..chunk.len()).map(|row| stored_listing(chunk, row)).collect();
            rows.extend(calibration_rows(&model, &listings, today)?);
            Ok(rows.len() < MEASURED_ROWS)
        }))?;
        Ok(model.calibrated(Calibration::fit(&signature.quantiles, &rows)))
    }
}

fn measure(chunk: &ListingChunk, measuring: &mut Measuring<'_>) -> Result<bool, Error> {
    (0..chunk.len()).try_for_each(|row| measuring.add(stored_listing(chunk, row)))?;
    Ok(measuring.len() < MEASURED_ROWS)
}

async fn count_rows(stream: &mut ListingStream) -> Result<Rows, Error> {
    let rows = Rows {
        train: stream.rows(Split::Train).await?,
        validation: stream.rows(Split::Validation).await?,
        test: stream.rows(Split::Test).await?,
    };
    let Rows { train, validation, test } = rows;
    if train + validation + test < LEAST_ROWS || train == 0 || validation == 0 || test == 0 {
        return Err(Error::TooFewListings { train, validation, test, least: LEAST_ROWS });
    }
    Ok(rows)
}

async fn agreement_rows(stream: &mut ListingStream, encoder: &Encoder) -> Result<TabularBatch, Error> {
    let mut rows = TabularBatch::default();
    stream
        .batches(Split::Test, encoder, |batch| {
            rows.append(batch);
            rows.len() < AGREEMENT_ROWS
        })
        .await?;
    Ok(rows)
}

//! One run from the first row to the registered version.

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::{NaiveDate, SecondsFormat, Utc};
use domain::accuracy::AccuracyCard;
use domain::calibration::Calibration;
use domain::feature::FeatureSchema;
use domain::identity::Split;
use onnx_model::signature::{Rows, RunSummary};
use onnx_model::{Encoder, Model, Runtime, Signature};
use serde_json::json;
use storage::{Database, NewModel, NewRun, Outcome, RunRows, Snapshot};
use tokio::runtime::Handle;

use crate::Error;
use crate::config::TrainConfig;
use crate::evaluate::{Outcomes, calibration_rows, stored_listing};
use crate::export::{check_agreement, model_file};
use crate::learner::Learning;
pub use crate::learner::{EpochMetrics, Step};
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
    /// Intervals are being calibrated and accuracy measured.
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
    let result = Run { config, surroundings, summary }.to_the_end();
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
    fn to_the_end(mut self) -> Result<Trained, Error> {
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

        let encoder = Encoder::new(&schema)?;
        let (regressor, mut stream) = self.learn(stream, &encoder, &statistics)?;
        report(Progress::Evaluating);
        let (file, signature) = self.make_file(&regressor, schema, &mut stream)?;
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
        stream: ListingStream,
        encoder: &Encoder,
        statistics: &Statistics,
    ) -> Result<(TabularRegressor, ListingStream), Error> {
        let Surroundings { database, handle, report, stop, .. } = self.surroundings;
        let learning = Learning { config: self.config, statistics, encoder, rows: self.summary.rows, stop };
        learning.learn(stream, handle, &|step| report(Progress::Step(step)), &mut |epoch, metrics| {
            let number = u32::try_from(epoch).unwrap_or(u32::MAX);
            handle.block_on(database.runs().record_epoch(self.summary.id, number, &json!(metrics)))?;
            report(Progress::Epoch(epoch, metrics));
            Ok(())
        })
    }

    /// Exports, calibrates on the validation split, measures on the test split, both through the
    /// exported file, and holds the final file against the network.
    fn make_file(
        &mut self,
        regressor: &TabularRegressor,
        schema: FeatureSchema,
        stream: &mut ListingStream,
    ) -> Result<(Vec<u8>, Signature), Error> {
        let Surroundings { handle, runtime, today, report, .. } = self.surroundings;
        self.summary.trained_at = Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true);
        let levels = &self.config.quantiles;
        let mut signature = Signature {
            schema,
            quantiles: levels.clone(),
            calibration: Calibration::fit(levels, &[]),
            accuracy: None,
            run: self.summary.clone(),
        };
        let open = |signature: &Signature| -> Result<(Vec<u8>, Model), Error> {
            let file = model_file(regressor, signature)?;
            let model = Model::open(runtime, &file, 1)?;
            Ok((file, model))
        };
        let (_, model) = open(&signature)?;
        let mut rows = Vec::new();
        handle.block_on(stream.scan(Split::Validation, |chunk| {
            let listings: Vec<_> = (0..chunk.len()).map(|row| stored_listing(chunk, row)).collect();
            rows.extend(calibration_rows(&model, &listings, today)?);
            Ok(rows.len() < MEASURED_ROWS)
        }))?;
        signature.calibration = Calibration::fit(levels, &rows);
        let (_, model) = open(&signature)?;
        let mut outcomes = Outcomes::new(&model, today);
        handle.block_on(stream.scan(Split::Test, |chunk| {
            (0..chunk.len()).try_for_each(|row| outcomes.add(stored_listing(chunk, row)))?;
            Ok(outcomes.len() < MEASURED_ROWS)
        }))?;
        signature.accuracy = outcomes.card()?;
        let (file, model) = open(&signature)?;
        let test = handle.block_on(agreement_rows(stream, model.encoder()))?;
        report(Progress::Agreed(check_agreement(regressor, &model, &test)?));
        Ok((file, signature))
    }
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
        .batches(Split::Test, encoder, AGREEMENT_ROWS, |batch| {
            rows.append(batch);
            rows.len() < AGREEMENT_ROWS
        })
        .await?;
    Ok(rows)
}

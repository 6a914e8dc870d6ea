//! Trains the model of a stage, from the start or from its checkpoint.

use std::time::Instant;

use domain::feature::FeatureSchema;
use domain::identity::Split;
use onnx_model::Encoder;
use storage::retry_while_unavailable;

use super::checkpoints::Checkpoints;
use super::context::{Progress, RunContext};
use super::run::{PreparedStage, TrainingRun};
use crate::Error;
use crate::checkpoint::{PreparedData, Stage};
use crate::config::{Family, TrainConfig};
use crate::learner::{self, Callbacks, EpochMetrics, FittedModel, LearnerState, OnMember, StoppingRule, TrainingTask};
use crate::linear::{self, LinearFit};
use crate::model::TabularRegressor;
use crate::statistics;
use crate::stream::ListingStream;

/// Called with the metrics of an epoch.
type OnEpoch<'a> = dyn FnMut(usize, EpochMetrics) -> Result<(), Error> + 'a;

impl PreparedStage {
    /// The best validation loss so far; infinite before the first epoch.
    pub(super) fn best_loss(&self) -> f64 {
        self.saved.as_ref().map_or(f64::INFINITY, LearnerState::best_loss)
    }
}

impl TrainingRun<'_> {
    /// Fits the preprocessing of a stage, or loads it with the state of its training.
    pub(super) fn prepare_stage(
        &self,
        stage: Stage,
        config: &TrainConfig,
        stream: &mut ListingStream<'_>,
    ) -> Result<PreparedStage, Error> {
        let report = self.context.report;
        let (prepared, saved) = if let Some(saved) = self.folder.load(stage)? {
            saved
        } else {
            report(Progress::Fitting);
            let spool = config.spool.then(|| self.folder.spool_path(stage, Split::Train));
            let prepared = statistics::fit(stream, config, self.context.task, spool.as_deref())?;
            self.folder.save(stage, &prepared, None)?;
            (prepared, None)
        };
        if stage == Stage::Training {
            self.record_data(&prepared.schema)?;
        }
        Ok(PreparedStage { stage, prepared, saved })
    }

    /// Trains the model of a stage, from the start or from its checkpoint.
    pub(super) fn train_stage(
        &self,
        PreparedStage { stage, prepared, saved }: PreparedStage,
        (config, stopping_rule): (&TrainConfig, StoppingRule),
        rows: u64,
        stream: &mut ListingStream<'_>,
        on_epoch: &mut OnEpoch<'_>,
    ) -> Result<(PreparedData, FittedModel), Error> {
        let RunContext { report, stop, .. } = self.context;
        if config.family == Family::Linear {
            let regressor = self.fit_linear(&prepared, config, rows, stream)?;
            self.folder.remove_spools(stage);
            return Ok((prepared, FittedModel { regressor, epoch: 0, loss: f64::NAN }));
        }
        let encoder = self.open_data(stage, (&prepared, saved.as_ref()), stopping_rule, stream)?;
        let task =
            TrainingTask { config, statistics: &prepared.statistics, encoder: &encoder, rows, stopping_rule, stop };
        let mut checkpoints = Checkpoints::new(self, stage);
        let callbacks = Callbacks {
            step: &|step| report(Progress::Step(step)),
            epoch: on_epoch,
            checkpoint: &mut |state| checkpoints.save(&prepared, state),
            apart: None,
        };
        let fitted = learner::fit(task, stream, saved, callbacks).inspect_err(remove_damaged_spool)?;
        stream.close_spools();
        self.folder.remove_spools(stage);
        Ok((prepared, fitted))
    }

    /// Trains one member of a stage, from the start or from its checkpoint, apart from the others. Returns its weights after the
    /// last epoch; with early stopping, `on_member` receives those of each epoch.
    pub(super) fn train_member(
        &self,
        PreparedStage { stage, prepared, saved }: PreparedStage,
        (config, stopping_rule): (&TrainConfig, StoppingRule),
        (number, rows): (usize, u64),
        stream: &mut ListingStream<'_>,
        on_member: &mut OnMember<'_>,
    ) -> Result<Vec<u8>, Error> {
        let RunContext { report, stop, .. } = self.context;
        let encoder = self.open_data(stage, (&prepared, saved.as_ref()), stopping_rule, stream)?;
        let task =
            TrainingTask { config, statistics: &prepared.statistics, encoder: &encoder, rows, stopping_rule, stop };
        let mut checkpoints = Checkpoints::new(self, stage);
        let callbacks = Callbacks {
            step: &|step| report(Progress::Step(step)),
            epoch: &mut |_, _| Ok(()),
            checkpoint: &mut |state| checkpoints.save(&prepared, state),
            apart: Some(on_member),
        };
        learner::fit_member(task, number, stream, saved, callbacks).inspect_err(remove_damaged_spool)
    }

    /// Opens the spools of a stage unless its training had finished; returns the encoder of its listings.
    fn open_data(
        &self,
        stage: Stage,
        (prepared, saved): (&PreparedData, Option<&LearnerState>),
        stopping_rule: StoppingRule,
        stream: &mut ListingStream<'_>,
    ) -> Result<Encoder, Error> {
        let encoder = Encoder::new(&prepared.schema)?;
        if let Some(epoch) = saved.map_or(Some(1), LearnerState::resume_epoch) {
            self.open_spools(stage, stopping_rule, stream, &encoder)?;
            if saved.is_some() {
                (self.context.report)(Progress::ResumedEpoch(epoch));
            }
        }
        Ok(encoder)
    }

    /// Fits the linear model to the listings of a stage.
    pub(super) fn fit_linear(
        &self,
        prepared: &PreparedData,
        config: &TrainConfig,
        rows: u64,
        stream: &mut ListingStream<'_>,
    ) -> Result<TabularRegressor, Error> {
        let started = Instant::now();
        let encoder = Encoder::new(&prepared.schema)?;
        let data = linear::Data { statistics: &prepared.statistics, encoder: &encoder, rows };
        let LinearFit { regressor, penalty } = linear::fit(config, data, stream, self.context.stop)?;
        (self.context.report)(Progress::FittedLinear { penalty, duration: started.elapsed() });
        Ok(regressor)
    }

    /// Switches the training and validation splits to spools, if they are enabled.
    fn open_spools(
        &self,
        stage: Stage,
        stopping_rule: StoppingRule,
        stream: &mut ListingStream<'_>,
        encoder: &Encoder,
    ) -> Result<(), Error> {
        let splits = match stopping_rule {
            StoppingRule::EarlyStopping(_) => [Some(Split::Train), Some(Split::Validation)],
            StoppingRule::Epochs { .. } => [Some(Split::Train), None],
        };
        for split in splits.into_iter().flatten().filter(|_| self.config.spool) {
            let file = self.folder.spool_path(stage, split);
            if !stream.open_spool(split, &file)? {
                stream.encode_split(split, encoder, Some(&file), |_| {})?;
            }
        }
        Ok(())
    }

    /// Reports and records the schema and the splits of the run.
    fn record_data(&self, schema: &FeatureSchema) -> Result<(), Error> {
        let RunContext { database, report, retry_for, .. } = self.context;
        let (runs, id, rows, config) = (database.runs(), self.id, self.summary.rows, &self.summary.config);
        let recorded =
            retry_while_unavailable(retry_for, async || runs.describe(id, &schema.fingerprint, rows, config).await);
        self.context.block_on(recorded)?;
        let sizes = schema.categorical.iter().map(|feature| (feature.name.clone(), feature.values.len())).collect();
        report(Progress::Fitted(self.summary.rows, sizes));
        Ok(())
    }
}

/// Removes a damaged spool, so that the resumed run writes it again.
fn remove_damaged_spool(error: &Error) {
    if let Error::Storage(storage::Error::DamagedSpool { path } | storage::Error::Spool { path, .. }) = error
        && let Err(cause) = std::fs::remove_file(path)
    {
        tracing::warn!(%cause, "{} could not be removed.", path.display());
    }
}

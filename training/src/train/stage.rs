//! Trains the network of a stage, from the start or from its checkpoint.

use domain::feature::FeatureSchema;
use domain::identity::Split;
use onnx_model::Encoder;
use storage::retry_while_unavailable;

use super::context::{Progress, RunContext};
use super::run::TrainingRun;
use crate::Error;
use crate::checkpoint::{PreparedData, Stage};
use crate::config::TrainConfig;
use crate::learner::{self, Callbacks, EpochMetrics, FittedNetwork, LearnerState, StoppingRule, TrainingTask};
use crate::statistics;
use crate::stream::ListingStream;

/// Called with the metrics of an epoch.
type OnEpoch<'a> = dyn FnMut(usize, EpochMetrics) -> Result<(), Error> + 'a;

impl TrainingRun<'_> {
    /// Trains the network of a stage, from the start or from its checkpoint.
    pub(super) fn train_stage(
        &self,
        stage: Stage,
        (config, stopping_rule): (&TrainConfig, StoppingRule),
        rows: u64,
        stream: &mut ListingStream<'_>,
        on_epoch: &mut OnEpoch<'_>,
    ) -> Result<(PreparedData, FittedNetwork), Error> {
        let RunContext { report, stop, .. } = self.context;
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
        let encoder = Encoder::new(&prepared.schema)?;
        let resume_epoch = saved.as_ref().map_or(Some(1), LearnerState::resume_epoch);
        if let Some(epoch) = resume_epoch {
            self.open_spools(stage, stopping_rule, stream, &encoder)?;
            if saved.is_some() {
                report(Progress::ResumedEpoch(epoch));
            }
        }
        let task =
            TrainingTask { config, statistics: &prepared.statistics, encoder: &encoder, rows, stopping_rule, stop };
        let callbacks = Callbacks {
            step: &|step| report(Progress::Step(step)),
            epoch: on_epoch,
            checkpoint: &mut |state| self.folder.save(stage, &prepared, Some(state)),
        };
        let fitted = learner::fit(task, stream, saved, callbacks).inspect_err(remove_damaged_spool)?;
        stream.close_spools();
        self.folder.remove_spools(stage);
        Ok((prepared, fitted))
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

//! The run of a trial: it ends with its validation loss, and registers no version.

use serde_json::json;
use storage::{NewRun, RunDescription};

use super::context::{Progress, RunContext};
use super::execution::execute_run;
use super::run::TrainingRun;
use crate::Error;
use crate::checkpoint::{RunFolder, RunManifest, Stage};
use crate::learner::FittedModel;

/// A trial to train.
pub(crate) struct TrialRun<'a> {
    /// What the run is called.
    pub(crate) name: String,
    /// The run of an earlier attempt.
    pub(crate) run: Option<i64>,
    /// The configuration, the listings and the date.
    pub(crate) manifest: RunManifest,
    /// Called with the number of the run before it starts.
    pub(crate) on_start: &'a dyn Fn(i64) -> Result<(), Error>,
    /// Whether to stop after an epoch, given the maximum number of epochs and the best loss so far.
    pub(crate) is_hopeless: &'a dyn Fn(usize, usize, f64) -> Result<bool, Error>,
}

/// How a trial ended, with its best validation loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum TrialEnd {
    /// Training ended by itself.
    Completed(f64),
    /// It was stopped early.
    Pruned(f64),
}

impl TrialRun<'_> {
    /// Trains, from the checkpoint of an earlier attempt if there is one here.
    ///
    /// # Errors
    /// Those of [`super::train`].
    pub(crate) fn execute(self, context: RunContext<'_>) -> Result<TrialEnd, Error> {
        let RunContext { task, database, home, report, .. } = context;
        RunFolder::prepare(home)?;
        let runs = database.runs();
        let config = self.manifest.config.clone();
        let id = match self.run {
            Some(id) => id,
            None => context.block_on(runs.create(&NewRun {
                task: task.name.clone(),
                description: RunDescription {
                    name: Some(self.name.clone()),
                    program: Some(context.program.to_owned()),
                    ..RunDescription::default()
                },
                seed: config.seed,
                config: json!(config),
            }))?,
        };
        (self.on_start)(id)?;
        let run = context.block_on(runs.get(id))?.ok_or(storage::Error::NoRun(id))?;
        let folder = RunFolder::open(home, &run)?;
        if self.run.is_some() {
            context.block_on(runs.resume(id))?;
            let has_checkpoint = folder.read_manifest()?.is_some();
            report(if has_checkpoint { Progress::Resumed(id) } else { Progress::Restarted(id) });
        } else {
            report(Progress::Started(id));
        }
        folder.write_manifest(&self.manifest)?;
        let context = RunContext { today: self.manifest.today, ..context };
        execute_run(&run, &config, folder, context, |run| run.try_out(self.manifest, self.is_hopeless))
    }
}

impl TrainingRun<'_> {
    /// Trains the first stage only.
    fn try_out(
        mut self,
        manifest: RunManifest,
        is_hopeless: &dyn Fn(usize, usize, f64) -> Result<bool, Error>,
    ) -> Result<TrialEnd, Error> {
        let mut stream = self.open_stream(Some(manifest))?;
        let stage = self.prepare_stage(Stage::Training, &self.config, &mut stream)?;
        let epochs = self.config.epochs.unwrap_or_default();
        let mut best = stage.best_loss();
        let fitted = self.train_stage(
            stage,
            (&self.config, self.early_stopping(1)),
            self.summary.rows.train,
            &mut stream,
            &mut |epoch, metrics| {
                best = best.min(metrics.validation_loss);
                self.record_epoch(epoch, metrics)?;
                if is_hopeless(epoch, epochs, best)? { Err(Error::Pruned) } else { Ok(()) }
            },
        );
        match fitted {
            Ok((_, FittedModel { loss, .. })) => Ok(TrialEnd::Completed(loss)),
            Err(Error::Pruned) => Ok(TrialEnd::Pruned(best)),
            Err(error) => Err(error),
        }
    }
}

//! A run that is split among processes, which share nothing but the database: one plans it, any number of them train its members,
//! and one finishes it. The result is that of [`super::train`].
//!
//! What the parts have computed becomes the checkpoints of stages that have finished, from which the last part resumes the run.

use domain::accuracy::Accuracy;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use storage::{Lease, Part, Run, RunPlan, RunStatus, retry_while_unavailable};

use super::context::{Progress, RunContext, RunResult};
use super::ensemble::{MemberUpload, number};
use super::execution::{execute_run, outcome_of, training_run};
use super::lease::HeldLease;
use super::part_log::{name, recorded};
use super::run::{HELD_OUT_SHARES, Refit, TrainingRun};
use crate::Error;
use crate::checkpoint::{PreparedData, RunFolder, RunManifest, Stage};
use crate::config::{Family, TrainConfig};
use crate::learner::{EpochRanking, LearnerState, MemberEvent};
use crate::stream::ListingStream;

/// The part that ends a run.
const FINISH: &str = "finish";

/// What all parts of a run start from.
#[derive(Debug, Serialize, Deserialize)]
struct Plan {
    manifest: RunManifest,
    floor: Option<Accuracy>,
    parts: PlannedParts,
}

/// The parts of a run between its plan and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedParts {
    /// The members of the ensemble.
    pub members: usize,
    /// The smaller models of the backtest.
    pub backtests: usize,
    /// The members of the final network, which follow those of the ensemble.
    pub refits: usize,
}

/// A part of a run between its plan and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunPart {
    /// A member of the ensemble or, with the numbers after these, a model of the backtest.
    Member(usize),
    /// A member of the final network.
    Refit(usize),
}

/// What became of a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartOutcome {
    /// It is done now.
    Done,
    /// It had been done before.
    WasDone,
}

impl PlannedParts {
    /// The parts of a run of this configuration.
    #[must_use]
    pub fn of(config: &TrainConfig, has_dates: bool) -> Self {
        // A linear model is fitted in seconds.
        let is_network = config.family == Family::Network;
        Self {
            members: if is_network { config.k } else { 0 },
            backtests: if is_network && config.backtest && has_dates { HELD_OUT_SHARES.len() } else { 0 },
            refits: if is_network && config.refit { config.k } else { 0 },
        }
    }

    fn list(self) -> Vec<(String, u32)> {
        let of_stage = |stage: Stage, count| (0..count).map(move |member| (stage.name(), number(member)));
        let backtests = (0..self.backtests).map(|origin| (Stage::Origin(origin).name(), 0));
        let members = of_stage(Stage::Training, self.members).chain(of_stage(Stage::Refit, self.refits));
        members.chain(backtests).chain([(FINISH.to_owned(), 0)]).collect()
    }
}

impl RunPart {
    fn stage(self, planned: PlannedParts) -> (Stage, usize) {
        match self {
            Self::Member(member) if member < planned.members => (Stage::Training, member),
            Self::Member(other) => (Stage::Origin(other - planned.members), 0),
            Self::Refit(member) => (Stage::Refit, member),
        }
    }
}

/// Plans a run that [`super::create_run`] has recorded: fits its preprocessing and the linear model that it must beat, and stores
/// them with the extent of the listings. Does nothing if the run is planned already.
///
/// # Errors
/// Those of [`super::train`].
pub fn plan(id: i64, context: RunContext<'_>) -> Result<PlannedParts, Error> {
    let RunContext { database, home, retry_for, .. } = context;
    let run = load_run(id, context)?;
    if run.status == RunStatus::Completed {
        return Err(Error::RunIsComplete(id));
    }
    if let Some(plan) = load_plan(id, context)? {
        return Ok(plan.parts);
    }
    let config: TrainConfig =
        serde_json::from_value(run.config.clone()).map_err(|cause| Error::RunConfig { run: id, cause })?;
    RunFolder::prepare(home)?;
    let folder = RunFolder::open_part(home, &run, "plan")?;
    context.block_on(database.runs().resume(id))?;
    let planned = recorded(("plan".to_owned(), false), id, context, |context| {
        training_run(&run, &config, &folder, context).plan()
    });
    if let Err(error) = &planned {
        let (runs, outcome) = (database.runs(), outcome_of(error));
        // Without it, the run counts as interrupted for lack of heartbeats.
        let _ = context.handle.block_on(async { runs.finish(id, &outcome).await });
    }
    folder.remove();
    let (plan, prepared) = planned?;
    let stored = RunPlan { program: context.program.to_owned(), plan: encode(&plan, id)? };
    let (prepared, list) = (encode(&prepared, id)?, plan.parts.list());
    let (parts, stage) = (database.run_parts(), Stage::Training.name());
    let stored = retry_while_unavailable(retry_for, async || parts.plan(id, &stored, (&stage, &prepared), &list).await);
    context.block_on(stored)?;
    Ok(plan.parts)
}

/// Trains a part of a planned run and stores its result once. Blocks.
///
/// # Errors
/// Those of [`super::train`]; also if the run is not planned, another version of the program planned it, or another process
/// trains this part, unless this one is to wait for it.
pub fn train_part(id: i64, part: RunPart, waits: bool, context: RunContext<'_>) -> Result<PartOutcome, Error> {
    let RunContext { database, home, retry_for, report, .. } = context;
    let run = load_run(id, context)?;
    if run.status == RunStatus::Completed {
        return Ok(PartOutcome::WasDone);
    }
    let plan = load_plan(id, context)?.ok_or(Error::NotPlanned(id))?;
    let (stage, member) = part.stage(plan.parts);
    let part = Part { run: id, stage: stage.name(), member: number(member) };
    let Some(held) = HeldLease::acquire(&part, waits, context)? else { return Ok(PartOutcome::WasDone) };
    context.block_on(database.runs().resume(id))?;
    RunFolder::prepare(home)?;
    let folder = RunFolder::open_part(home, &run, &format!("{}-{member}", part.stage))?;
    let noting = |progress: Progress| {
        held.note(&progress);
        report(progress);
    };
    let part_context = RunContext { report: &noting, today: plan.manifest.today, ..context };
    let config = plan.manifest.config.clone();
    // The loss of one member stands for that of all, and the processes are alike.
    let trained = recorded((name(stage, member), member == 0), id, part_context, |context| {
        training_run(&run, &config, &folder, context).train_part(stage, member, plan.manifest, &held.lease)
    });
    let parts = database.run_parts();
    match trained {
        Ok(result) => {
            let stored =
                retry_while_unavailable(retry_for, async || parts.finish(&held.lease, result.as_deref()).await);
            context.block_on(stored)?;
            folder.remove();
            Ok(PartOutcome::Done)
        }
        Err(error) => {
            let reason = (!matches!(error, Error::Interrupted)).then(|| error.to_string());
            // Otherwise the lease expires.
            let _ = context.handle.block_on(async { parts.release(&held.lease, reason.as_deref()).await });
            Err(error)
        }
    }
}

/// Finishes a run whose members are trained: calibrates, evaluates and registers the version. Also trains what no other process
/// has: the models of the backtest and the final network. Blocks.
///
/// # Errors
/// Those of [`super::train`] and [`train_part`]; also if the members are not trained yet.
pub fn finish(id: i64, waits: bool, context: RunContext<'_>) -> Result<RunResult, Error> {
    let RunContext { database, retry_for, .. } = context;
    let run = load_run(id, context)?;
    if run.status == RunStatus::Completed {
        return registered(&run, context);
    }
    let plan = load_plan(id, context)?.ok_or(Error::NotPlanned(id))?;
    let part = Part { run: id, stage: FINISH.to_owned(), member: 0 };
    let Some(held) = HeldLease::acquire(&part, waits, context)? else {
        return registered(&load_run(id, context)?, context);
    };
    let parts = database.run_parts();
    let context = RunContext { today: plan.manifest.today, ..context };
    let finished = finish_leased(&run, plan, &held.lease, context);
    match &finished {
        Ok(_) => context.block_on(retry_while_unavailable(retry_for, async || parts.remove_plan(id).await))?,
        Err(error) => {
            let reason = (!matches!(error, Error::Interrupted)).then(|| error.to_string());
            // Otherwise the lease expires.
            let _ = context.handle.block_on(async { parts.release(&held.lease, reason.as_deref()).await });
        }
    }
    finished
}

fn finish_leased(run: &Run, plan: Plan, lease: &Lease, context: RunContext<'_>) -> Result<RunResult, Error> {
    RunFolder::prepare(context.home)?;
    let folder = RunFolder::open(context.home, run)?;
    let config = plan.manifest.config.clone();
    folder.write_manifest(&plan.manifest)?;
    if let Some(floor) = &plan.floor {
        folder.write_floor(floor)?;
    }
    if plan.parts.members > 0 {
        training_run(run, &config, &folder, context).collect_parts(&plan)?;
    }
    context.block_on(context.database.runs().resume(run.id))?;
    execute_run(run, &config, folder, context, |run| {
        TrainingRun { lease: Some(lease.clone()), ..run }.execute(Some(plan.manifest))
    })
}

/// The version of a run that is complete.
fn registered(run: &Run, context: RunContext<'_>) -> Result<RunResult, Error> {
    let RunContext { database, .. } = context;
    context.block_on(database.run_parts().remove_plan(run.id))?;
    let version = run.model_version.ok_or(Error::RunIsComplete(run.id))?;
    let model = context.block_on(database.models().get(version))?;
    let card = model.and_then(|model| serde_json::from_value(model.accuracy).ok());
    Ok(RunResult { run: run.id, version, card })
}

fn load_run(id: i64, context: RunContext<'_>) -> Result<Run, Error> {
    let run = context.block_on(context.database.runs().get(id))?;
    run.ok_or(Error::Storage(storage::Error::NoRun(id)))
}

/// The plan of a run, if it is planned; another version of the program must not take part.
fn load_plan(id: i64, context: RunContext<'_>) -> Result<Option<Plan>, Error> {
    let Some(RunPlan { program, plan }) = context.block_on(context.database.run_parts().get_plan(id))? else {
        return Ok(None);
    };
    if program != context.program {
        return Err(Error::OtherVersion { work: format!("run {id}"), started_by: program, this: context.program });
    }
    decode(&plan, id).map(Some)
}

fn encode(value: &impl Serialize, run: i64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|cause| Error::DamagedPlan { run, cause: cause.to_string() })?;
    Ok(bytes)
}

fn decode<T: DeserializeOwned>(bytes: &[u8], run: i64) -> Result<T, Error> {
    ciborium::from_reader(bytes).map_err(|cause| Error::DamagedPlan { run, cause: cause.to_string() })
}

impl TrainingRun<'_> {
    fn plan(mut self) -> Result<(Plan, PreparedData), Error> {
        let mut stream = self.open_stream(None)?;
        let prepared = self.prepare_stage(Stage::Training, &self.config, &mut stream)?.prepared;
        let floor = match self.config.family {
            Family::Network => Some(self.floor(&prepared, &mut stream)?),
            Family::Linear => None,
        };
        let manifest = self.folder.read_manifest()?.ok_or(Error::NotPlanned(self.id))?;
        let parts = PlannedParts::of(&self.config, prepared.statistics.dates.is_some());
        Ok((Plan { manifest, floor, parts }, prepared))
    }

    fn train_part(
        mut self,
        stage: Stage,
        member: usize,
        manifest: RunManifest,
        lease: &Lease,
    ) -> Result<Option<Vec<u8>>, Error> {
        let mut stream = self.open_stream(Some(manifest))?;
        self.lease = Some(lease.clone());
        self.fetch_checkpoint(stage, member)?;
        match stage {
            Stage::Training => self.train_ensemble_member(member, lease, &mut stream).map(|()| None),
            Stage::Origin(number) => self.train_backtest(number, &mut stream),
            Stage::Refit => self.train_refit_member(member, &mut stream).map(Some),
        }
    }

    /// Trains a member of the ensemble, whose epochs are stored as they end.
    fn train_ensemble_member(&self, member: usize, lease: &Lease, stream: &mut ListingStream<'_>) -> Result<(), Error> {
        self.fetch_prepared(Stage::Training)?;
        let stage = self.prepare_stage(Stage::Training, &self.config, stream)?;
        let statistics = stage.prepared.statistics.clone();
        let ranking = self.compare_epochs(&statistics)?;
        if ranking.is_over {
            return Ok(());
        }
        let mut upload = MemberUpload::new(self, lease, &statistics, ranking);
        let task = (&self.config, self.early_stopping(1));
        let rows = self.summary.rows.train;
        self.train_member(stage, task, (member, rows), stream, &mut |event: MemberEvent<'_>| upload.take(event))?;
        Ok(())
    }

    /// Trains a model of the backtest. Returns its checkpoint; `None` if there are too few listings before its cut day, or it is
    /// that of the model before.
    fn train_backtest(&self, number: usize, stream: &mut ListingStream<'_>) -> Result<Option<Vec<u8>>, Error> {
        let before = match number.checked_sub(1) {
            Some(before) => stream.hold_out_newest(HELD_OUT_SHARES[before])?,
            None => None,
        };
        let Some(since) = stream.hold_out_newest(HELD_OUT_SHARES[number])? else { return Ok(None) };
        if before == Some(since) || self.train_origin(since, number, stream)?.is_none() {
            return Ok(None);
        }
        let stage = Stage::Origin(number);
        let Some((prepared, Some(learner))) = self.folder.load(stage)? else { return Ok(None) };
        self.folder.save(stage, &prepared, Some(&learner.without_optimizer()))?;
        self.folder.read_checkpoint(stage)
    }

    /// Trains a member of the final network, and returns its weights.
    fn train_refit_member(&self, member: usize, stream: &mut ListingStream<'_>) -> Result<Vec<u8>, Error> {
        let prepared = self.load_prepared(Stage::Training)?.ok_or(Error::NotPlanned(self.id))?;
        let ranking = self.finished_ranking(&prepared)?;
        self.fetch_prepared(Stage::Refit)?;
        let Refit { stage, config, rule, rows } = self.prepare_refit(ranking.best_epoch, stream)?;
        self.share_prepared(Stage::Refit, &stage.prepared)?;
        self.train_member(stage, (&config, rule), (member, rows), stream, &mut |_| Ok(true))
    }

    /// Puts what the parts have stored into the folder, as checkpoints of stages that have finished.
    fn collect_parts(mut self, plan: &Plan) -> Result<(), Error> {
        self.config = self.config.for_rows(plan.manifest.rows.train);
        let RunContext { database, retry_for, .. } = self.context;
        let parts = database.run_parts();
        let prepared = self.load_prepared(Stage::Training)?.ok_or(Error::NotPlanned(self.id))?;
        let best_epoch = self.finished_ranking(&prepared)?.best_epoch;
        let weights = retry_while_unavailable(retry_for, async || parts.weights(self.id, number(best_epoch)).await);
        let state = LearnerState::finished(best_epoch, self.context.block_on(weights)?);
        self.folder.save(Stage::Training, &prepared, Some(&state))?;
        for origin in 0..plan.parts.backtests {
            if let Some(checkpoint) = self.load_result(Stage::Origin(origin), 0)? {
                self.folder.write_checkpoint(Stage::Origin(origin), &checkpoint)?;
            }
        }
        let refits = (0..plan.parts.refits).map(|member| self.load_result(Stage::Refit, member));
        let refits: Option<Vec<Vec<u8>>> = refits.collect::<Result<_, _>>()?;
        let refits = refits.filter(|members| !members.is_empty());
        if let (Some(members), Some(prepared)) = (refits, self.load_prepared(Stage::Refit)?) {
            self.folder.save(Stage::Refit, &prepared, Some(&LearnerState::finished(best_epoch, members)))?;
        }
        Ok(())
    }

    /// The ranking of all epochs, once all members are trained.
    fn finished_ranking(&self, prepared: &PreparedData) -> Result<EpochRanking, Error> {
        let ranking = self.compare_epochs(&prepared.statistics)?;
        if ranking.is_over {
            return Ok(ranking);
        }
        let RunContext { database, retry_for, .. } = self.context;
        let parts = database.run_parts();
        let states = retry_while_unavailable(retry_for, async || parts.list(self.id).await);
        let states = self.context.block_on(states)?.into_iter();
        let missing = states.filter(|part| part.stage == Stage::Training.name() && !part.is_finished);
        let members = missing.map(|part| part.member.to_string()).collect::<Vec<_>>().join(", ");
        Err(Error::PartsMissing { run: self.id, members })
    }

    fn load_result(&self, stage: Stage, member: usize) -> Result<Option<Vec<u8>>, Error> {
        let RunContext { database, retry_for, .. } = self.context;
        let parts = database.run_parts();
        let part = Part { run: self.id, stage: stage.name(), member: number(member) };
        self.context.block_on(retry_while_unavailable(retry_for, async || parts.result(&part).await))
    }

    /// The preprocessing of a stage, if a process has shared it.
    fn load_prepared(&self, stage: Stage) -> Result<Option<PreparedData>, Error> {
        let RunContext { database, retry_for, .. } = self.context;
        let (parts, stage) = (database.run_parts(), stage.name());
        let prepared = retry_while_unavailable(retry_for, async || parts.prepared(self.id, &stage).await);
        self.context.block_on(prepared)?.map(|bytes| decode(&bytes, self.id)).transpose()
    }

    /// Puts the preprocessing that a process has shared into the folder, unless there is a checkpoint.
    fn fetch_prepared(&self, stage: Stage) -> Result<(), Error> {
        if self.folder.load(stage)?.is_some() {
            return Ok(());
        }
        match self.load_prepared(stage)? {
            Some(prepared) => self.folder.save(stage, &prepared, None),
            None => Ok(()),
        }
    }

    fn share_prepared(&self, stage: Stage, prepared: &PreparedData) -> Result<(), Error> {
        let RunContext { database, retry_for, .. } = self.context;
        let (parts, stage, bytes) = (database.run_parts(), stage.name(), encode(prepared, self.id)?);
        let shared = retry_while_unavailable(retry_for, async || parts.store_prepared(self.id, &stage, &bytes).await);
        self.context.block_on(shared)
    }
}

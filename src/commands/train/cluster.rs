//! `probeg train --on slurm`: submits the parts of a run to a cluster and follows them to the registered version.

use std::ops::RangeInclusive;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use domain::Task;
use domain::identity::Split;
use storage::{RunDescription, RunOutcome, RunStatus, retry_while_unavailable};
use training::TrainConfig;
use training::train::{PlannedParts, RunContext, RunResult};

use super::execution::{Options, report_result, with_run_context};
use crate::context::Context;
use crate::output::err;
use crate::progress::ClusterProgress;
use crate::slurm::{Job, JobId, Jobs, TASK, describe};

/// What to train on a cluster.
pub enum Start<'a> {
    /// A new run.
    New(&'a TrainConfig, RunDescription),
    /// What is left of a run.
    Resume(i64),
}

/// The time between looks at the queue.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Trains a run on a cluster, reports the result and promotes it if asked to.
pub fn train(
    context: &Context,
    task: &Task,
    start: &Start<'_>,
    sbatch: &[String],
    options: Options,
) -> Result<RunResult> {
    let jobs = Jobs::new(&context.home.join("slurm"), sbatch.to_vec())?;
    let (run, config) = match start {
        Start::New(config, description) => {
            let create = |run_context: RunContext<'_>| training::train::create_run(config, description, run_context);
            (with_run_context(context, task, options.retry_for, create)?, (*config).clone())
        }
        Start::Resume(run) => {
            let record = context.block_on(context.database.runs().get(*run))?.ok_or(storage::Error::NoRun(*run))?;
            ensure!(record.status != RunStatus::Completed, "run {run} is complete; there is nothing to resume");
            context.block_on(context.database.runs().resume(*run))?;
            let config =
                serde_json::from_value(record.config).context("the configuration of the run cannot be read")?;
            (*run, config)
        }
    };
    err!("run {run} started");
    context.publishing.follow(run);
    let mut cluster_run = ClusterRun { context, options, run, jobs, progress: ClusterProgress::new() };
    let followed = cluster_run.submit(task, &config).and_then(|()| cluster_run.follow());
    let ClusterRun { jobs, progress, .. } = cluster_run;
    progress.end();
    match followed {
        Ok(()) => {
            jobs.end();
            let finish = |run_context: RunContext<'_>| training::train::finish(run, true, run_context);
            let trained = with_run_context(context, task, options.retry_for, finish)?;
            report_result(context, task, &trained, options.promote)?;
            Ok(trained)
        }
        Err(error) => {
            drop(jobs);
            give_up(context, run, &error);
            if context.stop.is_requested() {
                bail!(
                    "training was interrupted; nothing was registered; resume the run with `probeg train --on slurm --resume {run}`"
                );
            }
            Err(error)
        }
    }
}

/// Records why a run ended before its end.
fn give_up(context: &Context, run: i64, error: &anyhow::Error) {
    let is_stopped = context.stop.is_requested();
    let outcome = if is_stopped { RunOutcome::Interrupted } else { RunOutcome::Failed(format!("{error:#}")) };
    // Without it, the run counts as interrupted for lack of heartbeats.
    let _ = context.tokio.block_on(context.database.runs().finish(run, &outcome));
}

/// A run on a cluster.
struct ClusterRun<'a> {
    context: &'a Context,
    options: Options,
    run: i64,
    jobs: Jobs,
    progress: ClusterProgress,
}

/// What the database says of a run.
struct Look {
    is_complete: bool,
    /// Why a part failed, unless it has been started again since.
    error: Option<String>,
}

impl ClusterRun<'_> {
    /// Submits the parts of the run, each of which waits for those that it needs.
    fn submit(&mut self, task: &Task, config: &TrainConfig) -> Result<()> {
        let mut snapshot = self.context.snapshot(task)?;
        let [rows] = self.context.block_on(snapshot.rows([Split::Train.into()]))?;
        drop(snapshot);
        let time = training::train::time_limit(config, rows);
        // Without dates in the listings, the jobs of the backtest end at once.
        let PlannedParts { members, backtests, refits } = PlannedParts::of(config, true);
        let plan = self.submit_part(&["plan", "--run", &self.run.to_string()], None, &[], time, config)?;
        let mut needed = vec![plan];
        let run = self.run.to_string();
        if members > 0 {
            let arguments = ["member", &run, TASK, "--wait"];
            let all = self.submit_part(&arguments, Some(0..=members - 1), &[plan], time, config)?;
            needed.push(all);
            if backtests > 0 {
                let tasks = members..=members + backtests - 1;
                needed.push(self.submit_part(&arguments, Some(tasks), &[plan], time, config)?);
            }
            if refits > 0 {
                let arguments = ["member", &run, TASK, "--wait", "--refit"];
                needed.push(self.submit_part(&arguments, Some(0..=refits - 1), &[all], time, config)?);
            }
        }
        self.submit_part(&["finish", &run, "--wait"], None, &needed, time, config)?;
        Ok(())
    }

    fn submit_part(
        &mut self,
        arguments: &[&str],
        tasks: Option<RangeInclusive<usize>>,
        after: &[JobId],
        time: Duration,
        config: &TrainConfig,
    ) -> Result<JobId> {
        let name = if arguments.contains(&"--refit") { "refit" } else { arguments[0] };
        let retry_for = self.options.retry_for.as_secs().to_string();
        let retries = ["--retry-for", &retry_for];
        let arguments = ["train"].iter().chain(arguments).chain(&retries);
        self.jobs.submit(&Job {
            name: format!("probeg-{}-{name}", self.run),
            arguments: arguments.map(|argument| (*argument).to_owned()).collect(),
            tasks,
            after: after.to_vec(),
            // A member trains on one thread.
            cpus: 1,
            memory: config.memory,
            time,
        })
    }

    /// Waits until the version is registered.
    fn follow(&mut self) -> Result<()> {
        loop {
            if self.look()?.is_complete {
                return Ok(());
            }
            let tasks = self.jobs.tasks(self.options.retry_for)?;
            self.progress.show_queue(&describe(&tasks));
            if let Some(failure) = self.jobs.failure(&tasks) {
                // The database has the reason, unless the process was killed.
                return match self.look()? {
                    Look { is_complete: true, .. } => Ok(()),
                    Look { error: Some(error), .. } => Err(anyhow!(error)),
                    Look { error: None, .. } => Err(failure),
                };
            }
            self.context.sleep(POLL_INTERVAL)?;
        }
    }

    /// Looks at what the parts have noted in the database, and shows it. Counts as a heartbeat, since the jobs may be waiting in the
    /// queue.
    fn look(&self) -> Result<Look> {
        let (runs, parts, id) = (self.context.database.runs(), self.context.database.run_parts(), self.run);
        let looked = retry_while_unavailable(self.options.retry_for, async || {
            runs.heartbeat(id).await?;
            let run = runs.get(id).await?.ok_or(storage::Error::NoRun(id))?;
            Ok((run, parts.list(id).await?, runs.metrics(id).await?))
        });
        let (run, parts, epochs) = self.context.block_on(looked)?;
        self.progress.show_epochs(&epochs);
        self.progress.show_parts(&parts);
        if let Some(error) = run.error {
            bail!("{error}");
        }
        let error = parts.into_iter().find_map(|part| part.error);
        Ok(Look { is_complete: run.status == RunStatus::Completed, error })
    }
}

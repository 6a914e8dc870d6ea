//! `probeg sweep --on slurm`: submits processes that take the trials of a sweep, and follows them to its end.

use std::time::Duration;

use anyhow::{Result, ensure};
use domain::Task;
use domain::identity::Split;
use storage::{Sweep, TrialStatus, retry_while_unavailable};
use training::TrainConfig;

use crate::context::Context;
use crate::output::err;
use crate::slurm::{Job, Jobs};

/// How a sweep is spread over a cluster.
pub struct Workers<'a> {
    /// The number of processes.
    pub count: usize,
    /// More options of `sbatch`.
    pub sbatch: &'a [String],
    /// How long the database and Slurm may not answer.
    pub retry_for: Duration,
}

/// The time between looks at the sweep and the queue.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// Executes what is left of a sweep on a cluster.
pub fn work(context: &Context, task: &Task, sweep: &Sweep, config: &TrainConfig, workers: &Workers<'_>) -> Result<()> {
    let mut jobs = Jobs::new(&context.home.join("slurm"), workers.sbatch.to_vec())?;
    let retry_for = workers.retry_for.as_secs().to_string();
    let arguments = ["sweep", "work", &sweep.name, "--retry-for", &retry_for];
    jobs.submit(&Job {
        name: format!("probeg-sweep-{}", sweep.name),
        arguments: arguments.map(str::to_owned).to_vec(),
        tasks: Some(1..=workers.count),
        after: Vec::new(),
        // A member trains on one thread.
        cpus: config.k,
        memory: config.memory,
        time: time_limit(context, task, sweep, config, workers.count)?,
    })?;
    follow(context, sweep, &mut jobs, workers.retry_for)?;
    // Workers that are left find no trial and end by themselves.
    jobs.end();
    Ok(())
}

/// The time for as many trials as a process has if the others start late.
fn time_limit(context: &Context, task: &Task, sweep: &Sweep, config: &TrainConfig, workers: usize) -> Result<Duration> {
    let mut snapshot = context.snapshot(task)?;
    let [rows] = context.block_on(snapshot.rows([Split::Train.into()]))?;
    let trials = sweep.trials.div_ceil(u32::try_from(workers.div_ceil(2)).unwrap_or(1));
    Ok(training::train::time_limit(config, rows) * trials)
}

/// Waits until all trials have ended. A worker may fail, as long as others go on.
fn follow(context: &Context, sweep: &Sweep, jobs: &mut Jobs, retry_for: Duration) -> Result<()> {
    let sweeps = context.database.sweeps();
    let (mut shown, mut warned) = (0, false);
    loop {
        let trials = retry_while_unavailable(retry_for, async || sweeps.trials(sweep.id).await);
        let trials = context.block_on(trials)?;
        let ended: Vec<_> = trials.iter().filter(|trial| trial.status != TrialStatus::Running).collect();
        if ended.len() > shown {
            let best = Sweep::best(&trials).and_then(|trial| Some(format!("; best loss {:.5}", trial.loss?)));
            err!("{} of {} trials ended{}", ended.len(), sweep.trials, best.unwrap_or_default());
            shown = ended.len();
        }
        if ended.len() >= usize::try_from(sweep.trials).unwrap_or(usize::MAX) {
            return Ok(());
        }
        let tasks = jobs.tasks(retry_for)?;
        if let Some(failure) = jobs.failure(&tasks) {
            let others_go_on = tasks.iter().any(|task| task.state.is_pending());
            ensure!(others_go_on, failure);
            if !warned {
                err!("warning: {failure:#}; the other jobs go on");
            }
            warned = true;
        }
        jobs.report(&tasks);
        context.sleep(POLL_INTERVAL)?;
    }
}

//! The parts of a run that is split among processes: `probeg train plan`, `member` and `finish`.

use anyhow::Result;
use clap::{Args, Subcommand};
use serde_json::json;
use training::train::{PartOutcome, PlannedParts, RunContext, RunPart};

use super::execution::{Options, Retries, Settings, print_result, run_and_report, with_run_context};
use crate::context::Context;
use crate::output::{err, out};
use crate::process::Process;

/// A part of a run, for an engine that spreads them over machines.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// Plan a run that is trained by several processes, on any machines with the same `DATABASE_URL`
    #[command(after_help = "Example: probeg train plan --set k=8 --json")]
    Plan(PlanArguments),
    /// Train a member of a planned run, or a model of its backtest
    #[command(after_help = "Example: probeg train member 7 0")]
    Member(MemberArguments),
    /// Calibrate, evaluate and register a planned run, once all of its members are trained
    #[command(after_help = "Example: probeg train finish 7 --promote")]
    Finish(FinishArguments),
}

#[derive(Debug, Args)]
pub struct PlanArguments {
    #[command(flatten)]
    settings: Settings,
    /// Print the parts of a run that is planned already, or plan it if it was interrupted
    #[arg(long, value_name = "RUN", conflicts_with_all = ["task", "config", "set", "memory", "no_spool"])]
    run: Option<i64>,
    #[command(flatten)]
    retries: Retries,
    /// Print the run and its parts as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct MemberArguments {
    /// The number of the run
    run: i64,
    /// The number of the member, starting at 0; the models of the backtest follow after the members
    number: usize,
    /// Train this member of the final network, which is trained on the validation listings too, once all members are trained
    #[arg(long)]
    refit: bool,
    /// If another process trains this member, wait until it has or has failed to
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    retries: Retries,
}

#[derive(Debug, Args)]
pub struct FinishArguments {
    /// The number of the run
    run: i64,
    /// If another process finishes this run, wait until it has or has failed to
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    retries: Retries,
    /// Promote the new version
    #[arg(long)]
    promote: bool,
    /// Print the version and its accuracy card as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(process: &Process, part: &Part) -> Result<()> {
    let context = Context::open_shared(process)?;
    match part {
        Part::Plan(arguments) => plan(&context, arguments),
        Part::Member(arguments) => member(&context, arguments),
        Part::Finish(arguments) => finish(&context, arguments),
    }
}

fn plan(context: &Context, arguments: &PlanArguments) -> Result<()> {
    let retry_for = arguments.retries.duration();
    let (task, run) = if let Some(run) = arguments.run {
        (context.task_of_run(run)?, run)
    } else {
        let config = arguments.settings.read()?;
        let task = context.task(arguments.settings.task.as_deref())?;
        let description = arguments.settings.description(context)?;
        let create = |run_context: RunContext<'_>| training::train::create_run(&config, &description, run_context);
        let run = with_run_context(context, &task, retry_for, create)?;
        err!("run {run} started");
        (task, run)
    };
    let parts = with_run_context(context, &task, retry_for, |run_context| training::train::plan(run, run_context))?;
    let PlannedParts { members, backtests, refits } = parts;
    if arguments.json {
        out!("{:#}", json!({ "run": run, "members": members, "backtests": backtests, "refits": refits }))?;
        return Ok(());
    }
    out!("run {run} is planned")?;
    if let Some(last) = (members + backtests).checked_sub(1) {
        out!("train `probeg train member {run} NUMBER` for each NUMBER from 0 to {last}, anywhere and in any order")?;
    }
    if let Some(last) = refits.checked_sub(1) {
        out!("then `probeg train member {run} NUMBER --refit` for each NUMBER from 0 to {last}")?;
    }
    out!("then `probeg train finish {run}`")?;
    Ok(())
}

fn member(context: &Context, arguments: &MemberArguments) -> Result<()> {
    let MemberArguments { run, number, refit, wait, retries } = arguments;
    let task = context.task_of_run(*run)?;
    let part = if *refit { RunPart::Refit(*number) } else { RunPart::Member(*number) };
    let train = |run_context: RunContext<'_>| training::train::train_part(*run, part, *wait, run_context);
    match with_run_context(context, &task, retries.duration(), train)? {
        PartOutcome::Done => out!("member {number} of run {run} is trained")?,
        PartOutcome::WasDone => out!("member {number} of run {run} was trained before; there is nothing to do")?,
    }
    Ok(())
}

fn finish(context: &Context, arguments: &FinishArguments) -> Result<()> {
    let FinishArguments { run, wait, retries, promote, json } = arguments;
    let task = context.task_of_run(*run)?;
    let options = Options { promote: *promote, retry_for: retries.duration(), has_log: true };
    context.publishing.follow(*run);
    let trained =
        run_and_report(context, &task, options, |run_context| training::train::finish(*run, *wait, run_context))?;
    print_result(&task, &trained, *promote, *json)
}

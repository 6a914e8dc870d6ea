//! Jobs on a Slurm cluster: submits, follows and cancels them through Slurm's own commands.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use bytesize::ByteSize;
use clap::{Args, ValueEnum};

use crate::output::err;

/// Where to execute a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The nodes of a Slurm cluster
    Slurm,
}

/// The cluster to execute a command on.
#[derive(Debug, Args)]
pub struct ClusterOptions {
    /// Execute the parts on a cluster, each as a job of its own; `DATABASE_URL` must be reachable from its nodes
    #[arg(long, value_name = "ENGINE")]
    pub on: Option<Engine>,
    /// An option of `sbatch` for all jobs, such as `--partition=short`; may be repeated
    #[arg(long, value_name = "OPTION", requires = "on", allow_hyphen_values = true)]
    pub sbatch: Vec<String>,
}

/// An argument of a job that stands for the number of its task.
pub const TASK: &str = "$SLURM_ARRAY_TASK_ID";

/// The number of a job, which is that of all tasks of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobId(u32);

/// A job to submit: a command of this program.
#[derive(Clone, Debug)]
pub struct Job {
    /// The name in the queue.
    pub name: String,
    /// The arguments of the command; [`TASK`] is replaced by the number of the task.
    pub arguments: Vec<String>,
    /// The numbers of the tasks of an array; `None` for a single job.
    pub tasks: Option<RangeInclusive<usize>>,
    /// The jobs that must have succeeded before.
    pub after: Vec<JobId>,
    /// The processors of each task.
    pub cpus: usize,
    /// The memory limit of each task.
    pub memory: ByteSize,
    /// The time limit of each task.
    pub time: Duration,
}

/// The state of a task of a submitted job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// The job.
    pub job: JobId,
    /// The number within an array.
    pub number: Option<usize>,
    /// What Slurm says of it.
    pub state: State,
}

/// What Slurm says of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It waits, for this reason.
    Waiting(String),
    /// It runs on this node.
    Running(String),
    /// It has succeeded.
    Completed,
    /// It has ended otherwise, such as `FAILED`, `TIMEOUT` or `OUT_OF_MEMORY`.
    Failed(String),
}

impl State {
    /// Whether the task has not ended.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::Waiting(_) | Self::Running(_))
    }
}

/// The jobs of a command, which are cancelled when it is dropped.
#[derive(Debug)]
pub struct Jobs {
    /// The jobs with their names.
    submitted: Vec<(JobId, String)>,
    /// The program that the jobs run.
    program: PathBuf,
    /// The folder of the jobs' output.
    logs: PathBuf,
    /// More options of `sbatch`, such as a partition.
    options: Vec<String>,
    /// When the queue last had one of them.
    known_at: Instant,
    /// What was last said of them.
    said: String,
}

/// How long the queue may not know the jobs, as between a node's failure and their return to the queue.
const MISSING_FOR: Duration = Duration::from_mins(1);

impl Jobs {
    /// Prepares to submit jobs with more options of `sbatch`, whose output goes to a folder that the nodes share.
    ///
    /// # Errors
    /// Slurm is not installed, or the folder is not writable.
    pub fn new(logs: &Path, options: Vec<String>) -> Result<Self> {
        call(Command::new("sbatch").arg("--version"))?;
        let program = std::env::current_exe().context("the path of this program is unknown")?;
        let failed = || format!("{} cannot be created", logs.display());
        std::fs::create_dir_all(logs).with_context(failed)?;
        let logs = logs.canonicalize().with_context(failed)?;
        Ok(Self { submitted: Vec::new(), program, logs, options, known_at: Instant::now(), said: String::new() })
    }

    /// Submits a job. If its node fails, Slurm queues it again; if a job that it depends on fails, it is cancelled.
    ///
    /// # Errors
    /// Slurm refuses it.
    pub fn submit(&mut self, job: &Job) -> Result<JobId> {
        let mut command = Command::new("sbatch");
        command.args(["--parsable", "--requeue", "--open-mode=append", "--kill-on-invalid-dep=yes", "--nodes=1"]);
        command.arg(format!("--job-name={}", job.name));
        command.arg(format!("--cpus-per-task={}", job.cpus));
        command.arg(format!("--mem={}M", job.memory.as_u64().div_ceil(1 << 20)));
        command.arg(format!("--time={}", job.time.as_secs().div_ceil(60).max(1)));
        let log = if job.tasks.is_some() { "%x-%a.log" } else { "%x.log" };
        command.arg(format!("--output={}", self.logs.join(log).display()));
        command.args(job.tasks.as_ref().map(|tasks| format!("--array={}-{}", tasks.start(), tasks.end())));
        if !job.after.is_empty() {
            let after: Vec<String> = job.after.iter().map(|JobId(id)| id.to_string()).collect();
            command.arg(format!("--dependency=afterok:{}", after.join(":")));
        }
        command.args(&self.options).arg("--wrap").arg(self.script(&job.arguments));
        let output = call(&mut command)?;
        // The name of the cluster may follow after a semicolon.
        let id = output.trim().split(';').next().and_then(|id| id.parse().ok());
        let id = JobId(id.with_context(|| format!("sbatch did not name the job, but said {output:?}"))?);
        self.submitted.push((id, job.name.clone()));
        Ok(id)
    }

    fn script(&self, arguments: &[String]) -> String {
        let arguments = arguments.iter().map(|argument| match argument.as_str() {
            TASK => format!("\"{TASK}\""),
            text => quote(text),
        });
        let command: Vec<String> = [quote(&self.program.to_string_lossy())].into_iter().chain(arguments).collect();
        format!("exec {}", command.join(" "))
    }

    /// The tasks that Slurm knows: all that wait or run, and those that ended within the last minutes. Empty if Slurm does not
    /// answer, for up to `patience`.
    ///
    /// # Errors
    /// Slurm has not answered for that long, or has not known the jobs for a while, so that whoever waits for their results waits
    /// in vain.
    pub fn tasks(&mut self, patience: Duration) -> Result<Vec<Task>> {
        match self.query() {
            Ok(tasks) if tasks.iter().any(|task| task.state.is_pending()) => {
                self.known_at = Instant::now();
                Ok(tasks)
            }
            Ok(_) if self.known_at.elapsed() > MISSING_FOR => {
                bail!("the jobs have left the queue without a result; see {}", self.logs.display());
            }
            Ok(tasks) => Ok(tasks),
            // The controller may be starting again.
            Err(error) if self.known_at.elapsed() <= patience => {
                tracing::warn!("{error:#}; trying again.");
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    /// Says what these tasks run on and wait for, if that has changed.
    pub fn report(&mut self, tasks: &[Task]) {
        let state = describe(tasks);
        if state != self.said {
            err!("{state}");
            self.said = state;
        }
    }

    fn query(&self) -> Result<Vec<Task>> {
        let mut command = Command::new("squeue");
        command.args(["--noheader", "--array", "--states=all", "--format=%F|%K|%T|%r|%N"]);
        command.arg(format!("--jobs={}", self.list(",")));
        match call(&mut command) {
            Ok(output) => Ok(output.lines().filter_map(parse_task).collect()),
            // Slurm has forgotten all of them.
            Err(error) if error.to_string().contains("Invalid job id") => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// The error of the first of these tasks that has failed.
    pub fn failure(&self, tasks: &[Task]) -> Option<anyhow::Error> {
        let failed = tasks.iter().filter_map(|task| match &task.state {
            State::Failed(state) => Some((task, state.as_str())),
            _ => None,
        });
        // A job is also cancelled because one that it needs has failed.
        let (task, state) = failed.min_by_key(|(_, state)| *state == "CANCELLED")?;
        if let Some(reason) = self.reason(task) {
            return Some(anyhow!(reason));
        }
        let hint = match state {
            "OUT_OF_MEMORY" => "; allow more with --memory or --sbatch=--mem=SIZE",
            "TIMEOUT" => "; allow more with --sbatch=--time=HOURS:00:00",
            _ => "",
        };
        Some(anyhow!("a job ended as {state}{hint}; see {}", self.logs.display()))
    }

    /// The error that a task has reported in its output.
    fn reason(&self, task: &Task) -> Option<String> {
        let (_, name) = self.submitted.iter().find(|(id, _)| *id == task.job)?;
        let log = task.number.map_or_else(|| format!("{name}.log"), |number| format!("{name}-{number}.log"));
        let output = std::fs::read_to_string(self.logs.join(log)).ok()?;
        output.lines().rev().find_map(|line| line.strip_prefix("error: ")).map(str::to_owned)
    }

    /// Forgets the jobs, which have ended.
    pub fn end(mut self) {
        self.submitted.clear();
    }

    fn list(&self, separator: &str) -> String {
        self.submitted.iter().map(|(JobId(id), _)| id.to_string()).collect::<Vec<_>>().join(separator)
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        if self.submitted.is_empty() {
            return;
        }
        let ids = self.submitted.iter().map(|(JobId(id), _)| id.to_string());
        match call(Command::new("scancel").args(ids)) {
            Ok(_) => err!("the jobs on the cluster were cancelled"),
            Err(error) => err!("warning: {error:#}; cancel the jobs with `scancel {}`", self.list(" ")),
        }
    }
}

/// What these tasks run on and wait for, as part of a sentence.
pub fn describe(tasks: &[Task]) -> String {
    let states = tasks.iter().filter_map(|task| match &task.state {
        State::Running(node) => Some(format!("running on {node}")),
        State::Waiting(reason) if reason != "Dependency" => Some(format!("waiting: {reason}")),
        _ => None,
    });
    states.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

fn parse_task(line: &str) -> Option<Task> {
    let [job, number, state, reason, node] = line.trim().split('|').collect::<Vec<_>>().try_into().ok()?;
    let state = match state {
        // A job whose node failed or that was preempted is queued again.
        "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_HOLD" | "REQUEUE_FED" | "SPECIAL_EXIT" | "SUSPENDED"
        | "NODE_FAIL" | "PREEMPTED" | "RESV_DEL_HOLD" => State::Waiting(reason.to_owned()),
        "RUNNING" | "COMPLETING" | "SIGNALING" | "STAGE_OUT" | "STOPPED" | "RESIZING" => {
            State::Running(node.to_owned())
        }
        "COMPLETED" => State::Completed,
        other => State::Failed(other.to_owned()),
    };
    Some(Task { job: JobId(job.parse().ok()?), number: number.parse().ok(), state })
}

/// Runs a command of Slurm and returns its output.
fn call(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let Output { status, stdout, stderr } = match command.stdin(Stdio::null()).output() {
        Err(error) if error.kind() == ErrorKind::NotFound => bail!(
            "`{name}` was not found: jobs are submitted by Slurm's own commands; install them (on Debian: `apt-get install \
             slurm-client munge`) and configure this machine as a submit host of your cluster"
        ),
        output => output.with_context(|| format!("{name} cannot be run"))?,
    };
    ensure!(status.success(), "{name} failed: {}", String::from_utf8_lossy(&stderr).trim());
    Ok(String::from_utf8_lossy(&stdout).into_owned())
}

/// Quotes a word for the shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_are_read_from_the_queue() {
        let task = |line| parse_task(line).unwrap();
        let expected = Task { job: JobId(12), number: Some(3), state: State::Running("n1".to_owned()) };
        assert_eq!(task("12|3|RUNNING|None|n1"), expected);
        let expected = Task { job: JobId(13), number: None, state: State::Waiting("Dependency".to_owned()) };
        assert_eq!(task("13|N/A|PENDING|Dependency|"), expected);
        assert_eq!(task("13|N/A|OUT_OF_MEMORY|OutOfMemory|n2").state, State::Failed("OUT_OF_MEMORY".to_owned()));
        assert_eq!(parse_task("slurm_load_jobs error"), None);
    }

    #[test]
    fn words_survive_the_shell() {
        let output = Command::new("sh").arg("-c").arg(format!("printf %s {}", quote("it's $HOME \"x\""))).output();
        assert_eq!(output.unwrap().stdout, b"it's $HOME \"x\"");
    }
}

//! Records figures and the log of a run beside its training, which it neither slows nor stops.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::Utc;
use storage::{FigurePoint, LogLine, RunOutcome, Runs};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinHandle;
use tokio::time::{timeout, timeout_at};

use super::context::{Progress, RunContext, this_process};
use crate::stream::wait_for_stop;

/// The number of records that are kept while the database is unavailable: those of hours.
const BUFFER: usize = 65_536;
/// The time between batches.
const BATCH_INTERVAL: Duration = Duration::from_secs(1);
/// The maximum number of records in a batch.
const MAX_BATCH: usize = 5_000;
/// The maximum number of points of a figure by step.
const MAX_POINTS: u64 = 1_000;
/// The time between figures of the machine.
const SYSTEM_INTERVAL: Duration = Duration::from_secs(5);
/// The time limit of a batch, for network failures that are not reported.
const RESPONSE_TIMEOUT: Duration = Duration::from_mins(1);
/// How long to wait for the last batch after a run was stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// Records the progress of a run.
pub(super) struct Recorder {
    records: Sender<Record>,
    writer: JoinHandle<()>,
    state: Mutex<State>,
    /// The number of records for which there was no room.
    dropped: AtomicU64,
    /// What this process does of a run that is split among processes.
    part: Option<String>,
    /// Whether figures by step and of the machine are recorded.
    has_steps: bool,
}

enum Record {
    Point(FigurePoint),
    Line(LogLine),
}

/// What has been recorded.
struct State {
    /// What precedes the names of figures; `None` in stages whose figures are not recorded.
    prefix: Option<&'static str>,
    /// The last step, and how far it was of [`MAX_POINTS`].
    step: u64,
    share: Option<u64>,
    /// The last figures of the machine: when, the rows and the processor seconds by then.
    system: Option<(Instant, u64, f64)>,
}

impl Recorder {
    /// Starts to write what [`Recorder::note`] receives.
    pub(super) fn start(run: i64, context: RunContext<'_>) -> Self {
        Self::start_as(None, true, run, context)
    }

    /// The same for a part of a run, which is named in the log. Figures by step are those of one of the members, which are alike.
    pub(super) fn start_part(part: String, has_steps: bool, run: i64, context: RunContext<'_>) -> Self {
        Self::start_as(Some(part), has_steps, run, context)
    }

    fn start_as(part: Option<String>, has_steps: bool, run: i64, context: RunContext<'_>) -> Self {
        let (records, received) = channel(BUFFER);
        let writer = context.handle.spawn(write(run, context.database.runs(), received));
        let state = State { prefix: Some(""), step: 0, share: None, system: None };
        let (state, dropped) = (Mutex::new(state), AtomicU64::new(0));
        let recorder = Self { records, writer, state, dropped, part, has_steps };
        recorder.line(match recorder.part {
            None => format!("training with Probeg {}", context.program),
            Some(_) => format!("started by {}", this_process()),
        });
        recorder
    }

    /// Records an event of the run.
    pub(super) fn note(&self, event: &Progress) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Progress::Step(step) => {
                state.step = step.number;
                let Some(prefix) = state.prefix.filter(|_| self.has_steps) else { return };
                let share = Some(step.rows.saturating_mul(MAX_POINTS) / step.max_rows.max(1));
                // The loss is 0 until the members have reported the first one of an epoch.
                if share != state.share && step.loss > 0.0 {
                    state.share = share;
                    self.point(prefix, "train_loss", step.number, step.loss);
                }
                if state.system.is_none_or(|(at, ..)| at.elapsed() >= SYSTEM_INTERVAL) {
                    self.record_system(&mut state, prefix, step.rows);
                }
            }
            Progress::Epoch(epoch, metrics) => {
                let step = state.step;
                self.point("", "validation_loss", step, metrics.validation_loss);
                self.point("", "validation_mape", step, metrics.validation_mape);
                self.point("", "learning_rate", step, metrics.learning_rate);
                // Of all members, whichever process has compared them.
                self.send_line(format!(
                    "epoch {epoch}: training loss {:.4}, validation loss {:.4}, validation MAPE {:.2} %",
                    metrics.train_loss,
                    metrics.validation_loss,
                    100.0 * metrics.validation_mape
                ));
            }
            Progress::Refitting(epochs) => {
                *state = State { prefix: Some("refit_"), step: 0, share: None, system: None };
                self.line(format!("training again on the training and validation splits for {epochs} epochs"));
            }
            Progress::Backtesting(day) => {
                state.prefix = None;
                self.line(format!("backtest: training on the listings before {day}"));
            }
            // Reported before there is a recorder.
            Progress::Started(_) | Progress::Resumed(_) | Progress::Restarted(_) => {}
            Progress::ResumedEpoch(epoch) => self.line(format!("resumed in epoch {epoch}")),
            Progress::Fitting => self.line("fitting the preprocessing".to_owned()),
            Progress::Fitted(rows, _) => self.line(format!(
                "listings: {} to train on, {} to validate, {} to test",
                rows.train, rows.validation, rows.test
            )),
            Progress::FittedLinear { penalty, .. } => {
                self.line(format!("fitted a linear model with a penalty of {penalty}"));
            }
            Progress::Floor(floor) => self.line(format!("MAPE of the linear model: {:.2} %", 100.0 * floor.mape)),
            Progress::Evaluating => self.line("measuring the accuracy".to_owned()),
            Progress::Agreed(difference) => {
                self.line(format!("the exported file agrees with the network up to {difference:.1e}"));
            }
        }
    }

    /// Writes what is left, unless the run has ended for want of the database or is stopped.
    pub(super) fn finish(self, outcome: &RunOutcome, context: RunContext<'_>, retry_for: Duration) {
        match outcome {
            RunOutcome::Completed => self.line("completed".to_owned()),
            RunOutcome::Interrupted => self.line("interrupted".to_owned()),
            RunOutcome::Failed(error) => self.line(format!("failed: {error}")),
        }
        let Self { records, mut writer, dropped, .. } = self;
        drop(records);
        let is_written = context.handle.block_on(async {
            tokio::select! {
                _ = &mut writer => true,
                () = tokio::time::sleep(retry_for.max(STOP_TIMEOUT)) => false,
                () = async {
                    wait_for_stop(context.stop).await;
                    tokio::time::sleep(STOP_TIMEOUT).await;
                } => false,
            }
        });
        if !is_written {
            writer.abort();
        }
        let dropped = dropped.into_inner();
        if dropped > 0 || !is_written {
            tracing::warn!(
                "Some figures of the run were not recorded, since the database was unavailable for too long."
            );
        }
    }

    /// Stops without what is left, since another process has taken the run over and records it.
    pub(super) fn abandon(self) {
        self.writer.abort();
    }

    /// Records the throughput, the memory and the processors in use.
    fn record_system(&self, state: &mut State, prefix: &'static str, rows: u64) {
        let (now, cpu) = (Instant::now(), cpu_seconds().unwrap_or_default());
        if let Some((before, rows_before, cpu_before)) = state.system {
            let seconds = now.duration_since(before).as_secs_f64();
            #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
            let rows = rows.saturating_sub(rows_before) as f64;
            self.point(prefix, "rows_per_second", state.step, rows / seconds);
            self.point(prefix, "cpu", state.step, (cpu - cpu_before) / seconds);
        }
        if let Some(memory) = resident_bytes() {
            self.point(prefix, "memory", state.step, memory);
        }
        state.system = Some((now, rows, cpu));
    }

    fn point(&self, prefix: &str, name: &str, step: u64, value: f64) {
        if value.is_finite() {
            self.send(Record::Point(FigurePoint { name: format!("{prefix}{name}"), step, value, at: Utc::now() }));
        }
    }

    fn line(&self, message: String) {
        self.send_line(match &self.part {
            Some(part) => format!("{part}: {message}"),
            None => message,
        });
    }

    fn send_line(&self, message: String) {
        self.send(Record::Line(LogLine { at: Utc::now(), message }));
    }

    fn send(&self, record: Record) {
        if self.records.try_send(record).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Writes records in batches until there are no more. While the database is unavailable, they wait in the channel.
async fn write(run: i64, runs: Runs, mut records: Receiver<Record>) {
    let mut is_open = true;
    while is_open {
        let deadline = tokio::time::Instant::now() + BATCH_INTERVAL;
        let (mut points, mut lines) = (Vec::new(), Vec::new());
        while points.len() + lines.len() < MAX_BATCH {
            match timeout_at(deadline, records.recv()).await {
                Ok(Some(Record::Point(point))) => points.push(point),
                Ok(Some(Record::Line(line))) => lines.push(line),
                Ok(None) => {
                    is_open = false;
                    break;
                }
                Err(_) => break,
            }
        }
        loop {
            match timeout(RESPONSE_TIMEOUT, runs.record(run, &points, &lines)).await {
                Ok(Ok(())) => break,
                Ok(Err(error)) if !error.is_unavailable() => {
                    tracing::warn!("Figures of run {run} were not recorded: {error}.");
                    break;
                }
                // Training itself reports that the database is unavailable.
                Ok(Err(_)) | Err(_) => tokio::time::sleep(BATCH_INTERVAL).await,
            }
        }
    }
}

/// The resident memory of the process, where the system tells it.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(1024.0 * line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()?)
}

/// The processor time of the process, where the system tells it.
fn cpu_seconds() -> Option<f64> {
    /// Linux reports times in hundredths of a second, whatever the clock of the kernel.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program may have blanks; the fields after it start with the third one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

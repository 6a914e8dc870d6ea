//! Progress of long commands: a bar on a terminal, otherwise plain lines.

use std::cell::RefCell;
use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use report::Stage;
use storage::{EpochMetrics, PartState};
use training::train::Progress;

use crate::output::err;

/// Shows the number of rows processed so far.
pub struct RowProgress(ProgressBar);

impl RowProgress {
    pub fn new(what: &str) -> Self {
        let bar = if is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}: {human_pos} rows, {per_sec}") {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        Self(bar)
    }

    pub fn set_rows(&self, rows: u64) {
        self.0.set_position(rows);
    }

    pub fn end(self) {
        self.0.finish_and_clear();
    }
}

/// Shows the progress of the data report.
pub struct ReportProgress(ProgressBar);

impl ReportProgress {
    pub fn new() -> Self {
        let bar = if is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    pub fn stage(&self, stage: Stage) {
        let message = match stage {
            Stage::Counting => "counting listings, sources and missing values".to_owned(),
            Stage::Sampling => "drawing a sample".to_owned(),
            Stage::Column(name) => format!("profiling {name}"),
            Stage::Comparing => "looking for duplicates and implausible values".to_owned(),
            Stage::Market => "computing the price level of the market".to_owned(),
        };
        if is_terminal() {
            self.0.set_message(message);
        } else {
            err!("{message}");
        }
    }

    pub fn end(self) {
        self.0.finish_and_clear();
    }
}

/// Shows the progress of a run whose parts are jobs of a cluster.
pub struct ClusterProgress {
    bar: ProgressBar,
    /// What has been shown.
    shown: RefCell<Shown>,
}

#[derive(Debug, Default)]
struct Shown {
    trained: usize,
    epochs: usize,
    queue: String,
}

impl ClusterProgress {
    pub fn new() -> Self {
        let bar = if is_terminal() { ProgressBar::new(CLUSTER_STEPS) } else { ProgressBar::hidden() };
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {percent}% · {elapsed}") {
            bar.set_style(style);
        }
        Self { bar, shown: RefCell::default() }
    }

    /// Shows how far the parts of the run are.
    pub fn show_parts(&self, parts: &[PartState]) {
        #[expect(clippy::cast_precision_loss, reason = "row counts are far below 2^52")]
        let share = |part: &PartState| {
            if part.is_finished { 1.0 } else { part.rows as f64 / part.max_rows.max(1) as f64 }
        };
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of a small number"
        )]
        self.bar.set_position(
            (parts.iter().map(share).sum::<f64>() / parts.len().max(1) as f64 * CLUSTER_STEPS as f64) as u64,
        );
        let trained = parts.iter().filter(|part| part.is_finished).count();
        let mut shown = self.shown.borrow_mut();
        if trained > shown.trained {
            shown.trained = trained;
            // The last part is the end of the run.
            self.line(&format!("{trained} of {} parts trained", parts.len() - 1));
        }
    }

    /// Shows the epochs that all members have trained for since the last call.
    pub fn show_epochs(&self, epochs: &[EpochMetrics]) {
        let mut shown = self.shown.borrow_mut();
        for epoch in epochs.iter().skip(shown.epochs) {
            let metric = |name: &str| epoch.metrics[name].as_f64().unwrap_or(f64::NAN);
            self.line(&format!(
                "epoch {}: loss {:.4}, validation loss {:.4}, validation MAPE {:.2} %",
                epoch.epoch,
                metric("train_loss"),
                metric("validation_loss"),
                100.0 * metric("validation_mape"),
            ));
        }
        shown.epochs = epochs.len();
    }

    /// Shows where the jobs run and what they wait for.
    pub fn show_queue(&self, queue: &str) {
        self.bar.set_message(queue.to_owned());
        let mut shown = self.shown.borrow_mut();
        if queue != shown.queue && !is_terminal() {
            err!("{queue}");
        }
        queue.clone_into(&mut shown.queue);
    }

    pub fn end(self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| err!("{text}"));
    }
}

/// The resolution of the bar of a cluster.
const CLUSTER_STEPS: u64 = 1000;

/// Shows the progress of a training run.
pub struct TrainingProgress {
    bar: ProgressBar,
}

impl TrainingProgress {
    pub fn new() -> Self {
        let bar = if is_terminal() { ProgressBar::no_length() } else { ProgressBar::hidden() };
        let template = "{msg} {wide_bar} {percent}% · {per_sec} · at most {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.with_key(
                "per_sec",
                |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                    let _ = write!(out, "{:.0} rows/s", state.per_sec());
                },
            ));
        }
        Self { bar }
    }

    pub fn show(&self, progress: Progress) {
        match progress {
            Progress::Started(run) => self.line(&format!("run {run} started")),
            Progress::Resumed(run) => self.line(&format!("run {run} resumed")),
            Progress::Restarted(run) => {
                self.line(&format!("no checkpoint of run {run} was found here; restarting from the beginning"));
            }
            Progress::ResumedEpoch(epoch) => self.line(&format!("training resumes in epoch {epoch}")),
            Progress::Fitting => self.line("fitting vocabularies and bins"),
            Progress::Fitted(rows, known) => {
                let known: Vec<String> = known.iter().map(|(name, count)| format!("{name} {count}")).collect();
                self.line(&format!(
                    "{} listings for training, {} for validation, {} for testing; known values: {}",
                    HumanCount(rows.train),
                    HumanCount(rows.validation),
                    HumanCount(rows.test),
                    known.join(", "),
                ));
            }
            Progress::FittedLinear { penalty, duration } => self.line(&format!(
                "the linear model is fitted in {:.1} s, with a penalty of {penalty}",
                duration.as_secs_f64()
            )),
            Progress::Floor(floor) => {
                self.line(&format!("the floor, a linear model, has a MAPE of {:.2} %", 100.0 * floor.mape));
            }
            Progress::Step(step) => {
                self.bar.set_length(step.max_rows);
                self.bar.set_position(step.rows);
                self.bar.set_message(format!("epoch {} · loss {:.4}", step.epoch, step.loss));
            }
            Progress::Epoch(epoch, metrics) => self.line(&format!(
                "epoch {epoch}: loss {:.4}, validation loss {:.4}, validation MAPE {:.2} %, {:.0} rows/s, {}",
                metrics.train_loss,
                metrics.validation_loss,
                100.0 * metrics.validation_mape,
                metrics.rows_per_second,
                HumanDuration(Duration::from_secs_f64(metrics.seconds)),
            )),
            Progress::Refitting(epochs) => {
                self.line(&format!("training again for {epochs} epochs, including the validation listings"));
            }
            Progress::Backtesting(since) => {
                self.line(&format!(
                    "training a smaller model without the listings since {since}, to evaluate it on these"
                ));
            }
            Progress::Evaluating => self.line("evaluating"),
            Progress::Agreed(difference) => {
                self.line(&format!(
                    "the exported file agrees with the trained model up to a relative difference of {difference:.1e}"
                ));
                self.bar.finish_and_clear();
            }
        }
    }

    fn line(&self, text: &str) {
        self.bar.suspend(|| err!("{text}"));
    }
}

fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}

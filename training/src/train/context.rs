//! The context and the progress of a run.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use chrono::NaiveDate;
use domain::accuracy::{Accuracy, AccuracyCard};
use domain::{SplitCounts, Task};
use onnx_model::Runtime;
use storage::Database;
use tokio::runtime::Handle;

use crate::Error;
use crate::learner::{EpochMetrics, Step};
use crate::stream;

/// Progress events of a run.
#[derive(Clone, Debug)]
pub enum Progress {
    /// The run was created with this number.
    Started(i64),
    /// The run is being resumed.
    Resumed(i64),
    /// The run has no checkpoint here, so it restarts from the beginning.
    Restarted(i64),
    /// Training resumes in this epoch, starting at 1.
    ResumedEpoch(usize),
    /// The preprocessing is being fitted.
    Fitting,
    /// The preprocessing is fitted: the listings of each split, and the vocabulary size of each category.
    Fitted(SplitCounts, Vec<(String, usize)>),
    /// A linear model is fitted.
    FittedLinear {
        /// The ridge penalty that was best on the validation split.
        penalty: f64,
        /// The time it took.
        duration: Duration,
    },
    /// The accuracy of the linear model on the test split, which the network must beat.
    Floor(Accuracy),
    /// A training step.
    Step(Step),
    /// The end of an epoch, starting at 1.
    Epoch(usize, EpochMetrics),
    /// The network is trained again for this many epochs, including the validation split.
    Refitting(usize),
    /// A smaller model is trained on the listings before this date and evaluated on the newer ones.
    Backtesting(NaiveDate),
    /// The accuracy is being measured.
    Evaluating,
    /// The exported file agrees with the network up to this relative difference.
    Agreed(f64),
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// The number of the run.
    pub run: i64,
    /// The registered version.
    pub version: i64,
    /// The accuracy on the test split.
    pub card: Option<AccuracyCard>,
}

/// The environment of a run.
#[derive(Clone, Copy)]
pub struct RunContext<'a> {
    /// What to learn.
    pub task: &'a Task,
    /// The database of models and of the listings of the task's market.
    pub database: &'a Database,
    /// The async runtime of the database client.
    pub handle: &'a Handle,
    /// The version of the program, with the git revision if it was built from a checkout.
    pub program: &'static str,
    /// The ONNX runtime for the exported file.
    pub runtime: &'a Runtime,
    /// The folder for checkpoints and spools.
    pub home: &'a Path,
    /// How long to wait for an unavailable database.
    pub retry_for: Duration,
    /// The date of the run.
    pub today: NaiveDate,
    /// Whether to record figures by step and of the machine, the log of the run, and which listings there were.
    pub has_log: bool,
    /// Set to interrupt the run at the next batch.
    pub stop: &'a AtomicBool,
    /// Receives progress events.
    pub report: &'a (dyn Fn(Progress) + Sync),
}

impl RunContext<'_> {
    /// Waits for the database; fails once `stop` is set.
    pub(crate) fn block_on<T>(&self, work: impl Future<Output = storage::Result<T>>) -> Result<T, Error> {
        stream::block_on(self.handle, self.stop, work)
    }

    /// Waits; fails once `stop` is set.
    pub(crate) fn sleep(&self, duration: Duration) -> Result<(), Error> {
        self.block_on(async {
            tokio::time::sleep(duration).await;
            Ok(())
        })
    }
}

/// This process, for people who look for it.
pub(crate) fn this_process() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("process {} on {}", std::process::id(), host.trim())
}

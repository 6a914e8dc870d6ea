//! Errors of training, evaluation and imports.

use crate::config::ConfigError;
use crate::sweep::SpaceError;

/// An error of training, evaluation or an import.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// Reading or writing a table.
    #[error(transparent)]
    Table(#[from] tables::TableError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The model file.
    #[error(transparent)]
    Model(#[from] onnx_model::Error),
    /// The export of the network.
    #[error("the network cannot be exported: {0}")]
    Export(#[from] onnx_export::ExportError),
    /// Too few listings to train on.
    #[error(
        "there are too few listings to train on: {train} for training, {validation} for validation and {test} for testing; at least \
         {minimum} in total and one in each split are required, and listings of the same car are in the same split; \
         import more with `probeg import FILE`, \
         or try a synthetic market with `probeg synth --rows 20000`"
    )]
    TooFewListings {
        /// Listings in the train split.
        train: u64,
        /// Listings in the validation split.
        validation: u64,
        /// Listings in the test split.
        test: u64,
        /// The minimum in total.
        minimum: u64,
    },
    /// The file seems to be of another market.
    #[error("{} does not seem to belong to its market: {cause} Name its market, or use --unchecked if it is right", .file.display())]
    Implausible {
        /// The file.
        file: std::path::PathBuf,
        /// Why.
        cause: Box<crate::import::Implausible>,
    },
    /// There is nothing to learn.
    #[error("the {target} of all training listings of the task {task} is the same, so there is nothing to learn")]
    ConstantTarget {
        /// The name of the task.
        task: String,
        /// The column.
        target: &'static str,
    },
    /// The loss is not finite.
    #[error("training diverged in epoch {epoch}; try a lower learning rate, such as `--set learning_rate={suggested}`")]
    Diverged {
        /// The epoch, starting at 1.
        epoch: usize,
        /// Half the learning rate that was used.
        suggested: f64,
    },
    /// The exported file and the network disagree.
    #[error(
        "the exported model and the network disagree: the relative difference is {difference:.2e}, the tolerance \
         {tolerance:.0e}; nothing was registered"
    )]
    Disagreement {
        /// The largest relative difference.
        difference: f64,
        /// The tolerance.
        tolerance: f64,
    },
    /// The file to import has no valid rows.
    #[error("nothing was imported from {file}: {first}{rows}", file = file.display(), rows = rejected_rows(*rejected))]
    NothingToImport {
        /// The file.
        file: std::path::PathBuf,
        /// The number of rejected rows.
        rejected: u64,
        /// The reason for the first rejection.
        first: String,
    },
    /// The data to evaluate on has no valid rows.
    #[error("{file} has no valid rows with a price; {rejected} rows were rejected")]
    NothingToEvaluate {
        /// The file, or the split.
        file: String,
        /// The number of rejected rows.
        rejected: u64,
    },
    /// The run was interrupted.
    #[error("training was interrupted; nothing was registered")]
    Interrupted,
    /// The run failed but can be resumed.
    #[error("{cause}; resume the run with `probeg train --resume {run}`")]
    Resumable {
        /// The run.
        run: i64,
        /// The cause.
        cause: Box<Error>,
    },
    /// Another process is executing the run.
    #[error("run {0} is running in another process")]
    RunIsBusy(i64),
    /// The run is being executed on another machine or under another `PROBEG_HOME`.
    #[error(
        "run {0} is running elsewhere: it sent a heartbeat within the last minute but has no files in this PROBEG_HOME; if it was \
         killed, try again in a minute"
    )]
    RunIsElsewhere(i64),
    /// The run is complete.
    #[error("run {0} is complete; there is nothing to resume")]
    RunIsComplete(i64),
    /// The run has no plan for several processes.
    #[error("run {0} is not planned for several processes: start with `probeg train plan`, which names its run")]
    NotPlanned(i64),
    /// Another version of the program started the work.
    #[error(
        "{work} was started by Probeg {started_by}, but this is Probeg {this}; use the same version, since another one may \
         compute something else, or start anew"
    )]
    OtherVersion {
        /// The run or the sweep.
        work: String,
        /// The version that started it.
        started_by: String,
        /// This version.
        this: &'static str,
    },
    /// Another process executes this part of a run.
    #[error("{holder} is executing this part of run {run}; it needs no second one")]
    PartIsHeld {
        /// The run.
        run: i64,
        /// The process.
        holder: String,
    },
    /// The run has no such part.
    #[error("run {run} has no part {part} {member}; `probeg train plan --run {run}` prints how many members it has")]
    NoSuchPart {
        /// The run.
        run: i64,
        /// The stage.
        part: String,
        /// The number within the stage.
        member: u32,
    },
    /// Members of a run are not trained yet.
    #[error(
        "run {run} needs all of its members first; missing: {members}; train each with `probeg train member {run} NUMBER`"
    )]
    PartsMissing {
        /// The run.
        run: i64,
        /// Their numbers.
        members: String,
    },
    /// What the parts of a run share cannot be read.
    #[error("the plan of run {run} cannot be read: {cause}; plan a new run")]
    DamagedPlan {
        /// The run.
        run: i64,
        /// The cause.
        cause: String,
    },
    /// The stored configuration of a run cannot be read.
    #[error("the configuration of run {run} cannot be read: {cause}")]
    RunConfig {
        /// The run.
        run: i64,
        /// The cause.
        cause: serde_json::Error,
    },
    /// The listings have changed since the run started.
    #[error(
        "the listings have changed since the run started ({expected} training listings then, {found} now), and cannot be \
         restored; start a new run"
    )]
    ListingsChanged {
        /// The number at the start.
        expected: u64,
        /// The current number.
        found: u64,
    },
    /// The network does not fit into the memory.
    #[error(
        "--memory {memory} is too small: this configuration needs at least {minimum}; use a larger budget or a smaller model"
    )]
    MemoryTooSmall {
        /// The configured memory.
        memory: bytesize::ByteSize,
        /// The required memory.
        minimum: bytesize::ByteSize,
    },
    /// A trial of a sweep was stopped early.
    #[error("the trial was stopped early, since it was worse than others")]
    Pruned,
    /// Another process has taken the trial of this one.
    #[error("another process has taken trial {0}, since this one did not reach the database for a while")]
    TrialTaken(i32),
    /// The space of a sweep.
    #[error(transparent)]
    Space(Box<SpaceError>),
    /// There is a sweep of this name with another space, configuration or task.
    #[error(
        "there is a sweep {name} with another {difference}; to go on with it, use the same; to start another one, choose \
         another --name"
    )]
    OtherSweep {
        /// The name.
        name: String,
        /// What differs.
        difference: &'static str,
    },
    /// A sweep of linear models.
    #[error("a sweep trains networks; remove `family` from the configuration and the space")]
    SweepOfLinear,
    /// What is stored of a sweep cannot be read.
    #[error("the sweep {name} cannot be read: {cause}")]
    StoredSweep {
        /// The name.
        name: String,
        /// The cause.
        cause: serde_json::Error,
    },
    /// A checkpoint is corrupted.
    #[error("{path} is damaged ({cause}); remove its folder to restart the run from the beginning")]
    DamagedCheckpoint {
        /// The file.
        path: std::path::PathBuf,
        /// The cause.
        cause: String,
    },
    /// The weights of a checkpoint do not fit the network.
    #[error("the weights of the checkpoint do not fit the network: {0}")]
    Record(#[from] burn::store::RecordError),
    /// The system has no resources for another connection or thread.
    #[error("the system is out of resources: {0}")]
    Resources(std::io::Error),
    /// A training thread ended unexpectedly.
    #[error("a training thread stopped unexpectedly; please report this with the log")]
    ThreadStopped,
}

impl Error {
    /// Whether the run now belongs to another process, which records its outcome.
    pub(crate) fn is_taken_over(&self) -> bool {
        matches!(self, Self::TrialTaken(_) | Self::Storage(storage::Error::LeaseLost(_)))
    }

    /// Whether a run that ended with this error can be resumed.
    pub(crate) fn is_resumable(&self) -> bool {
        match self {
            Self::Interrupted => true,
            Self::Storage(error) => !matches!(error, storage::Error::ListingsMoved),
            _ => false,
        }
    }
}

impl From<SpaceError> for Error {
    fn from(cause: SpaceError) -> Self {
        Self::Space(Box::new(cause))
    }
}

fn rejected_rows(rejected: u64) -> String {
    if rejected == 0 { String::new() } else { format!("; all {rejected} rows were rejected") }
}

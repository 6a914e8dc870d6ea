//! Errors of training, evaluation and imports.

use crate::config::ConfigError;

/// An error of training, evaluation or an import.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// A table that was read or written.
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
    /// Too few listings to learn anything from.
    #[error(
        "there are too few listings to train on: {train} to train, {validation} to validate and {test} to test; at least \
         {minimum} are needed in total and one in each split, and listings of the same car are in the same split; \
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
        /// How many are needed in all.
        minimum: u64,
    },
    /// The loss is no longer a number.
    #[error(
        "the loss is no longer a number in epoch {epoch}; try a lower rate, such as `--set learning_rate={suggested}`"
    )]
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
        /// Half the rate that was used.
        suggested: f64,
    },
    /// The exported file and the network disagree.
    #[error(
        "the exported file does not compute what the network computes: they differ by {difference:.2e} (relative), and at \
         most {tolerance:.0e} is accepted; nothing was registered"
    )]
    Disagreement {
        /// The largest relative difference seen.
        difference: f64,
        /// The largest that is accepted.
        tolerance: f64,
    },
    /// A file to import holds no usable row.
    #[error("nothing was imported from {file}: {first}{rows}", file = file.display(), rows = rejected_rows(*rejected))]
    NothingToImport {
        /// The file.
        file: std::path::PathBuf,
        /// Rows that could not be read.
        rejected: u64,
        /// What is wrong with the first of them.
        first: String,
    },
    /// A file to evaluate on holds no usable row.
    #[error("{file} has no row with a price that can be evaluated; {rejected} rows were rejected")]
    NothingToEvaluate {
        /// The file, or the split.
        file: String,
        /// Rows that could not be read.
        rejected: u64,
    },
    /// Training was stopped from outside.
    #[error("training was stopped, and nothing was registered")]
    Interrupted,
    /// The run failed but can be resumed.
    #[error("{cause}; resume the run with `probeg train --resume {run}`")]
    Resumable {
        /// The run.
        run: i64,
        /// Why it did not reach its end.
        cause: Box<Error>,
    },
    /// Another process is executing the run.
    #[error("run {0} is running in another process")]
    RunIsBusy(i64),
    /// The run is being executed on another machine or under another `PROBEG_HOME`.
    #[error(
        "run {0} sent a heartbeat within the last minute but has no files in this PROBEG_HOME: it is running elsewhere; if it was \
         killed, try again in a minute"
    )]
    RunIsElsewhere(i64),
    /// The run is complete.
    #[error("run {0} is complete: there is nothing to resume")]
    RunIsComplete(i64),
    /// The stored configuration of a run cannot be read.
    #[error("the configuration of run {run} cannot be read: {cause}")]
    RunConfig {
        /// The run.
        run: i64,
        /// Why not.
        cause: serde_json::Error,
    },
    /// The listings are no longer those that a run began with.
    #[error(
        "the listings have changed since the run started ({expected} to train on then, {found} now), and deleted or changed \
         rows cannot be restored: start another run"
    )]
    ListingsChanged {
        /// How many there were.
        expected: u64,
        /// How many there are.
        found: u64,
    },
    /// The network does not fit into the memory.
    #[error(
        "--memory {memory} is too small: this configuration needs at least {minimum}; use a larger budget or a smaller network"
    )]
    MemoryTooSmall {
        /// What was given.
        memory: bytesize::ByteSize,
        /// What it takes.
        minimum: bytesize::ByteSize,
    },
    /// A checkpoint is corrupted.
    #[error("{path} is damaged ({cause}): remove its folder, and the run can start from the beginning")]
    DamagedCheckpoint {
        /// The file.
        path: std::path::PathBuf,
        /// What is wrong.
        cause: String,
    },
    /// The weights of a checkpoint do not fit the network.
    #[error("the weights of the checkpoint do not fit the network: {0}")]
    Record(#[from] burn::store::RecordError),
    /// The system has no resources for another connection or thread.
    #[error("the system has no resources left: {0}")]
    Resources(std::io::Error),
    /// A thread of the training ended before its work was done.
    #[error("a training thread stopped unexpectedly; please report this with the log")]
    ThreadStopped,
}

impl Error {
    /// Whether a run that ended with this error can be resumed.
    pub(crate) fn is_resumable(&self) -> bool {
        match self {
            Self::Interrupted => true,
            Self::Storage(error) => !matches!(error, storage::Error::ListingsMoved),
            _ => false,
        }
    }
}

fn rejected_rows(rejected: u64) -> String {
    if rejected == 0 { String::new() } else { format!("; all {rejected} rows were rejected") }
}

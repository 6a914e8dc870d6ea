//! Every SQL statement of Probeg, and the private PostgreSQL cluster that runs them where there is
//! no other: listings, the stream that training reads, runs and the model registry.
//!
//! Absence is `None`; an [`Error`] means that something went wrong, and says what to do.

mod atomic_file;
mod chunk;
mod cluster;
mod comparables;
mod copy;
mod database;
mod error;
pub mod exploration;
mod import;
mod listings;
mod models;
mod retry;
mod runs;
mod snapshot;
mod spool;
mod transaction;

pub use atomic_file::AtomicFile;
pub use chunk::ListingChunk;
pub use cluster::Cluster;
pub use comparables::{Car, Comparable};
pub use copy::{Malformed, decode as decode_copy};
pub use database::{Database, Guard, Lock};
pub use error::{Error, Result};
pub use import::{Import, ImportCounts};
pub use listings::Listings;
pub use models::{Action, AliasChange, CHAMPION, MAX_MODEL_BYTES, ModelChanges, ModelRecord, Models, NewModel};
pub use retry::retried;
pub use runs::{EpochMetrics, NewRun, Outcome, Run, RunStatus, Runs};
pub use snapshot::{Block, Extent, Part, Snapshot};
pub use spool::{Spool, SpoolWriter};

//! Every SQL statement of Probeg: listings, the stream that training reads, runs and the model registry.
//!
//! Absence is `None`; an [`Error`] means that something went wrong, and says what to do.

mod batch;
mod chunk;
mod comparables;
mod copy;
mod database;
mod error;
mod import;
mod listings;
mod models;
pub mod profile;
mod retry;
mod runs;
mod snapshot;
mod spool;
mod transaction;

pub use batch::TabularBatch;
pub use chunk::ListingChunk;
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

//! All SQL of Probeg: listings, snapshots for training, runs and the model registry.
//!
//! Not found is `None`; an [`Error`] means a failure and has advice.

mod batch;
mod chunk;
mod copy;
mod database;
mod error;
mod import;
mod listings;
mod market_tables;
mod markets;
mod models;
mod price_table;
pub mod profile;
mod retry;
mod run_parts;
mod runs;
mod similar;
mod snapshot;
mod spool;
mod sweeps;
mod tasks;
mod transaction;
mod versions;

pub use batch::TabularBatch;
pub use chunk::ListingChunk;
pub use copy::{Malformed, decode as decode_copy};
pub use database::{Database, Lock, LockGuard};
pub use error::{Error, Result};
pub use import::{Import, ImportCounts};
pub use listings::Listings;
pub use markets::Markets;
pub use models::{
    Action, AliasChange, CHAMPION, MAX_MODEL_BYTES, ModelChanges, ModelFile, ModelRecord, Models, NewModel,
    ServedPeriod, champion_of,
};
pub use price_table::{CarPrice, CarQuery, CarRange, PricePart, PriceTable, PriceTableLock, PricedCounts};
pub use retry::retry_while_unavailable;
pub use run_parts::{
    Acquired, EnsembleComparison, LEASE_SECONDS, Lease, Part, PartState, PredictedChunk, RunParts, RunPlan,
};
pub use runs::{
    EpochMetrics, Figure, FigurePoint, LogLine, NewRun, Run, RunData, RunDescription, RunEdit, RunOutcome, RunQuery,
    RunSort, RunStatus, Runs,
};
pub use similar::{SimilarListing, SimilarListings};
pub use snapshot::{Block, Extent, RowFilter, Snapshot};
pub use spool::{Spool, SpoolWriter};
pub use sweeps::{Claim, NewSweep, Sweep, SweepCounts, Sweeps, Taken, Trial, TrialOutcome, TrialStatus};
pub use tasks::Tasks;
pub use versions::ListedVersion;

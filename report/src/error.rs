//! Errors of the report.

/// Why a report could not be created.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The table is empty.
    #[error(
        "there are no listings to explore: import some with `probeg import FILE`, \
         or try a synthetic market with `probeg synth --rows 20000`"
    )]
    NoListings,
}

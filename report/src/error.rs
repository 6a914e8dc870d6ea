//! Why there is no report.

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// There is no listing to look at.
    #[error(
        "there are no listings to explore: import some with `probeg import FILE`, \
         or try a synthetic market with `probeg synth --rows 20000`"
    )]
    NoListings,
}

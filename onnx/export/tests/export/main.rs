//! Exported files compute the same as burn, in tract and in ort.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "tests may panic, and numbers are small"
)]

mod errors;
mod file;
mod network;
mod operations;
mod runtimes;

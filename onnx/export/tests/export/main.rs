//! What is exported computes what burn computes, in the runtimes that run it.

#![expect(
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "a test stops at the first failure, and its numbers are small"
)]

mod errors;
mod file;
mod network;
mod operations;
mod runtimes;

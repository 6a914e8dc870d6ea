//! Authentication and rate limits.

mod attempts;
pub(crate) mod keys;
mod rate_limit;

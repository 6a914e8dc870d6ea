//! Who may send requests, and how many.

mod attempts;
pub(crate) mod keys;
mod rate_limit;

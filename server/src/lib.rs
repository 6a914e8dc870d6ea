//! The HTTP service: valuations, the model registry, experiments, and the pages.
//!
//! Serves one model at a time, held behind an atomic pointer: a request takes it once and keeps it to
//! its end, while [`reload`] swaps in the next champion. Knows nothing of training.

mod allowance;
mod attempts;
mod body;
mod budget;
pub mod cache;
pub mod config;
mod connections;
mod content;
mod engine;
mod health;
mod inference;
mod jobs;
mod json;
mod keys;
mod lane;
mod listing_request;
mod loader;
mod metrics;
mod middleware;
mod models;
mod pages;
mod predecessor;
mod problem;
pub mod reload;
mod router;
mod runs;
mod scratch;
mod state;
#[cfg(test)]
mod tests;
mod upload;
mod valuations;
mod vocabulary;

pub use config::{Config, ConfigError, Variable};
pub use connections::serve;
pub use listing_request::is_listing;
pub use router::{build, document};
pub use state::State;

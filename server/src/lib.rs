//! The HTTP service: valuations, the model registry, runs, and the pages.
//!
//! Each request uses the model that was in service when it arrived; a new champion replaces it by an atomic pointer swap.
//! Independent of training.

mod config;
mod http;
mod market;
mod observability;
mod operations;
mod pages;
mod registry;
mod router;
mod serve;
mod serving;
mod state;
#[cfg(test)]
mod tests;
mod valuations;

pub use config::{Config, ConfigError, VARIABLES, Variable};
pub use router::{build, document};
pub use serve::serve;
pub use serving::cache::is_model_cached;
pub use state::State;
pub use valuations::listing::is_listing;

//! The HTTP service: valuations, the model registry, runs, and the pages.
//!
//! A request takes the model in service once and keeps it to its end, while the champion of the registry is swapped in
//! behind an atomic pointer. Knows nothing of training.

mod config;
mod http;
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

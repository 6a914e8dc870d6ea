//! Publishes runs and models to an MLflow server, through its REST API.
//!
//! The database stays the record of a run: what is sent is read from there, and what has arrived is read from MLflow. So
//! publishing can be interrupted and repeated at any time, and nothing arrives twice.

mod api;
mod artifacts;
mod batch;
mod client;
mod contents;
mod error;
mod publisher;
mod registry;
mod run;
mod settings;
mod tracking;

pub use error::{Error, Result};
pub use publisher::{Publisher, Unfinished};
pub use run::Published;
pub use settings::{Credentials, Settings};
pub use tracking::Tracking;

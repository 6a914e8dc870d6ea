//! The served model: loading, swapping and inference.

pub(crate) mod bulk;
pub(crate) mod cache;
pub(crate) mod engine;
pub(crate) mod inference;
pub(crate) mod jobs;
mod loader;
pub(crate) mod models;
pub(crate) mod portfolio;
pub(crate) mod prices;
pub(crate) mod reload;
pub(crate) mod reports;
pub(crate) mod template;

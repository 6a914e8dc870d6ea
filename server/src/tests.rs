//! The whole service, called through its router, with a small hand-made model.

mod access;
mod bodies;
mod connections;
mod document;
pub(crate) mod fixture;
mod languages;
mod lenient;
mod model_file;
mod operations;
mod predecessor;
mod suggestions;
mod tasks;
mod valuations;
mod workbooks;

//! The whole service, called as its router is, with a small model made by hand.

mod access;
mod bodies;
mod connections;
mod document;
pub(crate) mod fixture;
mod model_file;
mod operations;
mod predecessor;
mod valuations;
mod workbooks;

//! The whole service, called as its router is, with a small model made by hand.

mod access;
mod document;
pub(crate) mod fixture;
mod model_file;
mod operations;
mod predecessor;
mod valuations;
mod workbooks;

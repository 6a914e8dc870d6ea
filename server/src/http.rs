//! HTTP: connections, request bodies, access control, limits and problems, independent of cars and models.

pub(crate) mod access;
pub(crate) mod body;
pub(crate) mod budget;
pub(crate) mod buffers;
pub(crate) mod connections;
pub(crate) mod file;
pub(crate) mod gate;
pub(crate) mod json;
pub(crate) mod language;
pub(crate) mod problem;
pub(crate) mod query;
pub(crate) mod request_log;
mod scratch;
pub(crate) mod shutdown;
pub(crate) mod upload;

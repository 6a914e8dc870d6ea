//! The private PostgreSQL server that Probeg uses if `DATABASE_URL` is not set. Linux only.
//!
//! Handles programs, processes, folders and locks, but no SQL.

mod account;
mod cluster;
mod error;
mod layout;
mod nofollow;
mod process;
mod programs;
mod server;

pub use cluster::Cluster;
pub use error::{Error, Result};

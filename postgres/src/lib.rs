//! The private PostgreSQL server, which Probeg uses where it is given no database. Linux only.
//!
//! It knows programs, processes, folders and locks, and no SQL.

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

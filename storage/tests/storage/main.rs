//! Storage against a real PostgreSQL server: one private cluster per run, one database per test.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

mod listings;
mod locks;
mod markets;
mod migrations;
mod models;
mod profile;
mod recanonicalization;
mod runs;
mod sandbox;
mod similar;
mod snapshot;
mod spool;
mod sweeps;
mod tasks;
mod versions;

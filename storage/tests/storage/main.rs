//! Storage against a real PostgreSQL: one private cluster a run, one database a test.
#![expect(clippy::unwrap_used, reason = "what a test prepares may fail as the test does")]

mod listings;
mod locks;
mod migrations;
mod models;
mod profile;
mod renewal;
mod runs;
mod sandbox;
mod snapshot;
mod spool;

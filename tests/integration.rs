//! End-to-end tests with the real command, database, server and browser.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests may panic")]

#[path = "integration/architecture.rs"]
mod architecture;
#[path = "integration/bad_input.rs"]
mod bad_input;
#[path = "integration/browser.rs"]
mod browser;
#[path = "integration/clients.rs"]
mod clients;
#[path = "integration/cycles.rs"]
mod cycles;
#[path = "integration/experiments.rs"]
mod experiments;
#[path = "integration/explore.rs"]
mod explore;
#[path = "integration/foreign.rs"]
mod foreign;
#[path = "integration/haproxy.rs"]
mod haproxy;
#[path = "integration/http.rs"]
mod http;
#[path = "integration/import.rs"]
mod import;
#[path = "integration/linear.rs"]
mod linear;
#[path = "integration/market.rs"]
mod market;
#[path = "integration/mlflow.rs"]
mod mlflow;
#[path = "integration/model_file.rs"]
mod model_file;
#[path = "integration/operations.rs"]
mod operations;
#[path = "integration/pages.rs"]
mod pages;
#[path = "integration/parts.rs"]
mod parts;
#[path = "integration/price_table.rs"]
mod price_table;
#[path = "integration/references.rs"]
mod references;
#[path = "integration/registry.rs"]
mod registry;
#[path = "integration/resume.rs"]
mod resume;
#[path = "integration/slurm.rs"]
mod slurm;
#[path = "integration/stops.rs"]
mod stops;
#[path = "integration/sweep.rs"]
mod sweep;
#[path = "integration/tasks.rs"]
mod tasks;
#[path = "integration/up.rs"]
mod up;
#[path = "integration/walks.rs"]
mod walks;

//! The subcommands, one per file.

mod evaluate;
mod explore;
mod import;
mod listings;
mod markets;
mod models;
mod openapi;
mod predict;
mod records;
mod reference;
mod runs;
mod serve;
mod sweep;
mod synth;
mod tasks;
mod train;
mod up;

use anyhow::Result;
use clap::{CommandFactory, Parser, Subcommand};

use crate::process::Process;
use records::Records;

/// Values used cars: trains on listings in PostgreSQL and serves ONNX models.
#[derive(Debug, Parser)]
#[command(version, about, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Without DATABASE_URL, a private PostgreSQL cluster in PROBEG_HOME (default: .probeg) is used. See docs/commands.md and \
docs/variables.md for all commands and environment variables.

Example: probeg up --data listings.csv.gz";

/// A subcommand.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Import listings, train a model if there is none, and serve it
    Up(up::Arguments),
    /// Import listings from CSV, CSV.gz or XLSX files
    Import(import::Arguments),
    /// Write the listings of a split to a CSV file, to train a model elsewhere
    Listings(listings::Arguments),
    /// Write a data report on the listings
    Explore(explore::Arguments),
    /// Train and register a model
    Train(Box<train::Arguments>),
    /// Search for better hyperparameters; the same command in other processes and on other machines joins the search
    Sweep(sweep::Arguments),
    /// Show the accuracy of a model on the test split or evaluate it on a labeled file
    Evaluate(evaluate::Arguments),
    /// Value the cars of an XLSX or CSV file
    Predict(predict::Arguments),
    /// Manage the registered models
    #[command(after_help = "Example: probeg models promote 3")]
    Models(Records<models::Action>),
    /// List and compare training runs
    #[command(after_help = "Example: probeg runs compare 3 5")]
    Runs(Records<runs::Action>),
    /// List and add markets: their currencies, units and spellings
    #[command(after_help = "Example: probeg markets add market.toml")]
    Markets(Records<markets::Action>),
    /// List and add tasks: what models predict, for which listings
    #[command(after_help = "Example: probeg tasks list")]
    Tasks(Records<tasks::Action>),
    /// Fill the database with synthetic listings
    Synth(synth::Arguments),
    /// Serve the champion over HTTP
    Serve(serve::Arguments),
    /// Print the OpenAPI document
    Openapi,
    /// Print a generated reference
    #[command(hide = true)]
    Reference(reference::Arguments),
}

impl Command {
    /// Whether the command serves until it is stopped.
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Serve(_))
    }
}

/// Runs a command.
pub fn run(command: Command, process: &Process) -> Result<()> {
    match command {
        Command::Up(arguments) => up::run(process, &arguments),
        Command::Import(arguments) => import::run(process, &arguments),
        Command::Listings(arguments) => listings::run(process, &arguments),
        Command::Explore(arguments) => explore::run(process, &arguments),
        Command::Train(arguments) => train::run(process, &arguments),
        Command::Sweep(arguments) => sweep::run(process, &arguments),
        Command::Evaluate(arguments) => evaluate::run(process, &arguments),
        Command::Predict(arguments) => predict::run(process, &arguments),
        Command::Models(arguments) => models::run(process, &arguments),
        Command::Runs(arguments) => runs::run(process, &arguments),
        Command::Markets(arguments) => markets::run(process, &arguments),
        Command::Tasks(arguments) => tasks::run(process, &arguments),
        Command::Synth(arguments) => synth::run(process, &arguments),
        Command::Serve(arguments) => serve::run(process, &arguments),
        Command::Openapi => openapi::run(),
        Command::Reference(arguments) => reference::run(Cli::command(), &arguments),
    }
}

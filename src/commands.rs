//! The subcommands, a file each.

mod evaluate;
mod explore;
mod import;
mod models;
mod openapi;
mod predict;
mod reference;
mod runs;
mod serve;
mod synth;
mod train;
mod up;

use anyhow::Result;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::process::Process;

/// Tells what a used car is worth: trains on listings in PostgreSQL, serves one ONNX model.
#[derive(Debug, Parser)]
#[command(version, about, after_help = AFTER_HELP, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

const AFTER_HELP: &str = "\
Without DATABASE_URL, a private PostgreSQL cluster is kept in PROBEG_HOME (default: .probeg). docs/variables.md lists \
all environment variables, docs/commands.md all commands.

Example: probeg up --data listings.csv.gz";

/// What `probeg` can be asked to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// The main job: import, train where no model serves yet, serve
    Up(up::Arguments),
    /// Bring CSV, CSV.gz or XLSX files of listings into the database
    Import(import::Arguments),
    /// Write the data report: what the listings are like, before any model
    Explore(explore::Arguments),
    /// Train a model on the listings in the database and register it
    Train(train::Arguments),
    /// Measure a model's accuracy on the test split or on a labelled file
    Evaluate(evaluate::Arguments),
    /// Value the cars of an XLSX or CSV file
    Predict(predict::Arguments),
    /// The registered models
    #[command(after_help = "Example: probeg models promote 3")]
    Models(Records<models::Action>),
    /// List and compare training runs
    #[command(after_help = "Example: probeg runs compare 3 5")]
    Runs(Records<runs::Action>),
    /// Fill the database with a synthetic market
    Synth(synth::Arguments),
    /// Serve the champion over HTTP
    Serve(serve::Arguments),
    /// Print the OpenAPI document
    Openapi,
    /// Print a generated page of the documents
    #[command(hide = true)]
    Reference(reference::Arguments),
}

/// An action on records of the database, told as text or as JSON.
#[derive(Debug, Args)]
pub struct Records<A: Subcommand> {
    #[command(subcommand)]
    action: A,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

impl Command {
    /// Whether it serves until it is stopped.
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Serve(_))
    }
}

/// Runs a command to its end.
pub fn run(command: Command, process: &Process) -> Result<()> {
    match command {
        Command::Up(arguments) => up::run(process, &arguments),
        Command::Import(arguments) => import::run(process, &arguments),
        Command::Explore(arguments) => explore::run(process, &arguments),
        Command::Train(arguments) => train::run(process, &arguments),
        Command::Evaluate(arguments) => evaluate::run(process, &arguments),
        Command::Predict(arguments) => predict::run(process, &arguments),
        Command::Models(arguments) => models::run(process, &arguments),
        Command::Runs(arguments) => runs::run(process, &arguments),
        Command::Synth(arguments) => synth::run(process, &arguments),
        Command::Serve(arguments) => serve::run(process, &arguments),
        Command::Openapi => openapi::run(),
        Command::Reference(arguments) => reference::run(Cli::command(), &arguments),
    }
}

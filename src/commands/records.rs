//! The arguments that commands on records of the database share.

use clap::{Args, Subcommand};

/// An action on records, and the format of its output.
#[derive(Debug, Args)]
pub struct Records<A: Subcommand> {
    #[command(subcommand)]
    pub action: A,
    /// Print JSON
    #[arg(long, global = true)]
    pub json: bool,
}

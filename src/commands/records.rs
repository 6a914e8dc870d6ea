//! Shared arguments of commands on database records.

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

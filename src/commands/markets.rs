//! `probeg markets`: the markets.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use domain::{Column, Market};
use serde_json::json;

use super::records::Records;
use crate::context::Context;
use crate::output::out;
use crate::process::Process;

#[derive(Debug, Subcommand)]
pub enum Action {
    /// List all markets
    List,
    /// Add a market, or change the spellings of one
    Add {
        /// A TOML file; docs/markets.md describes it
        file: PathBuf,
    },
}

pub fn run(process: &Process, arguments: &Records<Action>) -> Result<()> {
    let context = Context::open(process)?;
    let markets = context.database.markets();
    match &arguments.action {
        Action::List => list(&context.block_on(markets.list())?, arguments.json),
        Action::Add { file } => {
            let failed = || format!("{} was not added", file.display());
            let text = std::fs::read_to_string(file).with_context(failed)?;
            let market = Market::from_toml(&text).with_context(failed)?;
            let is_new = context.block_on(markets.add(&market)).with_context(failed)?;
            let what = if is_new { "added" } else { "changed" };
            out!("market {} {what}; import its listings with `probeg import --market {0} FILE`", market.name())?;
            Ok(())
        }
    }
}

fn list(markets: &[Market], as_json: bool) -> Result<()> {
    if as_json {
        let market = |market: &Market| {
            json!({ "name": market.name(), "currency": market.currency(),
            "distance": market.definition().distance, "language": market.definition().language })
        };
        out!("{:#}", json!(markets.iter().map(market).collect::<Vec<_>>()))?;
        return Ok(());
    }
    out!("{:<20}  {:<8}  {:<8}  language", "market", "currency", "distance")?;
    for market in markets {
        let (currency, distance) = (market.currency(), market.unit(Column::Mileage));
        out!("{:<20}  {currency:<8}  {distance:<8}  {}", market.name(), market.definition().language)?;
    }
    Ok(())
}

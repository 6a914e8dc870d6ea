//! The search of `probeg sweep` without training, for `bench/experiments`.
//!
//! `search SPACE SEED` writes the settings of a trial as a line of JSON, reads its loss from a line, and so on to the end of the
//! input.

use std::io::{BufRead, Write};

use anyhow::{Context, Result, bail};
use training::TrainConfig;
use training::sweep::{Observation, Space, propose};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, seed] = arguments.as_slice() else { bail!("usage: search SPACE SEED") };
    let table = toml::from_str(&std::fs::read_to_string(file).with_context(|| format!("{file} cannot be read"))?)?;
    let space = Space::from_table(&table, &TrainConfig::default())?;
    let seed: u64 = seed.parse().context("the seed is not a whole number")?;
    let (mut losses, mut output) = (std::io::stdin().lock().lines(), std::io::stdout().lock());
    let mut observations = Vec::new();
    while let Some(settings) = propose(&space, &observations, seed) {
        writeln!(output, "{}", serde_json::to_string(&settings)?)?;
        output.flush()?;
        let Some(loss) = losses.next() else { break };
        let loss = Some(loss?.trim().parse().context("the loss is not a number")?);
        observations.push(Observation { settings, loss, is_pruned: false });
    }
    Ok(())
}

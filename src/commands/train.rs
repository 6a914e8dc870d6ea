//! `probeg train`: one run, from the listings to a registered version.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Args;
use training::TrainConfig;
use training::train::{Surroundings, Trained};

use crate::context::{Context, today};
use crate::output::say;
use crate::progress::TrainingShown;

#[derive(Debug, Args)]
#[command(after_help = "Example: probeg train --set epochs=10 --set seed=7 --promote")]
pub struct Arguments {
    /// A TOML file of hyper-parameters; what it leaves out keeps its default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One hyper-parameter; goes over the file, may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Let the new version serve at once
    #[arg(long)]
    promote: bool,
    /// Print the version and its accuracy card as JSON
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let file = arguments
        .config
        .as_ref()
        .map(|path| std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display())));
    let config = TrainConfig::read(file.transpose()?.as_deref(), &arguments.set)?;
    let context = Context::open()?;
    let trained = train(&context, &config, arguments.promote)?;
    if arguments.json {
        let answer = serde_json::json!({ "run": trained.run, "version": trained.version, "accuracy": trained.card });
        say!("{answer:#}")?;
    } else if !arguments.promote {
        say!("let it serve with `probeg models promote {}`", trained.version)?;
    }
    Ok(())
}

/// Trains, tells what came of it and promotes it if asked to.
pub fn train(context: &Context, config: &TrainConfig, promote: bool) -> Result<Trained> {
    let shown = TrainingShown::new();
    let surroundings = Surroundings {
        database: &context.database,
        handle: context.tokio.handle(),
        runtime: context.inference()?,
        today: today(),
        stop: &context.stop,
        report: &|progress| shown.show(progress),
    };
    let trained = training::train::train(config, surroundings)?;
    eprintln!("registered model version {}", trained.version);
    if let Some(card) = &trained.card {
        let accuracy = &card.overall;
        eprintln!(
            "on {} listings it has never seen: MAPE {:.2} %, median error {:.2} %, 80 % interval holds {:.1} %",
            accuracy.rows,
            100.0 * accuracy.mape,
            100.0 * accuracy.median_ape,
            100.0 * accuracy.coverage_80,
        );
    }
    if promote {
        context.block_on(context.database.models().promote(trained.version, &who()))?;
        eprintln!("version {} is the champion now", trained.version);
    }
    Ok(trained)
}

/// Who does this, for the history of promotions.
pub fn who() -> String {
    let user = std::env::var("USER").ok().filter(|user| !user.is_empty());
    format!("command line ({})", user.as_deref().unwrap_or("unknown user"))
}

//! `probeg runs publish`: publishes runs to MLflow.

use anyhow::{Context as _, Result, ensure};
use mlflow::{Error, Published, Tracking};
use serde_json::{Value, json};

use crate::context::Context;
use crate::output::{err, out};

/// Publishes what is missing of runs, and the champions.
pub fn run(context: &Context, runs: &[i64], as_json: bool) -> Result<()> {
    let tracking = context.publishing.tracking()?.context(
        "MLFLOW_TRACKING_URI is not set: it is the address of the MLflow server, such as http://mlflow.example:5000",
    )?;
    let runs = runs.to_vec();
    context.compute(move || publish(&tracking, runs, as_json))
}

fn publish(tracking: &Tracking, runs: Vec<i64>, as_json: bool) -> Result<()> {
    let runs = if runs.is_empty() { tracking.runs()? } else { runs };
    let (mut published, mut failures) = (Vec::new(), 0);
    for run in &runs {
        match tracking.publish(*run) {
            Ok(state) => {
                if !as_json {
                    out!("run {run}: {}", describe(&state))?;
                }
                published.push(to_json(*run, &state));
            }
            // Those of other runs may be accepted.
            Err(error @ (Error::Rejected { .. } | Error::ArtifactsElsewhere(_))) => {
                err!("run {run}: {error}");
                failures += 1;
            }
            Err(error) => return Err(error).with_context(|| format!("run {run} was not published")),
        }
    }
    let champions = tracking.publish_champions().unwrap_or_else(|error| {
        err!("the champions were not published: {error}");
        failures += 1;
        Vec::new()
    });
    if as_json {
        out!("{:#}", json!({ "runs": published, "champions": champions }))?;
    } else {
        for model in champions {
            out!("{model}: the alias champion was moved")?;
        }
    }
    ensure!(failures == 0, "not everything was published");
    Ok(())
}

fn describe(state: &Published) -> String {
    match state {
        Published::Complete(url) => url.clone(),
        Published::SoFar(url) => format!("{url} (so far, since it is still running)"),
        Published::Deleted => "it was deleted on MLflow, and is not published again".to_owned(),
    }
}

fn to_json(run: i64, state: &Published) -> Value {
    match state {
        Published::Complete(url) => json!({ "run": run, "state": "complete", "url": url }),
        Published::SoFar(url) => json!({ "run": run, "state": "running", "url": url }),
        Published::Deleted => json!({ "run": run, "state": "deleted", "url": null }),
    }
}

//! Publishes runs to MLflow beside the work of a command.

use std::cell::Cell;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::Result;
use mlflow::{Credentials, Publisher, Settings, Tracking, Unfinished};
use storage::Database;
use tokio::runtime::Handle;
use training::train::Progress;

use crate::output::err;
use crate::process::Stop;
use crate::variables;

/// How long a command waits at its end until the rest has arrived.
const FINISH_TIMEOUT: Duration = Duration::from_secs(30);
/// The same after it was stopped.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// When to say what the command is waiting for.
const PATIENCE: Duration = Duration::from_secs(2);

/// Publishes runs if `MLFLOW_TRACKING_URI` is set.
pub struct Publishing {
    database: Database,
    handle: Handle,
    /// Started on first use; `None` if it cannot or need not publish.
    publisher: OnceLock<Option<Publisher>>,
}

impl Publishing {
    pub fn new(database: Database, handle: Handle) -> Self {
        Self { database, handle, publisher: OnceLock::new() }
    }

    /// The MLflow server, if one is configured.
    pub fn tracking(&self) -> Result<Option<Tracking>> {
        let Some(settings) = read_settings()? else { return Ok(None) };
        Ok(Some(Tracking::new(&settings, self.database.clone(), self.handle.clone())?))
    }

    /// Publishes a run if this event is its start.
    pub fn note(&self, event: &Progress) {
        if let Progress::Started(run) | Progress::Resumed(run) | Progress::Restarted(run) = event {
            self.follow(*run);
        }
    }

    /// Publishes a run from now on.
    pub fn follow(&self, run: i64) {
        if let Some(publisher) = self.publisher() {
            publisher.follow(run);
        }
    }

    /// Publishes changes of champions from now on.
    pub fn follow_champions(&self) {
        if let Some(publisher) = self.publisher() {
            publisher.follow_champions();
        }
    }

    /// Sends the rest within limits of time.
    pub fn finish(&mut self, stop: &Stop) {
        let Some(publisher) = self.publisher.take().flatten() else { return };
        let has_said = Cell::new(false);
        let finished = publisher.finish(|waited| {
            if waited > PATIENCE && !has_said.replace(waited > PATIENCE) {
                err!("sending the rest to MLflow");
            }
            waited > if stop.is_requested() { STOP_TIMEOUT } else { FINISH_TIMEOUT }
        });
        if let Err(unfinished) = finished {
            warn(&unfinished);
        }
    }

    /// Wrong settings are only a warning, since publishing must not stop anything.
    fn publisher(&self) -> Option<&Publisher> {
        let start = || -> Result<Option<Publisher>> { Ok(self.tracking()?.map(Publisher::start).transpose()?) };
        let publisher = self.publisher.get_or_init(|| {
            start().unwrap_or_else(|error| {
                tracing::warn!("Nothing is published to MLflow: {error:#}.");
                None
            })
        });
        publisher.as_ref()
    }
}

fn warn(unfinished: &Unfinished) {
    let Unfinished { runs, cause } = unfinished;
    let cause = cause.as_deref().unwrap_or("it took too long");
    let runs: Vec<String> = runs.iter().map(ToString::to_string).collect();
    if runs.is_empty() {
        err!("warning: the champion was not published to MLflow: {cause}; publish it later with `probeg runs publish`");
    } else {
        let names = runs.join(", ");
        let arguments = runs.join(" ");
        err!(
            "warning: not all of run {names} was published to MLflow: {cause}; publish the rest later with \
             `probeg runs publish {arguments}`"
        );
    }
}

fn read_settings() -> Result<Option<Settings>> {
    let Some(uri) = variables::MLFLOW_TRACKING_URI.value()? else { return Ok(None) };
    let user = variables::MLFLOW_TRACKING_USERNAME.value()?.zip(variables::MLFLOW_TRACKING_PASSWORD.value()?);
    let credentials = match (user, variables::MLFLOW_TRACKING_TOKEN.value()?) {
        (Some((name, password)), _) => Some(Credentials::User { name, password }),
        (None, token) => token.map(Credentials::Token),
    };
    let certificates = variables::MLFLOW_TRACKING_SERVER_CERT_PATH.value()?.map(PathBuf::from);
    let experiment = variables::MLFLOW_EXPERIMENT_NAME.value_or_default()?;
    Ok(Some(Settings { uri, experiment, credentials, certificates }))
}

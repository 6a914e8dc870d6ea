//! Copies a run to MLflow: what is missing there is sent, and nothing twice.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use storage::{ModelRecord, Run, RunQuery};

use crate::api::{MlflowRun, RunData};
use crate::artifacts;
use crate::batch::{Entry, Metric, batches};
use crate::contents::{self, CARD, Contents, KEY_TAG, LABELS_TAG, PUBLISHED_TAG};
use crate::error::Result;
use crate::tracking::Tracking;

/// How much of a run is on MLflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Published {
    /// All of it, at this address.
    Complete(String),
    /// What there is so far of a run that is still running.
    SoFar(String),
    /// Nothing, since it was deleted there.
    Deleted,
}

/// What is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A run.
    Run(i64),
    /// A model version that no run of this database trained.
    Import(i64),
}

/// Copies a run to MLflow, as often as there is something new.
#[derive(Debug)]
pub(crate) struct RunCopy {
    subject: Subject,
    target: Option<Target>,
    /// The time of the last point that was read. Only after an error, and when the run is over, all are read again.
    read_until: Option<DateTime<Utc>>,
}

/// The run on MLflow, with what has arrived there.
#[derive(Debug)]
pub(crate) struct Target {
    /// Its number on MLflow.
    pub(crate) run: String,
    /// Where its artifacts are.
    pub(crate) artifacts: String,
    url: String,
    is_deleted: bool,
    params: BTreeMap<String, String>,
    tags: BTreeMap<String, String>,
    /// The steps of each metric. Those that a resumed run repeats are not sent again, since MLflow would show both values.
    steps: HashMap<String, HashSet<i64>>,
    /// The name, the status and the end that were sent last.
    state: Option<(String, &'static str, Option<i64>)>,
}

impl Tracking {
    /// Sends what is missing of a run.
    ///
    /// # Errors
    /// MLflow or the database is unavailable, or rejects something.
    pub fn publish(&self, run: i64) -> Result<Published> {
        RunCopy::new(Subject::Run(run)).send(self)
    }

    /// The numbers of all runs, the oldest first, so that parents are published before their children.
    ///
    /// # Errors
    /// The database is unavailable.
    pub fn runs(&self) -> Result<Vec<i64>> {
        let runs = self.read(async |database| database.runs().list(&RunQuery::default()).await)?;
        Ok(runs.into_iter().rev().map(|run| run.id).collect())
    }
}

impl RunCopy {
    pub(crate) fn new(subject: Subject) -> Self {
        Self { subject, target: None, read_until: None }
    }

    /// Sends what is missing.
    ///
    /// # Errors
    /// MLflow or the database is unavailable, or rejects something. What has arrived is read again with the next attempt, since
    /// a request that failed may have arrived nevertheless.
    pub(crate) fn send(&mut self, tracking: &Tracking) -> Result<Published> {
        let sent = self.send_missing(tracking);
        if sent.is_err() {
            (self.target, self.read_until) = (None, None);
        }
        sent
    }

    /// The run on MLflow, once something was sent.
    pub(crate) fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    fn send_missing(&mut self, tracking: &Tracking) -> Result<Published> {
        let (contents, model) = self.load(tracking)?;
        let digest = contents.digest();
        let target = match &mut self.target {
            Some(target) => target,
            empty => empty.insert(Target::open(tracking, &contents, &digest)?),
        };
        if target.is_deleted {
            return Ok(Published::Deleted);
        }
        let url = target.url.clone();
        if target.has_all(&digest) {
            return Ok(Published::Complete(url));
        }
        let since = self.read_until.filter(|_| !contents.is_over);
        let (metrics, read_until) = read_metrics(tracking, self.subject, since, model.as_ref())?;
        target.send(tracking, &contents, &metrics)?;
        self.read_until = self.read_until.max(read_until);
        if !contents.is_over {
            return Ok(Published::SoFar(url));
        }
        if let Subject::Run(run) = self.subject {
            let log = tracking.read(async |database| database.runs().log(run).await)?;
            artifacts::upload(tracking, &target.artifacts, artifacts::log_file(&log))?;
        }
        if let Some(model) = &model {
            tracking.register(target, model)?;
        }
        target.send_entries(tracking, &[], &[Entry { key: PUBLISHED_TAG.to_owned(), value: digest }])?;
        Ok(Published::Complete(url))
    }

    /// What to copy, with the model if there is one.
    fn load(&self, tracking: &Tracking) -> Result<(Contents, Option<ModelRecord>)> {
        let model = |version| {
            let model = tracking.read(async |database| database.models().get(version).await)?;
            Ok::<_, crate::Error>(model.ok_or(storage::Error::NoModel(version))?)
        };
        match self.subject {
            Subject::Import(version) => {
                let model = model(version)?;
                Ok((Contents::of_import(&model), Some(model)))
            }
            Subject::Run(id) => {
                let run = load_run(tracking, id)?;
                let parent = run.parent.map(|parent| find_parent(tracking, parent)).transpose()?.flatten();
                let model = run.model_version.map(model).transpose()?;
                Ok((Contents::of_run(&run, parent.as_deref()), model))
            }
        }
    }
}

fn load_run(tracking: &Tracking, id: i64) -> Result<Run> {
    let run = tracking.read(async |database| database.runs().get(id).await)?;
    Ok(run.ok_or(storage::Error::NoRun(id))?)
}

/// The MLflow run of a run's parent, if it is published.
fn find_parent(tracking: &Tracking, parent: i64) -> Result<Option<String>> {
    let parent = Contents::of_run(&load_run(tracking, parent)?, None);
    let experiment = tracking.client.experiment(&tracking.experiment)?;
    let found = tracking.client.find_run(&experiment, KEY_TAG, &parent.key)?;
    Ok(found.map(|found| found.info.run_id))
}

/// All metrics, apart from points before a time; and the time of the last point.
fn read_metrics(
    tracking: &Tracking,
    subject: Subject,
    since: Option<DateTime<Utc>>,
    model: Option<&ModelRecord>,
) -> Result<(Vec<Metric>, Option<DateTime<Utc>>)> {
    let mut metrics: Vec<Metric> = model.into_iter().flat_map(contents::card).collect();
    let Subject::Run(run) = subject else { return Ok((metrics, None)) };
    let (points, epochs) = tracking.read(async |database| {
        let runs = database.runs();
        Ok((runs.points(run, since).await?, runs.metrics(run).await?))
    })?;
    let read_until = points.last().map(|point| point.at);
    metrics.extend(contents::figures(points));
    metrics.extend(contents::epochs(&epochs));
    Ok((metrics, read_until))
}

impl Target {
    /// Finds the run on MLflow, with what has arrived there, or creates it.
    fn open(tracking: &Tracking, contents: &Contents, digest: &str) -> Result<Self> {
        let client = &tracking.client;
        let experiment = client.experiment(&tracking.experiment)?;
        let MlflowRun { info, data } = tracking.alone(|| {
            if let Some(found) = client.find_run(&experiment, KEY_TAG, &contents.key)? {
                return Ok(found);
            }
            let key = Entry { key: KEY_TAG.to_owned(), value: contents.key.clone() };
            client.create_run(&experiment, &contents.name, contents.started_at.timestamp_millis(), &[key])
        })?;
        let RunData { params, tags, metrics } = data;
        let mut target = Self {
            url: format!("{}/#/experiments/{experiment}/runs/{}", client.server(), info.run_id),
            run: info.run_id,
            artifacts: info.artifact_uri,
            is_deleted: info.lifecycle_stage == "deleted",
            params: params.into_iter().map(|param| (param.key, param.value)).collect(),
            tags: tags.into_iter().map(|tag| (tag.key, tag.value)).collect(),
            steps: HashMap::new(),
            state: None,
        };
        if !target.is_deleted && !target.has_all(digest) {
            for metric in metrics {
                // Those have a single value.
                let is_of_card = metric.key.starts_with(CARD);
                let history =
                    if is_of_card { vec![metric.clone()] } else { client.history(&target.run, &metric.key)? };
                target.steps.insert(metric.key, history.iter().map(|point| point.step).collect());
            }
        }
        Ok(target)
    }

    fn has_all(&self, digest: &str) -> bool {
        self.tags.get(PUBLISHED_TAG).is_some_and(|published| published == digest)
    }

    /// Sends what differs from what has arrived.
    fn send(&mut self, tracking: &Tracking, contents: &Contents, metrics: &[Metric]) -> Result<()> {
        let Self { params, tags, .. } = self;
        // MLflow refuses to change a parameter. Those of a run only change if it starts anew with other listings.
        let new_params: Vec<Entry> =
            contents.params.iter().filter(|param| !params.contains_key(&param.key)).cloned().collect();
        let new_tags: Vec<Entry> =
            contents.tags.iter().filter(|tag| tags.get(&tag.key) != Some(&tag.value)).cloned().collect();
        let removed = removed_tags(tags, &contents.tags);
        self.send_entries(tracking, &new_params, &new_tags)?;
        for key in removed {
            tracking.client.delete_tag(&self.run, &key)?;
            self.tags.remove(&key);
        }
        self.send_metrics(tracking, metrics)?;
        let end = contents.ended_at.map(|end| end.timestamp_millis());
        let state = Some((contents.name.clone(), contents.status, end));
        if self.state != state {
            tracking.client.update_run(&self.run, &contents.name, contents.status, end)?;
            self.state = state;
        }
        Ok(())
    }

    fn send_entries(&mut self, tracking: &Tracking, params: &[Entry], tags: &[Entry]) -> Result<()> {
        for batch in batches(params, tags, &[]) {
            tracking.client.log_batch(&self.run, &batch)?;
        }
        let pair = |entry: &Entry| (entry.key.clone(), entry.value.clone());
        self.params.extend(params.iter().map(pair));
        self.tags.extend(tags.iter().map(pair));
        Ok(())
    }

    fn send_metrics(&mut self, tracking: &Tracking, metrics: &[Metric]) -> Result<()> {
        let has_arrived =
            |metric: &&Metric| self.steps.get(&metric.key).is_some_and(|steps| steps.contains(&metric.step));
        let new: Vec<Metric> = metrics.iter().filter(|metric| !has_arrived(metric)).cloned().collect();
        for batch in batches(&[], &[], &new) {
            tracking.client.log_batch(&self.run, &batch)?;
        }
        for Metric { key, step, .. } in new {
            self.steps.entry(key).or_default().insert(step);
        }
        Ok(())
    }
}

/// The tags of ours that a run no longer has.
fn removed_tags(arrived: &BTreeMap<String, String>, tags: &[Entry]) -> Vec<String> {
    let labels = arrived.get(LABELS_TAG).and_then(|labels| serde_json::from_str::<Vec<String>>(labels).ok());
    let labels = labels.unwrap_or_default();
    let is_ours = |key: &&String| {
        key.starts_with("probeg.") && ![KEY_TAG, PUBLISHED_TAG].contains(&key.as_str()) || labels.contains(key)
    };
    arrived.keys().filter(is_ours).filter(|key| tags.iter().all(|tag| tag.key != **key)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tags_of_ours_are_removed() {
        let arrived = [
            (KEY_TAG, "1"),
            (PUBLISHED_TAG, "2"),
            (LABELS_TAG, "[\"baseline\",\"kept\"]"),
            ("baseline", "true"),
            ("kept", "true"),
            ("probeg.error", "gone"),
            ("mlflow.note.content", "written by somebody"),
            ("reviewed", "by somebody"),
        ];
        let arrived = arrived.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect();
        let tag = |key: &str| Entry { key: key.to_owned(), value: "true".to_owned() };
        assert_eq!(removed_tags(&arrived, &[tag("kept"), tag(LABELS_TAG)]), ["baseline", "probeg.error"]);
    }
}

//! What MLflow shows of a run or of a model: its name, parameters, tags, metrics and status.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use storage::{EpochMetrics, FigurePoint, ModelRecord, Run, RunStatus};

use crate::batch::{Entry, Metric};

/// The tag by which the run of a database is found again.
pub(crate) const KEY_TAG: &str = "probeg.key";
/// The tag with the digest of what has been sent completely.
pub(crate) const PUBLISHED_TAG: &str = "probeg.published";
/// The tag that lists the tags of the run, to notice which ones were removed.
pub(crate) const LABELS_TAG: &str = "probeg.tags";

/// What precedes the names of metrics from the accuracy card.
pub(crate) const CARD: &str = "test/";

/// The maximum length of a tag in characters: that of MLflow 2, since later versions accept more.
const MAX_TAG: usize = 5000;
/// The same for a parameter.
const MAX_PARAM: usize = 500;
/// The same for a name.
const MAX_NAME: usize = 250;

/// What MLflow shows of a run, apart from metrics and artifacts.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contents {
    /// What identifies the run among those of all databases.
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) started_at: DateTime<Utc>,
    /// Whether nothing more will happen, unless the run is resumed.
    pub(crate) is_over: bool,
    /// MLflow's name of the status, and the end.
    pub(crate) status: &'static str,
    pub(crate) ended_at: Option<DateTime<Utc>>,
    /// Empty until they are final, since MLflow does not accept changes of parameters.
    pub(crate) params: Vec<Entry>,
    pub(crate) tags: Vec<Entry>,
    /// The version of the model.
    pub(crate) version: Option<i64>,
}

impl Contents {
    /// Those of a run. `parent` is the MLflow run of its parent.
    pub(crate) fn of_run(run: &Run, parent: Option<&str>) -> Self {
        let (status, is_over) = match run.status {
            RunStatus::Running => ("RUNNING", false),
            RunStatus::Interrupted => ("KILLED", true),
            RunStatus::Completed => ("FINISHED", true),
            RunStatus::Failed => ("FAILED", true),
        };
        // The configuration is completed when the number of listings is known.
        let are_params_final = is_over || run.schema_fingerprint.is_some();
        let labels: Vec<String> = run.tags.iter().map(|tag| label(tag)).collect();
        Self {
            key: key(run.id, run.started_at),
            name: run.name.clone().unwrap_or_else(|| format!("run {}", run.id)),
            started_at: run.started_at,
            is_over,
            status,
            ended_at: is_over.then(|| run.finished_at.unwrap_or(run.heartbeat_at)),
            params: if are_params_final { params(&run.config) } else { Vec::new() },
            tags: run_tags(run, parent, &labels),
            version: run.model_version,
        }
    }

    /// Those of a model that no run of this database trained.
    pub(crate) fn of_import(model: &ModelRecord) -> Self {
        let tags = [
            ("mlflow.source.name", Some("probeg".to_owned())),
            ("probeg.task", Some(model.task.clone())),
            ("probeg.version", Some(model.version.to_string())),
        ];
        Self {
            key: format!("version {}", key(model.version, model.created_at)),
            name: format!("version {} (imported)", model.version),
            started_at: model.created_at,
            is_over: true,
            status: "FINISHED",
            ended_at: Some(model.created_at),
            params: Vec::new(),
            tags: tags.into_iter().filter_map(|(key, value)| Some(tag(key, &value?))).collect(),
            version: Some(model.version),
        }
    }

    /// Identifies all of it.
    pub(crate) fn digest(&self) -> String {
        let (params, tags) = (json!(self.params), json!(self.tags));
        let all = json!([self.name, self.status, self.ended_at, params, tags, self.version]).to_string();
        Sha256::digest(all).iter().take(16).fold(String::new(), |digest, byte| format!("{digest}{byte:02x}"))
    }
}

/// What identifies a row among those of all databases: its number is unique in one, the time among all.
fn key(number: i64, at: DateTime<Utc>) -> String {
    format!("{number} of {}", at.to_rfc3339_opts(SecondsFormat::Micros, true))
}

fn run_tags(run: &Run, parent: Option<&str>, labels: &[String]) -> Vec<Entry> {
    let data = run.data.as_ref();
    let day = |day: Option<chrono::NaiveDate>| day.map(|day| day.to_string());
    let rows = |count: fn(&domain::SplitCounts) -> u64| run.rows.as_ref().map(|rows| count(rows).to_string());
    let tags = [
        ("mlflow.source.name", Some("probeg".to_owned())),
        ("mlflow.note.content", run.notes.clone()),
        ("mlflow.parentRunId", parent.map(str::to_owned)),
        ("probeg.run", Some(run.id.to_string())),
        ("probeg.task", Some(run.task.clone())),
        ("probeg.parent", run.parent.map(|parent| parent.to_string())),
        ("probeg.sweep", run.sweep.clone()),
        ("probeg.program", run.program.clone()),
        ("probeg.schema", run.schema_fingerprint.clone()),
        ("probeg.data", data.map(|data| data.fingerprint.clone())),
        ("probeg.data.rows", data.map(|data| data.rows.to_string())),
        ("probeg.data.first_date", data.and_then(|data| day(data.first_date))),
        ("probeg.data.last_date", data.and_then(|data| day(data.last_date))),
        ("probeg.rows.train", rows(|rows| rows.train)),
        ("probeg.rows.validation", rows(|rows| rows.validation)),
        ("probeg.rows.test", rows(|rows| rows.test)),
        ("probeg.version", run.model_version.map(|version| version.to_string())),
        ("probeg.error", run.error.clone()),
        (LABELS_TAG, (!labels.is_empty()).then(|| json!(labels).to_string())),
    ];
    let own = tags.into_iter().filter_map(|(key, value)| Some(tag(key, &value?)));
    own.chain(labels.iter().map(|label| tag(label, "true"))).collect()
}

fn tag(key: &str, value: &str) -> Entry {
    Entry { key: key.to_owned(), value: truncated(value, MAX_TAG) }
}

/// The key of a tag that people gave a run: MLflow accepts letters, digits, and some punctuation.
fn label(tag: &str) -> String {
    let is_accepted = |character: char| character.is_alphanumeric() || "_-. :".contains(character);
    let key: String = tag.chars().map(|character| if is_accepted(character) { character } else { '_' }).collect();
    let is_reserved = ["mlflow.", "probeg.", "."].iter().any(|prefix| key.starts_with(prefix));
    truncated(&if is_reserved { format!("tag.{key}") } else { key }, MAX_NAME)
}

/// The configuration as parameters, nested ones with dots.
fn params(config: &Value) -> Vec<Entry> {
    let mut params = Vec::new();
    flatten("", ".", config, &mut |key, value| {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        params.push(Entry { key: truncated(&key, MAX_NAME), value: truncated(&text, MAX_PARAM) });
    });
    params.sort();
    params
}

/// The figures of a run by training step.
pub(crate) fn figures(points: Vec<FigurePoint>) -> impl Iterator<Item = Metric> {
    points.into_iter().map(|point| Metric {
        key: point.name,
        value: point.value,
        timestamp: point.at.timestamp_millis(),
        step: point.step.cast_signed(),
    })
}

/// The metrics of epochs as `epoch/NAME`, by epoch: those by training step have the same names.
pub(crate) fn epochs(epochs: &[EpochMetrics]) -> impl Iterator<Item = Metric> {
    epochs.iter().flat_map(|epoch| {
        numbers("epoch/", &epoch.metrics).into_iter().map(|(key, value)| Metric {
            key,
            value,
            timestamp: epoch.recorded_at.timestamp_millis(),
            step: i64::from(epoch.epoch),
        })
    })
}

/// The accuracy card as `test/NAME`, without its many segments and forms, which are in the artifact.
pub(crate) fn card(model: &ModelRecord) -> impl Iterator<Item = Metric> {
    let mut card = model.accuracy.clone();
    if let Some(card) = card.as_object_mut() {
        card.retain(|name, _| name != "segments");
    }
    let timestamp = model.created_at.timestamp_millis();
    numbers(CARD, &card).into_iter().map(move |(key, value)| Metric { key, value, timestamp, step: 0 })
}

fn numbers(prefix: &str, value: &Value) -> Vec<(String, f64)> {
    let mut numbers = Vec::new();
    flatten(prefix, "/", value, &mut |key, value| {
        if let Some(number) = value.as_f64() {
            numbers.push((truncated(&key, MAX_NAME), number));
        }
    });
    numbers
}

/// Visits the values within an object and the objects in it.
fn flatten(prefix: &str, separator: &str, value: &Value, visit: &mut impl FnMut(String, &Value)) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let key = format!("{prefix}{name}");
        match value {
            Value::Object(_) => flatten(&format!("{key}{separator}"), separator, value, visit),
            _ => visit(key, value),
        }
    }
}

fn truncated(text: &str, max: usize) -> String {
    text.chars().take(max).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(status: RunStatus) -> Run {
        Run {
            id: 7,
            task: "price".to_owned(),
            name: None,
            label: None,
            tags: vec!["base/line".to_owned(), "mlflow.user".to_owned(), "осень".to_owned()],
            notes: Some("я".repeat(9000)),
            parent: Some(3),
            sweep: None,
            program: Some("0.1.0".to_owned()),
            status,
            seed: 1,
            config: json!({ "k": 4, "family": "network", "quantiles": [0.1, 0.5], "nested": { "a": true } }),
            schema_fingerprint: None,
            rows: None,
            started_at: DateTime::UNIX_EPOCH,
            heartbeat_at: DateTime::UNIX_EPOCH,
            finished_at: None,
            error: None,
            model_version: None,
            data: None,
            metrics: json!({}),
        }
    }

    fn pairs(entries: &[Entry]) -> Vec<(&str, &str)> {
        entries.iter().map(|entry| (entry.key.as_str(), entry.value.as_str())).collect()
    }

    #[test]
    fn parameters_are_sent_once_they_are_final() {
        let contents = Contents::of_run(&run(RunStatus::Running), None);
        assert!(contents.params.is_empty() && !contents.is_over && contents.ended_at.is_none());
        let described = Run { schema_fingerprint: Some("4f9c".to_owned()), ..run(RunStatus::Running) };
        let params = Contents::of_run(&described, None).params;
        let expected = [("family", "network"), ("k", "4"), ("nested.a", "true"), ("quantiles", "[0.1,0.5]")];
        assert_eq!(pairs(&params), expected);
    }

    #[test]
    fn tags_have_keys_and_lengths_that_mlflow_accepts() {
        let contents = Contents::of_run(&run(RunStatus::Interrupted), Some("abc"));
        assert_eq!((contents.status, contents.ended_at), ("KILLED", Some(DateTime::UNIX_EPOCH)));
        let tags = pairs(&contents.tags);
        for tag in
            [("base_line", "true"), ("tag.mlflow.user", "true"), ("осень", "true"), ("mlflow.parentRunId", "abc")]
        {
            assert!(tags.contains(&tag), "{tag:?} in {tags:?}");
        }
        assert!(contents.tags.iter().all(|tag| tag.value.chars().count() <= MAX_TAG));
    }

    #[test]
    fn what_changes_changes_the_digest() {
        let digest = |run: &Run| Contents::of_run(run, None).digest();
        let before = run(RunStatus::Completed);
        assert_eq!(digest(&before), digest(&before.clone()));
        assert_eq!(digest(&before).len(), 32);
        assert_ne!(digest(&before), digest(&Run { notes: None, ..before.clone() }));
        assert_ne!(digest(&before), digest(&Run { model_version: Some(1), ..before.clone() }));
    }

    #[test]
    fn only_numbers_become_metrics() {
        let value = json!({ "mape": 0.1, "floor": { "mape": 0.2, "intervals": [0.1, 0.3] }, "newest": null });
        assert_eq!(numbers("test/", &value), [("test/mape".to_owned(), 0.1), ("test/floor/mape".to_owned(), 0.2)]);
    }
}

//! The calls of MLflow's REST API that publishing needs.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::batch::{Batch, Entry};
use crate::client::Client;
use crate::error::{Error, Result};

/// The maximum number of values of a page of a history.
const HISTORY_PAGE: &str = "20000";

/// A run on MLflow.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct MlflowRun {
    pub(crate) info: RunInfo,
    #[serde(default)]
    pub(crate) data: RunData,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RunInfo {
    pub(crate) run_id: String,
    pub(crate) artifact_uri: String,
    pub(crate) lifecycle_stage: String,
}

/// Its parameters and tags, and the last value of each metric.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct RunData {
    pub(crate) params: Vec<ReceivedEntry>,
    pub(crate) tags: Vec<ReceivedEntry>,
    pub(crate) metrics: Vec<Point>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct ReceivedEntry {
    pub(crate) key: String,
    /// Absent if it is empty.
    #[serde(default)]
    pub(crate) value: String,
}

/// A value of a metric.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Point {
    pub(crate) key: String,
    /// Absent if it is zero.
    #[serde(default)]
    pub(crate) step: i64,
}

impl Client {
    /// The number of an experiment, which is created if there is none of this name.
    pub(crate) fn experiment(&self, name: &str) -> Result<String> {
        #[derive(Deserialize)]
        struct Found {
            experiment: Experiment,
        }
        #[derive(Deserialize)]
        struct Experiment {
            experiment_id: String,
            lifecycle_stage: String,
        }
        let find = || match self.get::<Found>("experiments/get-by-name", &[("experiment_name", name)]) {
            Ok(Found { experiment }) if experiment.lifecycle_stage == "deleted" => {
                Err(Error::DeletedExperiment(name.to_owned()))
            }
            Ok(Found { experiment }) => Ok(Some(experiment.experiment_id)),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        };
        if let Some(id) = find()? {
            return Ok(id);
        }
        match self.post::<IgnoredAny>("experiments/create", &json!({ "name": name })) {
            Ok(_) => {}
            // By another process.
            Err(error) if error.is_present() => {}
            Err(error) => return Err(error),
        }
        find()?.ok_or_else(|| Error::DeletedExperiment(name.to_owned()))
    }

    /// The run of an experiment with this value of a tag, even if it was deleted.
    pub(crate) fn find_run(&self, experiment: &str, tag: &str, value: &str) -> Result<Option<MlflowRun>> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(default)]
            runs: Vec<MlflowRun>,
        }
        let found: Found = self.post(
            "runs/search",
            &json!({
                "experiment_ids": [experiment], "filter": format!("tags.`{tag}` = '{value}'"), "run_view_type": "ALL",
                "max_results": 1, "order_by": ["attributes.start_time ASC"],
            }),
        )?;
        Ok(found.runs.into_iter().next())
    }

    /// Creates a run.
    pub(crate) fn create_run(
        &self,
        experiment: &str,
        name: &str,
        start_time: i64,
        tags: &[Entry],
    ) -> Result<MlflowRun> {
        #[derive(Deserialize)]
        struct Created {
            run: MlflowRun,
        }
        let body = json!({ "experiment_id": experiment, "run_name": name, "start_time": start_time, "tags": tags });
        Ok(self.post::<Created>("runs/create", &body)?.run)
    }

    /// All values of a metric of a run.
    pub(crate) fn history(&self, run: &str, metric: &str) -> Result<Vec<Point>> {
        #[derive(Deserialize)]
        struct Page {
            #[serde(default)]
            metrics: Vec<Point>,
            #[serde(default)]
            next_page_token: String,
        }
        let (mut points, mut token) = (Vec::new(), String::new());
        loop {
            let mut query = vec![("run_id", run), ("metric_key", metric), ("max_results", HISTORY_PAGE)];
            if !token.is_empty() {
                query.push(("page_token", &token));
            }
            let page: Page = self.get("metrics/get-history", &query)?;
            points.extend(page.metrics);
            if page.next_page_token.is_empty() {
                return Ok(points);
            }
            token = page.next_page_token;
        }
    }

    /// Adds parameters, tags and metrics to a run.
    pub(crate) fn log_batch(&self, run: &str, batch: &Batch) -> Result<()> {
        self.post::<IgnoredAny>("runs/log-batch", &batch.body(run)).map(drop)
    }

    /// Removes a tag from a run.
    pub(crate) fn delete_tag(&self, run: &str, key: &str) -> Result<()> {
        match self.post::<IgnoredAny>("runs/delete-tag", &json!({ "run_id": run, "key": key })) {
            Err(error) if !error.is_absent() => Err(error),
            _ => Ok(()),
        }
    }

    /// Changes the name, the status and the end of a run.
    pub(crate) fn update_run(&self, run: &str, name: &str, status: &str, end_time: Option<i64>) -> Result<()> {
        let body = json!({ "run_id": run, "run_name": name, "status": status, "end_time": end_time });
        self.post::<IgnoredAny>("runs/update", &body).map(drop)
    }

    /// Creates a registered model unless it exists.
    pub(crate) fn create_model(&self, name: &str) -> Result<()> {
        match self.post::<IgnoredAny>("registered-models/create", &json!({ "name": name })) {
            Err(error) if !error.is_present() => Err(error),
            _ => Ok(()),
        }
    }

    /// The version of a registered model that a run has, if any.
    pub(crate) fn find_version(&self, model: &str, run: &str) -> Result<Option<String>> {
        #[derive(Deserialize)]
        struct Found {
            #[serde(default)]
            model_versions: Vec<ModelVersion>,
        }
        let filter = format!("name = '{model}' and run_id = '{run}'");
        let found: Found = self.get("model-versions/search", &[("filter", &filter)])?;
        Ok(found.model_versions.into_iter().next().map(|found| found.version))
    }

    /// Adds a version to a registered model, and returns its number.
    pub(crate) fn create_version(&self, model: &str, run: &str, source: &str, tags: &[Entry]) -> Result<String> {
        #[derive(Deserialize)]
        struct Created {
            model_version: ModelVersion,
        }
        let body = json!({ "name": model, "source": source, "run_id": run, "tags": tags });
        Ok(self.post::<Created>("model-versions/create", &body)?.model_version.version)
    }

    /// The version to which an alias points, if any.
    pub(crate) fn alias(&self, model: &str, alias: &str) -> Result<Option<String>> {
        #[derive(Deserialize)]
        struct Found {
            model_version: ModelVersion,
        }
        match self.get::<Found>("registered-models/alias", &[("name", model), ("alias", alias)]) {
            Ok(found) => Ok(Some(found.model_version.version)),
            // An alias that does not exist is an invalid parameter for MLflow.
            Err(Error::Rejected { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Points an alias to a version.
    pub(crate) fn set_alias(&self, model: &str, alias: &str, version: &str) -> Result<()> {
        let body = json!({ "name": model, "alias": alias, "version": version });
        self.post::<IgnoredAny>("registered-models/alias", &body).map(drop)
    }
}

#[derive(Deserialize)]
struct ModelVersion {
    version: String,
}

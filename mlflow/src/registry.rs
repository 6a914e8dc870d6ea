//! MLflow's registry of models: a registered model per task, with the champion's alias.

use std::collections::BTreeMap;

use storage::{CHAMPION, ModelRecord};

use crate::artifacts::{self, MODEL};
use crate::batch::Entry;
use crate::error::Result;
use crate::run::{Published, RunCopy, Subject, Target};
use crate::tracking::Tracking;

/// The versions that MLflow is known to have as champions, by task.
pub(crate) type Champions = BTreeMap<String, i64>;

impl Tracking {
    /// Points the alias of each task's champion to its version, which is published before if it is not yet on MLflow. Returns
    /// the names of the registered models whose alias was moved.
    ///
    /// # Errors
    /// MLflow or the database is unavailable, or rejects something.
    pub fn publish_champions(&self) -> Result<Vec<String>> {
        self.update_champions(&mut Champions::new())
    }

    /// The same for those that are not known to be champions on MLflow.
    pub(crate) fn update_champions(&self, known: &mut Champions) -> Result<Vec<String>> {
        let champions = self.read(async |database| database.models().champions().await)?;
        let mut moved = Vec::new();
        for (task, champion) in champions {
            if known.get(&task) != Some(&champion.version)
                && let Some(is_moved) = self.set_champion(champion.version)?
            {
                if is_moved {
                    moved.push(self.model_name(&task));
                }
                known.insert(task, champion.version);
            }
        }
        Ok(moved)
    }

    /// Points the alias of a task's champion to a version, and returns whether it pointed elsewhere; `None` while the run of the
    /// version is not over.
    fn set_champion(&self, version: i64) -> Result<Option<bool>> {
        let model = self.read(async |database| database.models().get(version).await)?;
        let model = model.ok_or(storage::Error::NoModel(version))?;
        let mut copy = RunCopy::new(model.run_id.map_or(Subject::Import(version), Subject::Run));
        let target = match (copy.send(self)?, copy.target()) {
            (Published::Complete(_), Some(target)) => target,
            (Published::Deleted, _) => {
                tracing::warn!("The run of version {version} was deleted on MLflow, so its champion is another one.");
                return Ok(Some(false));
            }
            _ => return Ok(None),
        };
        let name = self.model_name(&model.task);
        let registered = self.register(target, &model)?;
        if self.client.alias(&name, CHAMPION)?.as_ref() == Some(&registered) {
            return Ok(Some(false));
        }
        self.client.set_alias(&name, CHAMPION, &registered)?;
        Ok(Some(true))
    }

    /// Registers the model of a run unless it is, and returns the number of its version on MLflow.
    pub(crate) fn register(&self, target: &Target, model: &ModelRecord) -> Result<String> {
        let name = self.model_name(&model.task);
        if let Some(registered) = self.client.find_version(&name, &target.run)? {
            return Ok(registered);
        }
        let bytes = self.read(async |database| database.models().bytes(model.version).await)?;
        let bytes = bytes.ok_or(storage::Error::NoModel(model.version))?;
        for file in artifacts::model_files(model, bytes, &target.run) {
            artifacts::upload(self, &target.artifacts, file)?;
        }
        self.alone(|| {
            if let Some(registered) = self.client.find_version(&name, &target.run)? {
                return Ok(registered);
            }
            self.client.create_model(&name)?;
            let source = format!("{}/{MODEL}", target.artifacts);
            let tag = |key: &str, value: String| Entry { key: key.to_owned(), value };
            let tags = [tag("probeg.version", model.version.to_string()), tag("probeg.sha256", model.sha256.clone())];
            self.client.create_version(&name, &target.run, &source, &tags)
        })
    }

    /// The name of a task's registered model: that of the experiment, without characters that MLflow does not accept, and that
    /// of the task.
    fn model_name(&self, task: &str) -> String {
        let is_accepted = |character: char| character.is_alphanumeric() || "_-. ".contains(character);
        let replaced = |character: char| if is_accepted(character) { character } else { '-' };
        let experiment: String = self.experiment.chars().map(replaced).collect();
        format!("{}-{task}", experiment.trim_matches('-'))
    }
}

//! The models in service, one per task, swapped while requests are in progress.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use chrono::{DateTime, NaiveDate, Utc};
use domain::accuracy::Accuracy;
use domain::task::PRICE;
use domain::{Listing, Market, Task, Valuation};
use onnx_model::Model;
use onnx_model::model::Predicted;
use onnx_model::names::CarNames;
use serde::Serialize;
use storage::ModelFile;
use utoipa::ToSchema;

use crate::http::problem::{FieldError, FieldErrors, Problem};
use crate::observability::drift::{Drift, FieldDrift};

/// The memory of a model apart from its weights, in bytes.
const MEMORY: u64 = 4 << 20;
/// The memory per byte of its file: the sessions of several sizes each have a copy of the weights.
const MEMORY_PER_BYTE: u64 = 8;

/// A model in service.
#[derive(Debug)]
pub(crate) struct Served {
    /// Its version in the registry.
    pub(crate) version: i64,
    /// The hash of its file: another registry may have a different model with the same version.
    pub(crate) sha256: Vec<u8>,
    /// The model itself.
    pub(crate) model: Model,
    /// The makes and models that it knows.
    pub(crate) names: CarNames,
    /// About how much memory it takes, in bytes.
    memory: u64,
    /// The drift of the valued cars, if the file has the distribution of the training data.
    drift: Option<Mutex<Drift>>,
}

impl Served {
    /// `file_size` is the size of its file in bytes.
    pub(crate) fn new(version: i64, sha256: Vec<u8>, model: Model, file_size: usize) -> Self {
        let memory = MEMORY + MEMORY_PER_BYTE * file_size as u64;
        let signature = model.signature();
        let training_rows = signature.run.rows.train;
        let drift = signature.reference.clone().map(|reference| Mutex::new(Drift::new(reference, training_rows)));
        let names = CarNames::new(signature);
        Self { version, sha256, model, names, memory, drift }
    }

    /// What it predicts.
    pub(crate) fn task(&self) -> &Task {
        &self.model.signature().task
    }

    /// The market of the cars that it values.
    pub(crate) fn market(&self) -> &Market {
        &self.task().market
    }

    /// Values many cars and counts them for the drift; see [`Model::value`].
    pub(crate) fn value(
        &self,
        listings: &[Listing],
        today: NaiveDate,
        level: f64,
    ) -> Result<Vec<Valuation>, onnx_model::Error> {
        self.model.value_observed(listings, today, level, |predicted| self.observe(predicted, 0..predicted.len()))
    }

    /// Counts predicted cars, by index, for the drift.
    pub(crate) fn observe(&self, predicted: &Predicted<'_>, rows: impl Iterator<Item = usize>) {
        let Some(drift) = &self.drift else { return };
        // The counts stay consistent after a panic.
        let mut drift = drift.lock().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let (ids, numbers) = self.model.present_inputs(predicted, row);
            drift.add(ids, numbers);
        }
    }

    /// The drift of each field; empty while there are too few cars.
    pub(crate) fn drift(&self) -> Vec<FieldDrift> {
        let Some(drift) = &self.drift else { return Vec::new() };
        drift.lock().unwrap_or_else(PoisonError::into_inner).fields()
    }
}

/// Why a champion could not be loaded.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = ReloadError)]
pub(crate) struct ReloadFailure {
    /// The version; null if the registry was unreachable.
    #[schema(example = 4)]
    pub(crate) version: Option<i64>,
    /// What went wrong.
    #[schema(example = "model version 4 is damaged")]
    pub(crate) message: String,
    /// Time of the first failure.
    pub(crate) since: DateTime<Utc>,
}

/// A task and its model. The model of a task that was not used for long may not be in memory.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) task: Task,
    /// In service, if in memory.
    served: ArcSwapOption<Served>,
    /// In service, in memory or not.
    champion: ArcSwapOption<Champion>,
    failure: ArcSwapOption<ReloadFailure>,
    /// The number of the last request that used it.
    last_used: AtomicU64,
    /// Held while the model is brought back into memory.
    pub(crate) loading: tokio::sync::Mutex<()>,
}

/// The champion of a task, whose file was checked.
#[derive(Debug)]
pub(crate) struct Champion {
    pub(crate) file: ModelFile,
    /// When it was trained, RFC 3339.
    pub(crate) trained_at: String,
    /// Its accuracy on the test split, if it was evaluated.
    pub(crate) accuracy: Option<Accuracy>,
}

impl Slot {
    fn new(task: Task) -> Self {
        Self {
            task,
            served: ArcSwapOption::empty(),
            champion: ArcSwapOption::empty(),
            failure: ArcSwapOption::empty(),
            last_used: AtomicU64::new(0),
            loading: tokio::sync::Mutex::new(()),
        }
    }

    /// The model, if it is in memory.
    pub(crate) fn served(&self) -> Option<Arc<Served>> {
        self.served.load_full()
    }

    /// The champion, in memory or not.
    pub(crate) fn champion(&self) -> Option<Arc<Champion>> {
        self.champion.load_full()
    }

    /// Why its champion is not in service, if loading it failed.
    pub(crate) fn failure(&self) -> Option<Arc<ReloadFailure>> {
        self.failure.load_full()
    }

    pub(crate) fn set_failure(&self, failure: Option<ReloadFailure>) {
        self.failure.store(failure.map(Arc::new));
    }
}

/// The models in service, within a memory budget.
#[derive(Debug)]
pub(crate) struct Models {
    /// By name of task.
    slots: ArcSwap<BTreeMap<String, Arc<Slot>>>,
    /// The task of requests that name none, if it is configured.
    default_task: Option<String>,
    /// For all models in memory, in bytes. The model that was used last is always in memory.
    budget: u64,
    requests: AtomicU64,
    /// Why the champions are unknown, if they are.
    failure: ArcSwapOption<ReloadFailure>,
}

impl Models {
    pub(crate) fn new(default_task: Option<String>, budget: u64) -> Self {
        Self {
            slots: ArcSwap::default(),
            default_task,
            budget,
            requests: AtomicU64::new(0),
            failure: ArcSwapOption::empty(),
        }
    }

    /// All tasks by name.
    pub(crate) fn slots(&self) -> Arc<BTreeMap<String, Arc<Slot>>> {
        self.slots.load_full()
    }

    /// A task, or the one of requests that name none: the configured one, or else `price`, or else the first with a champion.
    ///
    /// # Errors
    /// There is no such task, or none yet.
    pub(crate) fn slot(&self, task: Option<&str>) -> Result<Arc<Slot>, Problem> {
        let slots = self.slots.load();
        let Some(name) = task.or(self.default_task.as_deref()) else {
            let has_champion = |slot: &&Arc<Slot>| slot.champion().is_some();
            let price = slots.get(PRICE);
            let slot = price.filter(has_champion).or_else(|| slots.values().find(has_champion)).or(price);
            return slot.cloned().ok_or(Problem::NoModel);
        };
        match slots.get(name) {
            Some(slot) => Ok(Arc::clone(slot)),
            // Before the tasks are known, any may exist.
            None if task.is_none() || slots.is_empty() => Err(Problem::NoModel),
            None => {
                let known: Vec<&str> = slots.keys().map(String::as_str).collect();
                let shown = domain::cell::shorten(name);
                let msg = format!("there is no task {shown:?}; there are {}", known.join(", "));
                Err(Problem::Invalid(FieldErrors::from(FieldError::in_query("task", msg, "unknown_task"))))
            }
        }
    }

    /// Counts a use of a model.
    pub(crate) fn touch(&self, slot: &Slot) {
        slot.last_used.store(self.requests.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
    }

    /// Adds slots for new tasks, and removes those of tasks that no longer exist.
    pub(crate) fn set_tasks(&self, tasks: Vec<Task>) {
        let current = self.slots.load();
        let is_same = current.len() == tasks.len()
            && tasks.iter().all(|task| current.get(&task.name).is_some_and(|slot| slot.task == *task));
        if is_same {
            return;
        }
        let slot = |task: Task| match current.get(&task.name).filter(|slot| slot.task == task) {
            Some(slot) => Arc::clone(slot),
            None => Arc::new(Slot::new(task)),
        };
        let slots = tasks.into_iter().map(|task| (task.name.clone(), slot(task))).collect();
        self.slots.store(Arc::new(slots));
    }

    /// Puts a model into service, and returns what is to be dropped: the previous model, and models that were not used for long
    /// if there is too little memory. Requests in progress finish with the model they started with.
    pub(crate) fn put(&self, slot: &Slot, served: Served) -> Vec<Arc<Served>> {
        let signature = served.model.signature();
        slot.champion.store(Some(Arc::new(Champion {
            file: ModelFile { version: served.version, sha256: served.sha256.clone() },
            trained_at: signature.run.trained_at.clone(),
            accuracy: signature.accuracy.as_ref().map(|card| card.overall.clone()),
        })));
        let mut dropped = Vec::from_iter(slot.served.swap(Some(Arc::new(served))));
        slot.failure.store(None);
        self.touch(slot);
        dropped.extend(self.evict());
        dropped
    }

    /// Takes the least recently used models out of memory until the others are within the budget.
    fn evict(&self) -> Vec<Arc<Served>> {
        let slots = self.slots.load();
        let mut in_memory: Vec<(u64, u64, &Arc<Slot>)> = slots
            .values()
            .filter_map(|slot| Some((slot.last_used.load(Ordering::Relaxed), slot.served()?.memory, slot)))
            .collect();
        in_memory.sort_unstable_by_key(|(last_used, ..)| *last_used);
        let mut total: u64 = in_memory.iter().map(|(_, memory, _)| memory).sum();
        let mut dropped = Vec::new();
        in_memory.pop();
        for (_, memory, slot) in in_memory {
            if total <= self.budget {
                break;
            }
            total -= memory;
            dropped.extend(slot.served.swap(None));
        }
        dropped
    }

    /// Why the champions are unknown, or else why the champion of a task is not in service.
    pub(crate) fn failure(&self) -> Option<Arc<ReloadFailure>> {
        let of_slots = || self.slots.load().values().find_map(|slot| slot.failure());
        self.failure.load_full().or_else(of_slots)
    }

    /// Records why the champions are unknown.
    pub(crate) fn set_failure(&self, failure: Option<ReloadFailure>) {
        self.failure.store(failure.map(Arc::new));
    }

    pub(crate) fn registry_failure(&self) -> Option<Arc<ReloadFailure>> {
        self.failure.load_full()
    }
}

#[cfg(test)]
mod tests {
    use domain::Column;

    use super::*;
    use crate::config::Config;
    use crate::tests::fixture;

    fn task(name: &str) -> Task {
        Task::new(name, Market::russia().clone(), Column::Price, Vec::new()).unwrap()
    }

    fn in_memory(models: &Models) -> Vec<String> {
        let slots = models.slots();
        slots.values().filter(|slot| slot.served().is_some()).map(|slot| slot.task.name.clone()).collect()
    }

    #[tokio::test]
    async fn the_least_recently_used_models_leave_the_memory() {
        let state =
            fixture::state_without_model(Config { models_memory: 2 * (MEMORY + (1 << 20)), ..Config::default() });
        let models = &state.engine().models;
        for name in ["a", "b", "c"] {
            fixture::serve(&state, &task(name));
        }
        assert_eq!(in_memory(models), ["b", "c"]);
        let slot = |name| models.slot(Some(name)).unwrap();
        assert!(slot("a").champion().is_some(), "it is still in service");
        models.touch(&slot("b"));
        fixture::serve(&state, &task("d"));
        assert_eq!(in_memory(models), ["b", "d"]);
    }

    #[tokio::test]
    async fn the_model_that_was_used_last_stays_in_memory() {
        let state = fixture::state_without_model(Config { models_memory: 1, ..Config::default() });
        fixture::serve(&state, &task("a"));
        fixture::serve(&state, &task("b"));
        assert_eq!(in_memory(&state.engine().models), ["b"]);
    }

    #[tokio::test]
    async fn requests_without_a_task_get_the_configured_one_or_price_or_the_first_with_a_model() {
        let name = |default: Option<&str>, tasks: &[&str]| {
            let config = Config { default_task: default.map(str::to_owned), ..Config::default() };
            let state = fixture::state_without_model(config);
            for name in tasks {
                fixture::serve(&state, &task(name));
            }
            state.engine().models.slot(None).map(|slot| slot.task.name.clone())
        };
        assert_eq!(name(None, &["a", PRICE]).unwrap(), PRICE);
        assert_eq!(name(Some("a"), &["a", PRICE]).unwrap(), "a");
        assert_eq!(name(None, &["b", "a"]).unwrap(), "a");
        assert_eq!(name(None, &[]).unwrap_err(), Problem::NoModel);
        assert_eq!(name(Some("c"), &["a"]).unwrap_err(), Problem::NoModel);
    }
}

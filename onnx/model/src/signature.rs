//! The metadata of a model file: JSON under keys that begin with `probeg.`.

use chrono::NaiveDate;
use domain::accuracy::AccuracyCard;
use domain::calibration::Calibration;
use domain::feature::FeatureSchema;
use domain::vocabulary::write_key;
use domain::{SplitCounts, Task};
use rustc_hash::FxHashSet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tract_onnx::pb::ModelProto;

use crate::error::Error;
use crate::file::decode;
use crate::reference::Reference;

/// The metadata of a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signature {
    /// `probeg.task`: what the model predicts, in which market; missing in older files, which predict Russian asking prices.
    #[serde(default = "Task::price")]
    pub task: Task,
    /// `probeg.schema`: the encoding of listings as inputs.
    pub schema: FeatureSchema,
    /// `probeg.quantiles`: the quantile levels of the output, in order, symmetric around 0.5.
    pub quantiles: Vec<f64>,
    /// `probeg.calibration`: the conformal intervals.
    pub calibration: Calibration,
    /// `probeg.accuracy`: the accuracy on the test split; `null` before the evaluation.
    pub accuracy: Option<AccuracyCard>,
    /// `probeg.run`: the run that trained the model.
    pub run: RunSummary,
    /// `probeg.reference`: the distribution of the training data; missing in older files.
    pub reference: Option<Reference>,
    /// `probeg.golden`: the golden rows; missing in older files.
    pub golden: Option<Golden>,
}

/// Golden rows: inputs with the prices that the network predicted before it was exported, or that a foreign model gave when it
/// was imported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// The ids `[N, C]`, in row-major order.
    pub categorical: Vec<i64>,
    /// The numbers `[N, F]`, in row-major order, null if missing.
    pub numeric: Vec<Option<f32>>,
    /// The price quantiles `[N, Q]`, in row-major order.
    pub price_quantiles: Vec<f32>,
}

/// The run that trained a model, or the program that it was imported from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The number of the run in its database; none if another program trained the model.
    #[serde(default)]
    pub id: Option<i64>,
    /// The program that trained the model, as its file says, if it was not a run of Probeg.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<String>,
    /// When the run started, RFC 3339.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When the file was created, RFC 3339.
    pub trained_at: String,
    /// The random seed of the run.
    #[serde(default)]
    pub seed: Option<u64>,
    /// The number of listings in each split when the model was trained or, without a run, measured.
    pub rows: SplitCounts,
    /// The date of the newest listing that the model learned from; missing in older files and without dates.
    #[serde(default)]
    pub market_as_of: Option<NaiveDate>,
    /// The full configuration of the run.
    #[serde(default)]
    pub config: serde_json::Value,
}

impl Signature {
    /// The metadata entries, as (key, JSON).
    ///
    /// # Errors
    /// A value cannot be serialized as JSON.
    pub fn to_metadata(&self) -> Result<[(&'static str, String); 8], Error> {
        Ok([
            entry("probeg.task", &self.task)?,
            entry("probeg.schema", &self.schema)?,
            entry("probeg.quantiles", &self.quantiles)?,
            entry("probeg.calibration", &self.calibration)?,
            entry("probeg.accuracy", &self.accuracy)?,
            entry("probeg.run", &self.run)?,
            entry("probeg.reference", &self.reference)?,
            entry("probeg.golden", &self.golden)?,
        ])
    }

    /// Reads the signature of a file and checks that it is consistent.
    ///
    /// # Errors
    /// The bytes are not an ONNX file, or the metadata is missing, malformed or inconsistent.
    pub fn of_file(bytes: &[u8]) -> Result<Self, Error> {
        Self::of(&decode(bytes)?)
    }

    pub(crate) fn of(file: &ModelProto) -> Result<Self, Error> {
        let signature = Self {
            task: read_if_present(file, "probeg.task")?.unwrap_or_else(Task::price),
            schema: read(file, "probeg.schema")?,
            quantiles: read(file, "probeg.quantiles")?,
            calibration: read(file, "probeg.calibration")?,
            accuracy: read(file, "probeg.accuracy")?,
            run: read(file, "probeg.run")?,
            reference: read_if_present(file, "probeg.reference")?,
            golden: read_if_present(file, "probeg.golden")?,
        };
        signature.check()?;
        Ok(signature)
    }

    /// The part that the registry stores with the file.
    #[must_use]
    pub fn summary(&self) -> serde_json::Value {
        serde_json::json!({ "fingerprint": self.schema.fingerprint, "quantiles": self.quantiles })
    }

    fn check(&self) -> Result<(), Error> {
        let Task { name, market, target, conditions } = self.task.clone();
        Task::new(&name, market, target, conditions).map_err(|error| metadata("probeg.task", &error))?;
        if !self.schema.is_intact() {
            return Err(metadata("probeg.schema", &"its fingerprint does not match its content"));
        }
        check_schema(&self.schema).map_err(|reason| metadata("probeg.schema", &reason))?;
        let levels = &self.quantiles;
        let is_ascending =
            levels.windows(2).all(|pair| pair[0] < pair[1]) && levels.iter().all(|at| (0.0..1.0).contains(at));
        if levels.len().is_multiple_of(2) || !is_ascending {
            return Err(metadata(
                "probeg.quantiles",
                &"the levels must be ascending and odd in number, with the median in the middle",
            ));
        }
        if !self.calibration.is_consistent(self.quantiles.len()) {
            return Err(metadata("probeg.calibration", &"its bands and offsets are inconsistent"));
        }
        if !self.reference.as_ref().is_none_or(|reference| matches_schema(reference, &self.schema)) {
            return Err(metadata("probeg.reference", &"its features are not those of `probeg.schema`"));
        }
        if let Some(golden) = &self.golden {
            golden.check(&self.schema, self.quantiles.len()).map_err(|reason| metadata("probeg.golden", &reason))?;
        }
        Ok(())
    }
}

/// The maximum number of golden rows in a file.
const MAX_GOLDEN_ROWS: usize = 1024;

impl Golden {
    fn check(&self, schema: &FeatureSchema, quantiles: usize) -> Result<(), String> {
        let Self { categorical, numeric, price_quantiles } = self;
        let rows = price_quantiles.len() / quantiles;
        if !(1..=MAX_GOLDEN_ROWS).contains(&rows) {
            return Err(format!("it has {rows} rows instead of 1 to {MAX_GOLDEN_ROWS}"));
        }
        let widths = [schema.categorical.len(), schema.numeric.len(), quantiles];
        if [categorical.len(), numeric.len(), price_quantiles.len()] != widths.map(|width| rows * width) {
            let lengths = [categorical.len(), numeric.len(), price_quantiles.len()];
            return Err(format!("{lengths:?} ids, numbers and prices are not rows of {widths:?}"));
        }
        for ids in categorical.chunks(schema.categorical.len()) {
            for (id, feature) in ids.iter().zip(&schema.categorical) {
                if !usize::try_from(*id).is_ok_and(|id| id <= feature.values.len()) {
                    return Err(format!("{} has no id {id}", feature.name));
                }
            }
        }
        Ok(())
    }
}

/// Checks that keys are unique and have a text for each column.
pub(crate) fn check_schema(schema: &FeatureSchema) -> Result<(), String> {
    if schema.categorical.is_empty() || schema.numeric.is_empty() {
        return Err("it has no categorical or no numeric features".to_owned());
    }
    let mut key = String::new();
    for feature in &schema.categorical {
        let mut keys = FxHashSet::default();
        for texts in &feature.values {
            let is_complete = write_key(&mut key, texts.iter().map(|text| Some(text.as_str())));
            if !is_complete || texts.is_empty() || texts.len() != feature.columns.len() {
                return Err(format!("{texts:?} is not a key of {} with columns {:?}", feature.name, feature.columns));
            }
            if !keys.insert(key.clone()) {
                return Err(format!("{texts:?} is twice among the values of {}", feature.name));
            }
        }
    }
    Ok(())
}

fn matches_schema(reference: &Reference, schema: &FeatureSchema) -> bool {
    let Reference { categorical, numeric } = reference;
    categorical.len() == schema.categorical.len()
        && numeric.len() == schema.numeric.len()
        && categorical.iter().all(|distribution| distribution.shares.len() == distribution.ids.len() + 2)
        && numeric.iter().all(|distribution| distribution.shares.len() == distribution.edges.len() + 2)
}

fn entry(key: &'static str, value: &impl Serialize) -> Result<(&'static str, String), Error> {
    serde_json::to_string(value).map(|json| (key, json)).map_err(|error| metadata(key, &error))
}

fn read_if_present<T: DeserializeOwned>(file: &ModelProto, key: &'static str) -> Result<Option<T>, Error> {
    if file.metadata_props.iter().any(|entry| entry.key == key) { read(file, key) } else { Ok(None) }
}

fn read<T: DeserializeOwned>(file: &ModelProto, key: &'static str) -> Result<T, Error> {
    let entry = file.metadata_props.iter().find(|entry| entry.key == key);
    let json = &entry.ok_or_else(|| metadata(key, &"it is missing"))?.value;
    serde_json::from_str(json).map_err(|error| metadata(key, &error))
}

fn metadata(key: &'static str, reason: &dyn std::fmt::Display) -> Error {
    Error::Metadata { key, reason: reason.to_string() }
}

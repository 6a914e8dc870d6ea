//! The metadata of a model file: JSON under keys that begin with `probeg.`.

use domain::SplitCounts;
use domain::accuracy::AccuracyCard;
use domain::calibration::Calibration;
use domain::feature::FeatureSchema;
use domain::vocabulary::write_key;
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
    /// `probeg.schema`: how a listing becomes the inputs.
    pub schema: FeatureSchema,
    /// `probeg.quantiles`: the levels of the output, in its order, symmetric around 0.5.
    pub quantiles: Vec<f64>,
    /// `probeg.calibration`: the conformal intervals.
    pub calibration: Calibration,
    /// `probeg.accuracy`: measured on the test split; `null` while a file is being made.
    pub accuracy: Option<AccuracyCard>,
    /// `probeg.run`: the run that made the file.
    pub run: RunSummary,
    /// `probeg.reference`: how the values of the training data are spread; missing in older files.
    pub reference: Option<Reference>,
    /// `probeg.golden`: rows with the prices that the file must give for them; missing in older files.
    pub golden: Option<Golden>,
}

/// Rows with the prices that the network gave for them before it was exported.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Golden {
    /// Ids, `[N, C]`, row by row.
    pub categorical: Vec<i64>,
    /// Numbers, `[N, F]`, row by row, null where missing.
    pub numeric: Vec<Option<f32>>,
    /// Quantiles of the price, `[N, Q]`, row by row.
    pub price_quantiles: Vec<f32>,
}

/// The run that made a model file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSummary {
    /// The run's number in the database that it was trained from.
    pub id: i64,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// When the file was made, RFC 3339.
    pub trained_at: String,
    /// The seed of everything random.
    pub seed: u64,
    /// Listings in the train, validation and test splits.
    pub rows: SplitCounts,
    /// The whole configuration.
    pub config: serde_json::Value,
}

impl Signature {
    /// The metadata entries, as (key, JSON).
    ///
    /// # Errors
    /// When a value cannot be written as JSON, such as a number that is not finite.
    pub fn to_metadata(&self) -> Result<[(&'static str, String); 7], Error> {
        Ok([
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
    /// When the bytes are not an ONNX file, or the metadata is missing, malformed or inconsistent.
    pub fn of_file(bytes: &[u8]) -> Result<Self, Error> {
        Self::of(&decode(bytes)?)
    }

    pub(crate) fn of(file: &ModelProto) -> Result<Self, Error> {
        let signature = Self {
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

    /// The part of it that a registry stores beside the file.
    #[must_use]
    pub fn summary(&self) -> serde_json::Value {
        serde_json::json!({ "fingerprint": self.schema.fingerprint, "quantiles": self.quantiles })
    }

    fn check(&self) -> Result<(), Error> {
        if !self.schema.is_intact() {
            return Err(metadata("probeg.schema", &"its fingerprint does not fit its content"));
        }
        check_schema(&self.schema).map_err(|reason| metadata("probeg.schema", &reason))?;
        let levels = &self.quantiles;
        let rising = levels.windows(2).all(|pair| pair[0] < pair[1]) && levels.iter().all(|at| (0.0..1.0).contains(at));
        if levels.len().is_multiple_of(2) || !rising {
            return Err(metadata("probeg.quantiles", &"levels must rise and be odd in number, the median amid them"));
        }
        if !self.calibration.is_consistent(self.quantiles.len()) {
            return Err(metadata("probeg.calibration", &"bands and offsets do not fit each other"));
        }
        if !self.reference.as_ref().is_none_or(|reference| fits(reference, &self.schema)) {
            return Err(metadata("probeg.reference", &"its features are not those of `probeg.schema`"));
        }
        if let Some(golden) = &self.golden {
            golden.check(&self.schema, self.quantiles.len()).map_err(|reason| metadata("probeg.golden", &reason))?;
        }
        Ok(())
    }
}

/// The most golden rows of a file.
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

/// Every key has one id, and a text for each of its columns.
fn check_schema(schema: &FeatureSchema) -> Result<(), String> {
    if schema.categorical.is_empty() || schema.numeric.is_empty() {
        return Err("it has no categorical or no numeric features".to_owned());
    }
    let mut key = String::new();
    for feature in &schema.categorical {
        let mut keys = FxHashSet::default();
        for texts in &feature.values {
            let is_whole = write_key(&mut key, texts.iter().map(|text| Some(text.as_str())));
            if !is_whole || texts.is_empty() || texts.len() != feature.columns.len() {
                return Err(format!("{texts:?} is no key of {} in columns {:?}", feature.name, feature.columns));
            }
            if !keys.insert(key.clone()) {
                return Err(format!("{texts:?} is twice among the values of {}", feature.name));
            }
        }
    }
    Ok(())
}

fn fits(reference: &Reference, schema: &FeatureSchema) -> bool {
    let Reference { categorical, numeric } = reference;
    categorical.len() == schema.categorical.len()
        && numeric.len() == schema.numeric.len()
        && categorical.iter().all(|spread| spread.shares.len() == spread.ids.len() + 2)
        && numeric.iter().all(|spread| spread.shares.len() == spread.edges.len() + 2)
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

//! What a model file says of itself: JSON under keys of its metadata that begin with `probeg.`.

use domain::accuracy::AccuracyCard;
use domain::calibration::Calibration;
use domain::drift::Reference;
use domain::feature::FeatureSchema;
use prost::Message;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tract_onnx::pb::ModelProto;

use crate::Error;

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
    pub rows: Rows,
    /// The whole configuration.
    pub config: serde_json::Value,
}

/// How many listings each split had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rows {
    /// Listings learned from.
    pub train: u64,
    /// Listings that stopped the training and calibrated the intervals.
    pub validation: u64,
    /// Listings measured on.
    pub test: u64,
}

impl Signature {
    /// The metadata entries, as (key, JSON).
    ///
    /// # Errors
    /// When a value cannot be said in JSON, such as a figure that is not finite.
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

    /// Reads the signature of a file and checks that it agrees with itself and with the file's graph.
    ///
    /// # Errors
    /// When the bytes are no ONNX file, or the metadata is missing, malformed or inconsistent.
    pub fn of_file(bytes: &[u8]) -> Result<Self, Error> {
        let file = ModelProto::decode(bytes)?;
        let signature = Self {
            schema: read(&file, "probeg.schema")?,
            quantiles: read(&file, "probeg.quantiles")?,
            calibration: read(&file, "probeg.calibration")?,
            accuracy: read(&file, "probeg.accuracy")?,
            run: read(&file, "probeg.run")?,
            reference: read_if_present(&file, "probeg.reference")?,
            golden: read_if_present(&file, "probeg.golden")?,
        };
        signature.check()?;
        Ok(signature)
    }

    /// What a registry keeps of it beside the file.
    #[must_use]
    pub fn summary(&self) -> serde_json::Value {
        serde_json::json!({ "fingerprint": self.schema.fingerprint, "quantiles": self.quantiles })
    }

    fn check(&self) -> Result<(), Error> {
        if !self.schema.is_intact() {
            return Err(metadata("probeg.schema", &"its fingerprint does not fit its content"));
        }
        let rising = self.quantiles.windows(2).all(|pair| pair[0] < pair[1]);
        if self.quantiles.len().is_multiple_of(2) || !rising {
            return Err(metadata("probeg.quantiles", &"levels must rise and be odd in number, the median amid them"));
        }
        if !self.calibration.is_consistent(self.quantiles.len()) {
            return Err(metadata("probeg.calibration", &"bands and offsets do not fit each other"));
        }
        Ok(())
    }
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

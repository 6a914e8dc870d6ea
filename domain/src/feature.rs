//! The features of the model.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::column::Column;
use crate::market::Market;

/// A categorical feature: one or more text columns that identify a category together, such as a model name with its
/// brand.
#[derive(Clone, Copy, Debug)]
pub struct Categorical {
    /// The name in the feature schema.
    pub name: &'static str,
    /// The columns that make up the key, in order.
    pub columns: &'static [Column],
}

/// The categorical features, in input order.
pub const CATEGORICAL: [Categorical; 13] = [
    Categorical { name: "brand", columns: &[Column::Brand] },
    Categorical { name: "model", columns: &[Column::Brand, Column::Model] },
    Categorical { name: "vehicle_generation", columns: &[Column::Brand, Column::Model, Column::VehicleGeneration] },
    Categorical { name: "body_type", columns: &[Column::BodyType] },
    Categorical { name: "fuel_type", columns: &[Column::FuelType] },
    Categorical { name: "transmission", columns: &[Column::Transmission] },
    Categorical { name: "drive", columns: &[Column::Drive] },
    Categorical { name: "wheel", columns: &[Column::Wheel] },
    Categorical { name: "state", columns: &[Column::State] },
    Categorical { name: "pts", columns: &[Column::Pts] },
    Categorical { name: "customs", columns: &[Column::Customs] },
    Categorical { name: "region", columns: &[Column::Region] },
    Categorical { name: "color", columns: &[Column::Color] },
];

/// Index of the make in [`CATEGORICAL`].
pub const BRAND: usize = 0;
/// Index of the model in [`CATEGORICAL`].
pub const MODEL: usize = 1;
/// Index of the generation in [`CATEGORICAL`].
pub const GENERATION: usize = 2;

/// The numeric features, in input order, in the units of their columns.
pub const NUMERIC: [Column; 6] = [
    Column::Year,
    Column::Mileage,
    Column::EngineVolume,
    Column::EnginePower,
    Column::OwnersCount,
    Column::ListingDate,
];

/// Index of a column in [`NUMERIC`].
///
/// # Panics
/// If the column is not a numeric feature; in a constant, at compile time.
#[must_use]
pub const fn numeric_index(column: Column) -> usize {
    let mut index = 0;
    while NUMERIC[index] as usize != column as usize {
        index += 1;
    }
    index
}

/// The content of `probeg.schema` in a model file: all that a client in any language needs to encode a listing as the
/// model's inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FeatureSchema {
    /// A hash of everything below: equal fingerprints mean equal inputs.
    pub fingerprint: String,
    /// In input order.
    pub categorical: Vec<CategoricalFeature>,
    /// In input order.
    pub numeric: Vec<NumericFeature>,
    /// By column: folded synonym to its folded canonical form.
    pub synonyms: BTreeMap<String, BTreeMap<String, String>>,
}

/// A categorical feature with its vocabulary.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CategoricalFeature {
    /// Feature name.
    pub name: String,
    /// Names of the columns that make up the key.
    pub columns: Vec<String>,
    /// The known keys; the id of a key is its position, starting at 1.
    pub values: Vec<Vec<String>>,
}

impl CategoricalFeature {
    /// The sorted texts of the last column in the keys that start with the leading texts; `None` matches any text.
    /// Ignored by features of a single column.
    #[must_use]
    pub fn known_texts(&self, leading: &[Option<String>]) -> Vec<String> {
        let has_leading = self.columns.len() > 1;
        let matches =
            |(text, leading): (&String, &Option<String>)| leading.as_ref().is_none_or(|leading| leading == text);
        let is_match = |key: &&Vec<String>| !has_leading || key.iter().take(key.len() - 1).zip(leading).all(matches);
        let texts: BTreeSet<&String> = self.values.iter().filter(is_match).filter_map(|key| key.last()).collect();
        texts.into_iter().cloned().collect()
    }
}

/// A numeric feature.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumericFeature {
    /// Column name.
    pub name: String,
    /// Unit; empty if there is none.
    pub unit: String,
}

impl FeatureSchema {
    /// The sorted known texts by column; see [`CategoricalFeature::known_texts`].
    #[must_use]
    pub fn known_texts(&self, leading: &[Option<String>]) -> Vec<(Column, Vec<String>)> {
        let column = |feature: &CategoricalFeature| Column::from_name(feature.columns.last()?);
        let features = self.categorical.iter();
        features.filter_map(|feature| Some((column(feature)?, feature.known_texts(leading)))).collect()
    }

    /// The schema of this build's features in a market, with one vocabulary per categorical feature in the order of
    /// [`CATEGORICAL`].
    #[must_use]
    pub fn new(vocabularies: Vec<Vec<Vec<String>>>, market: &Market) -> Self {
        let categorical = CATEGORICAL
            .iter()
            .zip(vocabularies)
            .map(|(feature, values)| CategoricalFeature {
                name: feature.name.to_owned(),
                columns: feature.columns.iter().map(|column| column.name().to_owned()).collect(),
                values,
            })
            .collect();
        let numeric = NUMERIC
            .iter()
            .map(|column| NumericFeature { name: column.name().to_owned(), unit: column.unit().to_owned() })
            .collect();
        Self { fingerprint: String::new(), categorical, numeric, synonyms: market.synonyms() }.with_fingerprint()
    }

    /// The same schema with its fingerprint recomputed.
    #[must_use]
    pub fn with_fingerprint(self) -> Self {
        Self { fingerprint: self.compute_fingerprint(), ..self }
    }

    /// Whether the fingerprint matches the content.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.fingerprint == self.compute_fingerprint()
    }

    fn compute_fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        let mut feed = |text: &str| {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        };
        for feature in &self.categorical {
            feed(&feature.name);
            feature.columns.iter().for_each(|column| feed(column));
            feature.values.iter().flatten().for_each(|text| feed(text));
        }
        for feature in &self.numeric {
            feed(&feature.name);
            feed(&feature.unit);
        }
        for (column, table) in &self.synonyms {
            feed(column);
            for (word, meaning) in table {
                feed(word);
                feed(meaning);
            }
        }
        let digest = hash.finalize();
        format!("{:016x}", u64::from_be_bytes(std::array::from_fn(|index| digest[index])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fingerprint_depends_on_the_content() {
        let empty = FeatureSchema::new(vec![Vec::new(); CATEGORICAL.len()], Market::russia());
        assert!(empty.is_intact());
        let mut changed = empty.clone();
        changed.categorical[0].values.push(vec!["kia".into()]);
        assert!(!changed.is_intact());
        assert_eq!(empty.fingerprint.len(), 16);
    }

    #[test]
    fn indices_match_the_lists() {
        const MILEAGE: usize = numeric_index(Column::Mileage);
        let names = [BRAND, MODEL, GENERATION].map(|index| CATEGORICAL[index].name);
        assert_eq!(names, ["brand", "model", "vehicle_generation"]);
        assert_eq!(NUMERIC[MILEAGE], Column::Mileage);
    }
}

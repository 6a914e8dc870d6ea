//! Counts keys in one pass over the listings, and builds the vocabularies of the feature schema.

use domain::feature::{CATEGORICAL, FeatureSchema};
use domain::vocabulary::{SEPARATOR, write_key};
use domain::{Column, Market};

use crate::frequency::FrequencySketch;

/// Counts the keys of every categorical feature in bounded memory.
#[derive(Debug)]
pub struct VocabularyCounter {
    counts: Vec<FrequencySketch<String>>,
    key: String,
}

impl VocabularyCounter {
    /// Counts up to this many distinct keys per feature exactly, and frequent keys approximately beyond that.
    #[must_use]
    pub fn new(keys: usize) -> Self {
        Self { counts: CATEGORICAL.iter().map(|_| FrequencySketch::new(keys)).collect(), key: String::new() }
    }

    /// Counts a listing, whose canonical text of each column `text` returns.
    pub fn add<'a>(&mut self, text: impl Fn(Column) -> Option<&'a str>) {
        for (feature, counts) in CATEGORICAL.iter().zip(&mut self.counts) {
            if write_key(&mut self.key, feature.columns.iter().map(|column| text(*column))) {
                counts.add(self.key.as_str(), 1);
            }
        }
    }

    /// The schema for a market with the keys that occur at least `min_count` times: at most the `max_values` most frequent keys per feature,
    /// sorted by text.
    #[must_use]
    pub fn into_schema(self, min_count: u64, max_values: usize, market: &Market) -> FeatureSchema {
        let vocabularies = self.counts.into_iter().map(|counts| {
            let mut keys: Vec<(String, u64)> = counts.into_counts().filter(|(_, count)| *count >= min_count).collect();
            keys.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
            keys.truncate(max_values);
            keys.sort_unstable();
            keys.into_iter().map(|(key, _)| key.split(SEPARATOR).map(str::to_owned).collect()).collect()
        });
        FeatureSchema::new(vocabularies.collect(), market)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_require_all_their_texts() {
        let mut counter = VocabularyCounter::new(100);
        for (brand, model) in [("kia", Some("rio")), ("kia", None), ("lada (ваз)", Some("2114")), ("kia", Some("rio"))]
        {
            counter.add(|column| match column {
                Column::Brand => Some(brand),
                Column::Model => model,
                _ => None,
            });
        }
        let schema = counter.into_schema(1, 100, Market::russia());
        assert_eq!(schema.categorical[0].values, [vec!["kia"], vec!["lada (ваз)"]]);
        assert_eq!(schema.categorical[1].values, [vec!["kia", "rio"], vec!["lada (ваз)", "2114"]]);
        assert!(schema.categorical[2].values.is_empty());
    }

    #[test]
    fn rare_keys_are_unknown() {
        let mut counter = VocabularyCounter::new(100);
        for brand in ["a", "b", "b", "c", "c", "c"] {
            counter.add(|column| (column == Column::Brand).then_some(brand));
        }
        assert_eq!(counter.into_schema(2, 1, Market::russia()).categorical[0].values, [vec!["c"]]);
    }
}

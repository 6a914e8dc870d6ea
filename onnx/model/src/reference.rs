//! The distribution of the training data, for drift detection.

use domain::quantile;
use serde::{Deserialize, Serialize};

/// The maximum number of keys with a bin; the others share one.
const MAX_KEYS: usize = 30;
/// The number of bins of a number before duplicates are merged.
const BINS: usize = 10;

/// The distribution of each feature in the training data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Categorical features in input order.
    pub categorical: Vec<KeyDistribution>,
    /// Numeric features in input order.
    pub numeric: Vec<NumberDistribution>,
}

/// The distribution of a categorical feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeyDistribution {
    /// The name of the feature.
    pub name: String,
    /// The most frequent ids, the most frequent first.
    pub ids: Vec<i64>,
    /// The share of each of these ids, of all other known keys, and of unknown or missing keys.
    pub shares: Vec<f64>,
}

/// The distribution of a numeric feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NumberDistribution {
    /// The name of the feature.
    pub name: String,
    /// The ascending, distinct edges between the bins.
    pub edges: Vec<f32>,
    /// The share of each bin, and of missing numbers.
    pub shares: Vec<f64>,
}

impl KeyDistribution {
    /// The distribution of a feature from the count of each id, starting at 0.
    #[must_use]
    pub fn new(name: &str, counts: &[u64]) -> Self {
        let (unknown, known) = counts.split_first().unwrap_or((&0, &[]));
        let mut ids: Vec<(i64, u64)> = (1..).zip(known.iter().copied()).collect();
        ids.sort_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
        let others: u64 = ids.iter().skip(MAX_KEYS).map(|(_, count)| count).sum();
        ids.truncate(MAX_KEYS);
        let counts = ids.iter().map(|(_, count)| *count).chain([others, *unknown]);
        Self {
            name: name.to_owned(),
            shares: shares(&counts.collect::<Vec<_>>()),
            ids: ids.into_iter().map(|(id, _)| id).collect(),
        }
    }

    /// The bin of a value, an index of `shares`.
    #[must_use]
    pub fn bin(&self, id: i64) -> usize {
        match self.ids.iter().position(|known| *known == id) {
            Some(index) => index,
            None if id > 0 => self.ids.len(),
            None => self.ids.len() + 1,
        }
    }
}

impl NumberDistribution {
    /// The distribution of a feature from a sample of its values, NaN if missing.
    #[must_use]
    pub fn new(name: &str, values: &[f32]) -> Self {
        let mut known: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        known.sort_unstable_by(f32::total_cmp);
        let edges = quantile::bin_edges(&known, BINS);
        let mut distribution = Self { name: name.to_owned(), edges, shares: Vec::new() };
        let mut counts = vec![0; distribution.edges.len() + 2];
        for value in values {
            counts[distribution.bin(*value)] += 1;
        }
        distribution.shares = shares(&counts);
        distribution
    }

    /// The bin of a value, an index of `shares`.
    #[must_use]
    pub fn bin(&self, value: f32) -> usize {
        if value.is_nan() { self.edges.len() + 1 } else { self.edges.partition_point(|edge| *edge <= value) }
    }
}

fn shares(counts: &[u64]) -> Vec<f64> {
    let all = counts.iter().sum::<u64>().max(1);
    counts.iter().map(|count| as_f64(*count) / as_f64(all)).collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of listings")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rare_keys_share_a_bin() {
        let distribution = KeyDistribution::new("model", &(0..100).collect::<Vec<u64>>());
        assert_eq!((distribution.ids.len(), distribution.ids[0], distribution.shares.len()), (30, 99, 32));
        assert!((distribution.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!([99, 3, 1000, 0].map(|id| distribution.bin(id)), [0, 30, 30, 31]);
    }

    #[test]
    fn constant_and_missing_numbers_have_bins() {
        assert_eq!(NumberDistribution::new("a", &[f32::NAN]).shares, [0.0, 1.0]);
        assert_eq!(NumberDistribution::new("a", &[5.0; 3]).shares, [0.0, 1.0, 0.0]);
    }
}

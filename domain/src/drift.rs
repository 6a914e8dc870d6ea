//! How far the listings that are valued differ from those that a model has learned from.

use serde::{Deserialize, Serialize};

/// Shares below this count as this much, so that one listing of a new kind does not make the index infinite.
const LEAST_SHARE: f64 = 1e-4;
/// Keys of a category that are told apart, the most frequent ones.
const MOST_KEYS: usize = 30;
/// Bins of a number, before those that are the same are merged.
const BINS: usize = 10;
/// Once so many listings are counted, all counts are halved: the index is that of the last ten to twenty thousand.
const WINDOW: u64 = 20_000;
/// Fewer listings say nothing.
const LEAST_LISTINGS: u64 = 500;

/// How the values of each feature are spread over the training data.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reference {
    /// Categorical features in input order.
    pub categorical: Vec<KeySpread>,
    /// Numeric features in input order.
    pub numeric: Vec<NumberSpread>,
}

/// A categorical feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct KeySpread {
    /// Its name.
    pub name: String,
    /// The most frequent ids, the most frequent first.
    pub ids: Vec<i64>,
    /// The share of each, then of all other known keys, then of what is unknown or missing.
    pub shares: Vec<f64>,
}

/// A numeric feature.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NumberSpread {
    /// Its name.
    pub name: String,
    /// Rising, distinct edges between the bins.
    pub edges: Vec<f32>,
    /// The share of each bin, then of what is missing.
    pub shares: Vec<f64>,
}

impl KeySpread {
    /// The spread of a feature, given how often each id occurs, 0 first.
    #[must_use]
    pub fn new(name: &str, counts: &[u64]) -> Self {
        let (unknown, known) = counts.split_first().unwrap_or((&0, &[]));
        let mut ids: Vec<(i64, u64)> = (1..).zip(known.iter().copied()).collect();
        ids.sort_by_key(|(id, count)| (std::cmp::Reverse(*count), *id));
        let others: u64 = ids.iter().skip(MOST_KEYS).map(|(_, count)| count).sum();
        ids.truncate(MOST_KEYS);
        let counts = ids.iter().map(|(_, count)| *count).chain([others, *unknown]);
        Self {
            name: name.to_owned(),
            shares: shares(&counts.collect::<Vec<_>>()),
            ids: ids.into_iter().map(|(id, _)| id).collect(),
        }
    }

    fn place(&self, id: i64) -> usize {
        match self.ids.iter().position(|known| *known == id) {
            Some(place) => place,
            None if id > 0 => self.ids.len(),
            None => self.ids.len() + 1,
        }
    }
}

impl NumberSpread {
    /// The spread of a feature, given a sample of its values, NaN where one is missing.
    #[must_use]
    pub fn new(name: &str, values: &[f32]) -> Self {
        let mut known: Vec<f32> = values.iter().copied().filter(|value| !value.is_nan()).collect();
        known.sort_unstable_by(f32::total_cmp);
        let edge = |bin: usize| known.get(bin * known.len() / BINS).copied();
        let mut edges: Vec<f32> = (1..BINS).filter_map(edge).collect();
        edges.dedup();
        let mut spread = Self { name: name.to_owned(), edges, shares: Vec::new() };
        let mut counts = vec![0; spread.edges.len() + 2];
        for value in values {
            counts[spread.place(*value)] += 1;
        }
        spread.shares = shares(&counts);
        spread
    }

    fn place(&self, value: f32) -> usize {
        if value.is_nan() { self.edges.len() + 1 } else { self.edges.partition_point(|edge| *edge <= value) }
    }
}

fn shares(counts: &[u64]) -> Vec<f64> {
    let all = counts.iter().sum::<u64>().max(1);
    #[expect(clippy::cast_precision_loss, reason = "counts of listings")]
    counts.iter().map(|count| *count as f64 / all as f64).collect()
}

/// Counts of the listings that were valued lately.
#[derive(Clone, Debug)]
pub struct Drift {
    reference: Reference,
    categorical: Vec<Vec<u64>>,
    numeric: Vec<Vec<u64>>,
    listings: u64,
}

impl Drift {
    /// None yet.
    #[must_use]
    pub fn new(reference: Reference) -> Self {
        let categorical = reference.categorical.iter().map(|spread| vec![0; spread.ids.len() + 2]).collect();
        let numeric = reference.numeric.iter().map(|spread| vec![0; spread.edges.len() + 2]).collect();
        Self { reference, categorical, numeric, listings: 0 }
    }

    /// Counts a listing: its ids and numbers in input order.
    pub fn add(&mut self, ids: &[i64], numbers: &[f32]) {
        for ((counts, spread), id) in self.categorical.iter_mut().zip(&self.reference.categorical).zip(ids) {
            counts[spread.place(*id)] += 1;
        }
        for ((counts, spread), number) in self.numeric.iter_mut().zip(&self.reference.numeric).zip(numbers) {
            counts[spread.place(*number)] += 1;
        }
        self.listings += 1;
        if self.listings >= WINDOW {
            self.listings /= 2;
            self.categorical.iter_mut().chain(&mut self.numeric).flatten().for_each(|count| *count /= 2);
        }
    }

    /// The population stability index of each feature by name: 0 where listings are spread as those that the model has
    /// learned from; above 0.25 is commonly taken for a shift that asks for a new model. Empty before there are enough.
    #[must_use]
    pub fn indices(&self) -> Vec<(&str, f64)> {
        if self.listings < LEAST_LISTINGS {
            return Vec::new();
        }
        let categorical = self.reference.categorical.iter().zip(&self.categorical);
        let categorical = categorical.map(|(spread, counts)| (spread.name.as_str(), index(&spread.shares, counts)));
        let numeric = self.reference.numeric.iter().zip(&self.numeric);
        let numeric = numeric.map(|(spread, counts)| (spread.name.as_str(), index(&spread.shares, counts)));
        categorical.chain(numeric).collect()
    }
}

/// Σ (a − e) ln(a / e) over the shares found, a, and expected, e.
fn index(expected: &[f64], counts: &[u64]) -> f64 {
    let found = shares(counts);
    let parts = expected.iter().zip(found).map(|(expected, found)| {
        let (expected, found) = (expected.max(LEAST_SHARE), found.max(LEAST_SHARE));
        (found - expected) * (found / expected).ln()
    });
    parts.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference() -> Reference {
        #[expect(clippy::cast_precision_loss, reason = "a hundred numbers")]
        let mut years: Vec<f32> = (0..100).map(|year| 1990.0 + (year % 40) as f32).collect();
        years.extend([f32::NAN; 25]);
        Reference {
            categorical: vec![KeySpread::new("brand", &[100, 300, 600])],
            numeric: vec![NumberSpread::new("year", &years)],
        }
    }

    #[test]
    fn listings_like_those_learned_from_have_no_drift() {
        let mut drift = Drift::new(reference());
        assert!(drift.indices().is_empty());
        for listing in 0..50_000_u32 {
            let id = match listing % 10 {
                0 => 0,
                1..=3 => 1,
                _ => 2,
            };
            #[expect(clippy::cast_precision_loss, reason = "forty years")]
            let year = if listing % 5 == 4 { f32::NAN } else { 1990.0 + (listing / 5 % 100 % 40) as f32 };
            drift.add(&[id], &[year]);
        }
        for (name, index) in drift.indices() {
            assert!(index.abs() < 0.01, "{name}: {index}");
        }
    }

    #[test]
    fn listings_of_another_kind_have_much() {
        let mut drift = Drift::new(reference());
        (0..1000).for_each(|_| drift.add(&[7], &[2030.0]));
        let indices = drift.indices();
        assert_eq!(indices.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["brand", "year"]);
        assert!(indices.iter().all(|(_, index)| *index > 1.0), "{indices:?}");
    }

    #[test]
    fn rare_keys_are_one() {
        let spread = KeySpread::new("model", &(0..100).collect::<Vec<u64>>());
        assert_eq!((spread.ids.len(), spread.ids[0], spread.shares.len()), (30, 99, 32));
        assert!((spread.shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!([99, 3, 1000, 0].map(|id| spread.place(id)), [0, 30, 30, 31]);
    }

    #[test]
    fn a_number_that_is_never_known_or_always_the_same_has_its_bins() {
        assert_eq!(NumberSpread::new("a", &[f32::NAN]).shares, [0.0, 1.0]);
        assert_eq!(NumberSpread::new("a", &[5.0; 3]).shares, [0.0, 1.0, 0.0]);
    }
}

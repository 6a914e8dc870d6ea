//! The drift of recently valued cars from the training data.

use domain::stability::{SHIFT_THRESHOLD, population_stability_index};
use onnx_model::reference::Reference;

/// The lower bound of shares, so that a single unusual listing does not make the index infinite.
const MIN_SHARE: f64 = 1e-4;
/// The number of listings after which all counts are halved: the index covers the last 10,000 to 20,000.
const WINDOW: u64 = 20_000;
/// The minimum number of values for an index.
const MIN_VALUES: u64 = 200;

/// The feature counts of recently valued listings.
#[derive(Clone, Debug)]
pub(crate) struct Drift {
    reference: Reference,
    training_rows: u64,
    categorical: Vec<Counts>,
    numeric: Vec<Counts>,
    listings: u64,
}

/// The counts of a feature.
#[derive(Clone, Debug)]
struct Counts {
    /// The number of values in each bin.
    bins: Vec<u64>,
    /// The number of listings without the feature.
    missing: u64,
}

/// The drift of a feature of recently valued listings from the training data.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldDrift {
    /// The feature.
    pub(crate) name: String,
    /// The share of listings without the feature. It depends on how callers fill in forms, so it does not count as a shift.
    pub(crate) missing: f64,
    /// The shift of the values; `None` if there are too few.
    pub(crate) shift: Option<Shift>,
}

/// The shift of the values of a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shift {
    /// The population stability index of the values known to the model: 0 if they are distributed as in the training data.
    pub(crate) index: f64,
    /// The index above which there is a shift: 0.25 plus the 99.9th percentile of the index under chance alone.
    pub(crate) threshold: f64,
}

impl Drift {
    /// No listings yet, for a model trained on this many.
    pub(crate) fn new(reference: Reference, training_rows: u64) -> Self {
        let categorical =
            reference.categorical.iter().map(|distribution| Counts::new(distribution.ids.len() + 1)).collect();
        let numeric = reference.numeric.iter().map(|distribution| Counts::new(distribution.edges.len() + 1)).collect();
        Self { reference, training_rows, categorical, numeric, listings: 0 }
    }

    /// Counts a listing: its ids and numbers in input order, `None` if missing. A text unknown to the model has the id 0 and no
    /// bin.
    pub(crate) fn add(&mut self, ids: impl Iterator<Item = Option<i64>>, numbers: impl Iterator<Item = Option<f32>>) {
        for ((counts, distribution), id) in self.categorical.iter_mut().zip(&self.reference.categorical).zip(ids) {
            counts.add(id.map(|id| distribution.bin(id)));
        }
        for ((counts, distribution), number) in self.numeric.iter_mut().zip(&self.reference.numeric).zip(numbers) {
            counts.add(number.map(|number| distribution.bin(number)));
        }
        self.listings += 1;
        if self.listings >= WINDOW {
            self.listings /= 2;
            self.categorical.iter_mut().chain(&mut self.numeric).for_each(Counts::halve);
        }
    }

    /// The drift of every feature; empty while there are too few listings.
    pub(crate) fn fields(&self) -> Vec<FieldDrift> {
        if self.listings < MIN_VALUES {
            return Vec::new();
        }
        let categorical =
            self.reference.categorical.iter().map(|distribution| (&distribution.name, &distribution.shares));
        let numeric = self.reference.numeric.iter().map(|distribution| (&distribution.name, &distribution.shares));
        let counts = self.categorical.iter().chain(&self.numeric);
        let fields = categorical.chain(numeric).zip(counts).map(|((name, expected), counts)| FieldDrift {
            name: name.clone(),
            missing: as_f64(counts.missing) / as_f64(self.listings),
            shift: counts.shift(expected, self.training_rows),
        });
        fields.collect()
    }
}

impl Counts {
    fn new(bins: usize) -> Self {
        Self { bins: vec![0; bins], missing: 0 }
    }

    fn add(&mut self, bin: Option<usize>) {
        match bin {
            None => self.missing += 1,
            // Unknown values are after the last bin.
            Some(bin) => self.bins.iter_mut().skip(bin).take(1).for_each(|count| *count += 1),
        }
    }

    fn halve(&mut self) {
        self.bins.iter_mut().chain([&mut self.missing]).for_each(|count| *count /= 2);
    }

    /// The shift of the values that are present.
    fn shift(&self, expected: &[f64], training_rows: u64) -> Option<Shift> {
        let present: u64 = self.bins.iter().sum();
        let expected = expected.get(..self.bins.len())?;
        let expected_present: f64 = expected.iter().sum();
        if present < MIN_VALUES || expected_present <= 0.0 {
            return None;
        }
        let bins = as_f64(self.bins.len() as u64);
        let shares = expected.iter().zip(&self.bins).map(|(expected, count)| {
            let expected = expected / expected_present;
            // A prior of one value per bin: otherwise an empty bin would weigh too much when there are few values.
            let observed = (as_f64(*count) + bins * expected) / (as_f64(present) + bins);
            (expected.max(MIN_SHARE), observed.max(MIN_SHARE))
        });
        let training_rows = (as_f64(training_rows) * expected_present).max(1.0);
        let used = expected.iter().filter(|share| **share > 0.0).count() as u64;
        let chance = (1.0 / as_f64(present) + 1.0 / training_rows) * chi_squared_999(as_f64(used.saturating_sub(1)));
        Some(Shift { index: population_stability_index(shares), threshold: SHIFT_THRESHOLD + chance })
    }
}

/// The 99.9th percentile of a chi-squared distribution (Wilson and Hilferty).
fn chi_squared_999(degrees: f64) -> f64 {
    const DEVIATIONS: f64 = 3.09;
    if degrees < 1.0 {
        return 0.0;
    }
    let variance = 2.0 / (9.0 * degrees);
    degrees * (1.0 - variance + DEVIATIONS * variance.sqrt()).powi(3)
}

#[expect(clippy::cast_precision_loss, reason = "counts of listings")]
fn as_f64(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::seq::IndexedRandom;
    use rand_chacha::ChaCha8Rng;

    use onnx_model::reference::{KeyDistribution, NumberDistribution};

    use super::*;

    fn reference() -> Reference {
        #[expect(clippy::cast_precision_loss, reason = "a hundred numbers")]
        let mut years: Vec<f32> = (0..100).map(|year| 1990.0 + (year % 40) as f32).collect();
        years.extend([f32::NAN; 25]);
        Reference {
            categorical: vec![KeyDistribution::new("brand", &[100, 300, 600])],
            numeric: vec![NumberDistribution::new("year", &years)],
        }
    }

    fn index(drift: &Drift, name: &str) -> Shift {
        drift.fields().into_iter().find(|field| field.name == name).and_then(|field| field.shift).unwrap()
    }

    #[expect(clippy::cast_precision_loss, reason = "a year")]
    fn year(years: u32) -> f32 {
        (1990 + years) as f32
    }

    #[test]
    fn listings_like_the_training_data_have_no_drift() {
        let mut drift = Drift::new(reference(), 1000);
        assert!(drift.fields().is_empty());
        for listing in 0..50_000_u32 {
            let id = match listing % 10 {
                0 => 0,
                1..=3 => 1,
                _ => 2,
            };
            let year = (listing % 5 < 4).then(|| year(listing / 5 % 100 % 40));
            drift.add([Some(id)].into_iter(), [year].into_iter());
        }
        for name in ["brand", "year"] {
            assert!(index(&drift, name).index.abs() < 0.01, "{name}");
        }
    }

    #[test]
    fn different_listings_have_a_large_drift() {
        let mut drift = Drift::new(reference(), 1000);
        (0..1000).for_each(|_| drift.add([Some(7)].into_iter(), [Some(2030.0)].into_iter()));
        for name in ["brand", "year"] {
            let Shift { index, threshold } = index(&drift, name);
            assert!(index > 1.0 && threshold < 0.35, "{name}: {index} {threshold}");
        }
    }

    #[test]
    fn missing_and_unknown_values_are_not_a_shift() {
        let mut drift = Drift::new(reference(), 1000);
        for listing in 0..3000_u32 {
            // One in three has the year and a known make.
            let (id, year) = match listing % 3 {
                0 => (Some(i64::from(listing / 3 % 3 > 0) + 1), Some(year(listing / 3 % 100 % 40))),
                1 => (None, None),
                _ => (Some(0), None),
            };
            drift.add([id].into_iter(), [year].into_iter());
        }
        let missing: Vec<f64> = drift.fields().into_iter().map(|field| field.missing).collect();
        assert_eq!(missing, [1.0 / 3.0, 2.0 / 3.0]);
        for name in ["brand", "year"] {
            assert!(index(&drift, name).index < 0.01, "{name}");
        }
    }

    #[test]
    fn a_field_with_few_values_has_no_index() {
        let mut drift = Drift::new(reference(), 1000);
        (0..1000).for_each(|listing| drift.add([Some(1)].into_iter(), [(listing < 199).then_some(1995.0)].into_iter()));
        let year = drift.fields().pop().unwrap();
        assert_eq!((year.name.as_str(), year.missing, year.shift), ("year", 0.801, None));
    }

    /// The fewer values and the more bins, the larger the index by chance alone.
    #[test]
    fn chance_alone_exceeds_no_threshold() {
        let keys: Vec<u64> = std::iter::once(0).chain((1..=60).map(|rank| 6000 / rank)).collect();
        let reference = Reference { categorical: vec![KeyDistribution::new("model", &keys)], numeric: Vec::new() };
        let ids: Vec<i64> = (0..)
            .zip(&keys)
            .flat_map(|(id, count)| std::iter::repeat_n(id, usize::try_from(*count).unwrap()))
            .collect();
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for listings in [MIN_VALUES, 500, 5000] {
            let mut largest = 0.0;
            for _ in 0..100 {
                let mut drift = Drift::new(reference.clone(), ids.len() as u64);
                (0..listings)
                    .for_each(|_| drift.add(ids.choose(&mut random).copied().map(Some).into_iter(), [].into_iter()));
                let Shift { index, threshold } = index(&drift, "model");
                assert!(index < threshold - SHIFT_THRESHOLD, "{listings}: {index} of {threshold}");
                largest = f64::max(largest, index / (threshold - SHIFT_THRESHOLD));
            }
            assert!(largest > 0.5, "{listings}: the threshold is far above chance: {largest}");
        }
    }
}

//! How far recently valued cars differ from the training data.

use domain::stability::{SHIFT_THRESHOLD, population_stability_index};
use onnx_model::reference::Reference;

/// Smaller shares count as this, so that a single listing of a new kind does not make the index infinite.
const MIN_SHARE: f64 = 1e-4;
/// All counts are halved once this many listings are counted: the index is that of the last 10,000 to 20,000.
const WINDOW: u64 = 20_000;
/// The fewest values that allow a conclusion.
const MIN_VALUES: u64 = 200;

/// Counts of the listings that were valued lately.
#[derive(Clone, Debug)]
pub(crate) struct Drift {
    reference: Reference,
    learned_from: u64,
    categorical: Vec<Counts>,
    numeric: Vec<Counts>,
    listings: u64,
}

/// What was seen of a feature.
#[derive(Clone, Debug)]
struct Counts {
    /// How often its value was in each bin.
    bins: Vec<u64>,
    /// How many listings left it out.
    missing: u64,
}

/// How a feature of the listings that were valued lately differs from the training data.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldDrift {
    /// The feature.
    pub(crate) name: String,
    /// The share of listings that leave it out. It says how callers fill in their forms, and counts as no shift.
    pub(crate) missing: f64,
    /// How differently the values are distribution that were given; `None` before there are enough.
    pub(crate) shift: Option<Shift>,
}

/// How differently the values of a feature are distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Shift {
    /// The population stability index of the given values that the model knows: 0 where they are distribution as those that
    /// it has learned from.
    pub(crate) index: f64,
    /// What the index has to exceed to mean a shift: 0.25, and what chance alone makes of so few values once in a
    /// thousand times.
    pub(crate) threshold: f64,
}

impl Drift {
    /// Nothing seen yet, by a model that has learned from so many listings.
    pub(crate) fn new(reference: Reference, learned_from: u64) -> Self {
        let categorical =
            reference.categorical.iter().map(|distribution| Counts::new(distribution.ids.len() + 1)).collect();
        let numeric = reference.numeric.iter().map(|distribution| Counts::new(distribution.edges.len() + 1)).collect();
        Self { reference, learned_from, categorical, numeric, listings: 0 }
    }

    /// Counts a listing: its ids and numbers in input order, `None` where it leaves one out. A text that the model does
    /// not know has the id 0 and is in no bin.
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

    /// Every feature. Empty before there are enough listings.
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
            shift: counts.shift(expected, self.learned_from),
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
            // What is unknown is behind the last bin.
            Some(bin) => self.bins.iter_mut().skip(bin).take(1).for_each(|count| *count += 1),
        }
    }

    fn halve(&mut self) {
        self.bins.iter_mut().chain([&mut self.missing]).for_each(|count| *count /= 2);
    }

    /// The index among the values that were given.
    fn shift(&self, expected: &[f64], learned_from: u64) -> Option<Shift> {
        let given: u64 = self.bins.iter().sum();
        let expected = expected.get(..self.bins.len())?;
        let expected_given: f64 = expected.iter().sum();
        if given < MIN_VALUES || expected_given <= 0.0 {
            return None;
        }
        let bins = as_f64(self.bins.len() as u64);
        let shares = expected.iter().zip(&self.bins).map(|(expected, count)| {
            let expected = expected / expected_given;
            // As if one value a bin had been seen as expected: an empty bin of few values would say too much otherwise.
            let found = (as_f64(*count) + bins * expected) / (as_f64(given) + bins);
            (expected.max(MIN_SHARE), found.max(MIN_SHARE))
        });
        let learned_from = (as_f64(learned_from) * expected_given).max(1.0);
        let used = expected.iter().filter(|share| **share > 0.0).count() as u64;
        let chance = (1.0 / as_f64(given) + 1.0 / learned_from) * chi_squared(as_f64(used.saturating_sub(1)));
        Some(Shift { index: population_stability_index(shares), threshold: SHIFT_THRESHOLD + chance })
    }
}

/// What a chi-squared variable exceeds once in a thousand times (Wilson and Hilferty).
fn chi_squared(degrees: f64) -> f64 {
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
    fn listings_like_those_learned_from_have_no_drift() {
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
    fn listings_of_another_kind_have_much() {
        let mut drift = Drift::new(reference(), 1000);
        (0..1000).for_each(|_| drift.add([Some(7)].into_iter(), [Some(2030.0)].into_iter()));
        for name in ["brand", "year"] {
            let Shift { index, threshold } = index(&drift, name);
            assert!(index > 1.0 && threshold < 0.35, "{name}: {index} {threshold}");
        }
    }

    #[test]
    fn what_is_left_out_or_unknown_is_no_shift() {
        let mut drift = Drift::new(reference(), 1000);
        for listing in 0..3000_u32 {
            // One of three tells the year, and the make that the model knows.
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
    fn a_field_that_nearly_nobody_gives_has_no_index() {
        let mut drift = Drift::new(reference(), 1000);
        (0..1000).for_each(|listing| drift.add([Some(1)].into_iter(), [(listing < 199).then_some(1995.0)].into_iter()));
        let year = drift.fields().pop().unwrap();
        assert_eq!((year.name.as_str(), year.missing, year.shift), ("year", 0.801, None));
    }

    /// Few values are distribution unlike many by chance alone, over many bins more than over few.
    #[test]
    fn chance_alone_exceeds_no_threshold() {
        let keys: Vec<u64> = std::iter::once(0).chain((1..=60).map(|place| 6000 / place)).collect();
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
            assert!(largest > 0.5, "{listings}: the threshold is far above what chance does: {largest}");
        }
    }
}

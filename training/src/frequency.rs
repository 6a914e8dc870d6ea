//! How often keys occur in a stream, in bounded memory.

use std::borrow::Borrow;
use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Counts keys exactly while there are no more different ones than its capacity. Beyond that it forgets rare ones: after
/// `n` keys in all, a count is at most `n / capacity` too low and never too high (Misra and Gries 1982, in the form that
/// is pruned in batches). Depends on the order of the keys, and on nothing else.
#[derive(Debug)]
pub struct FrequencySketch<K> {
    counts: FxHashMap<K, u64>,
    capacity: usize,
}

impl<K: Eq + Hash> FrequencySketch<K> {
    /// Holds at most twice this many keys, and this many after forgetting.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { counts: FxHashMap::default(), capacity: capacity.max(1) }
    }

    /// Counts a key so many times.
    pub fn add<Q>(&mut self, key: &Q, times: u64)
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        if let Some(count) = self.counts.get_mut(key) {
            *count += times;
            return;
        }
        if self.counts.len() == 2 * self.capacity {
            self.forget();
        }
        self.counts.insert(key.to_owned(), times);
    }

    /// Lowers all counts so far that no more keys are left than there should be.
    fn forget(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        // The highest count that does not stay.
        let place = counts.len() - 1 - self.capacity;
        let (_, lost, _) = counts.select_nth_unstable(place);
        let lost = *lost;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(lost);
            *count > 0
        });
    }

    /// The keys and their counts, in no order.
    pub fn into_counts(self) -> impl Iterator<Item = (K, u64)> {
        self.counts.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_keys_are_counted_exactly() {
        let mut sketch = FrequencySketch::<String>::new(2);
        for key in ["a", "b", "a", "c", "d", "a"] {
            sketch.add(key, 1);
        }
        let mut counts: Vec<_> = sketch.into_counts().collect();
        counts.sort();
        assert_eq!(counts, [("a".into(), 3), ("b".into(), 1), ("c".into(), 1), ("d".into(), 1)]);
    }

    #[test]
    fn the_frequent_of_many_keys_are_never_lost() {
        let (capacity, all) = (100, 100_000_u64);
        let mut sketch = FrequencySketch::<u64>::new(capacity);
        for number in 0..all {
            // Every tenth key is one of three, all others are different.
            sketch.add(&if number % 10 == 0 { number % 3 } else { 1_000 + number }, 1);
            assert!(sketch.counts.len() <= 2 * capacity);
        }
        let counts: FxHashMap<u64, u64> = sketch.into_counts().collect();
        for key in 0..3 {
            let true_count = all.div_ceil(10) / 3;
            let error = (true_count + 1).abs_diff(counts[&key]);
            assert!(error <= all / capacity as u64 + 2, "{key}: {} of {true_count}", counts[&key]);
        }
    }
}

//! Approximate key frequencies of a stream in bounded memory.

use std::borrow::Borrow;
use std::hash::Hash;

use rustc_hash::FxHashMap;

/// Counts keys exactly up to a number of distinct ones, then drops rare keys: after `n` keys, a count is at most
/// `n / capacity` too low and never too high (Misra and Gries 1982, pruned in batches). The result depends only on the order
/// of the keys.
#[derive(Debug)]
pub struct FrequencySketch<K> {
    counts: FxHashMap<K, u64>,
    capacity: usize,
}

impl<K: Eq + Hash> FrequencySketch<K> {
    /// A sketch with at most twice this many keys, and this many after pruning.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { counts: FxHashMap::default(), capacity: capacity.max(1) }
    }

    /// Adds `times` occurrences of a key.
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
            self.prune();
        }
        self.counts.insert(key.to_owned(), times);
    }

    /// Reduces all counts so that at most `capacity` keys remain.
    fn prune(&mut self) {
        let mut counts: Vec<u64> = self.counts.values().copied().collect();
        // The highest count to drop.
        let index = counts.len() - 1 - self.capacity;
        let (_, dropped, _) = counts.select_nth_unstable(index);
        let dropped = *dropped;
        self.counts.retain(|_, count| {
            *count = count.saturating_sub(dropped);
            *count > 0
        });
    }

    /// The keys and their counts, in arbitrary order.
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
    fn frequent_keys_are_never_dropped() {
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

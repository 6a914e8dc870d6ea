//! Random masking of input values in training.

use domain::Column;
use domain::feature::{CATEGORICAL, NUMERIC};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use storage::TabularBatch;

use crate::config::TrainConfig;
use crate::stream::is_maskable;

/// Masks known values, so that the network learns to handle missing ones: a few categories in every row, so that a price
/// never depends on a single key; and in a share of the rows, each value with a probability that is itself random, so that
/// every degree of completeness occurs.
pub(super) struct Masks {
    share: f64,
    category_dropout: f64,
}

impl Masks {
    pub(super) fn new(config: &TrainConfig) -> Self {
        Self { share: config.mask, category_dropout: config.category_dropout }
    }

    /// A copy of the batch with values masked.
    pub(super) fn apply(&self, batch: &TabularBatch, mut random: ChaCha8Rng) -> TabularBatch {
        let mut masked = batch.clone();
        let rows = masked.ids.chunks_mut(CATEGORICAL.len()).zip(masked.numbers.chunks_mut(NUMERIC.len()));
        for (ids, numbers) in rows {
            for id in ids.iter_mut() {
                if random.random_bool(self.category_dropout) {
                    *id = 0;
                }
            }
            if !random.random_bool(self.share) {
                continue;
            }
            let probability: f64 = random.random();
            let hidden: Vec<Column> = Column::descriptive()
                .iter()
                .copied()
                .filter(|column| is_maskable(*column) && random.random_bool(probability))
                .collect();
            for (id, feature) in ids.iter_mut().zip(&CATEGORICAL) {
                if feature.columns.iter().any(|column| hidden.contains(column)) {
                    *id = 0;
                }
            }
            for (number, column) in numbers.iter_mut().zip(&NUMERIC) {
                if hidden.contains(column) {
                    *number = f32::NAN;
                }
            }
        }
        masked
    }
}

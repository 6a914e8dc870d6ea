//! Batches of encoded listings.

use domain::feature::{CATEGORICAL, NUMERIC};

/// A batch of encoded listings, in row-major order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TabularBatch {
    /// The ids, `[N, C]`.
    pub ids: Vec<i32>,
    /// The numbers in raw units, `[N, F]`, NaN where missing.
    pub numbers: Vec<f32>,
    /// The natural logarithms of the asking prices, `[N]`.
    pub log_prices: Vec<f32>,
}

impl TabularBatch {
    /// The size of a listing in bytes.
    pub const BYTES_PER_ROW: usize = 4 * (CATEGORICAL.len() + NUMERIC.len() + 1);

    /// An empty batch with capacity for this many listings.
    #[must_use]
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            ids: Vec::with_capacity(rows * CATEGORICAL.len()),
            numbers: Vec::with_capacity(rows * NUMERIC.len()),
            log_prices: Vec::with_capacity(rows),
        }
    }

    /// The number of listings.
    #[must_use]
    pub fn len(&self) -> usize {
        self.log_prices.len()
    }

    /// Whether there are no listings.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.log_prices.is_empty()
    }

    /// Appends a range of rows of another batch.
    ///
    /// # Panics
    /// If the range is out of bounds.
    pub fn extend(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        self.ids.extend_from_slice(&other.ids[rows.start * CATEGORICAL.len()..rows.end * CATEGORICAL.len()]);
        self.numbers.extend_from_slice(&other.numbers[rows.start * NUMERIC.len()..rows.end * NUMERIC.len()]);
        self.log_prices.extend_from_slice(&other.log_prices[rows]);
    }

    /// The rows with these indices, in this order.
    ///
    /// # Panics
    /// If an index is out of bounds.
    #[must_use]
    pub fn pick(&self, rows: &[u32]) -> Self {
        let mut picked = Self::with_capacity(rows.len());
        for row in rows {
            let row = *row as usize;
            picked.extend(self, row..row + 1);
        }
        picked
    }
}

//! Listings as the network takes them.

use domain::feature::{CATEGORICAL, NUMERIC};

/// Listings ready for the network, row by row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TabularBatch {
    /// Ids, `[N, C]`.
    pub ids: Vec<i32>,
    /// Numbers in raw units, `[N, F]`, NaN where missing.
    pub numbers: Vec<f32>,
    /// Natural logarithms of the asking prices, `[N]`.
    pub log_prices: Vec<f32>,
}

impl TabularBatch {
    /// Bytes that a listing takes.
    pub const BYTES_PER_ROW: usize = 4 * (CATEGORICAL.len() + NUMERIC.len() + 1);

    /// No listings yet, but room for so many.
    #[must_use]
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            ids: Vec::with_capacity(rows * CATEGORICAL.len()),
            numbers: Vec::with_capacity(rows * NUMERIC.len()),
            log_prices: Vec::with_capacity(rows),
        }
    }

    /// How many listings it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.log_prices.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.log_prices.is_empty()
    }

    /// Adds rows of another batch, from the first of the range to before its end.
    ///
    /// # Panics
    /// The other has no such rows.
    pub fn extend(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        self.ids.extend_from_slice(&other.ids[rows.start * CATEGORICAL.len()..rows.end * CATEGORICAL.len()]);
        self.numbers.extend_from_slice(&other.numbers[rows.start * NUMERIC.len()..rows.end * NUMERIC.len()]);
        self.log_prices.extend_from_slice(&other.log_prices[rows]);
    }

    /// These rows, in this order.
    ///
    /// # Panics
    /// There is no such row.
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

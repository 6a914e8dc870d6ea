//! The order of an epoch, a pure function of the seed and the epoch.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use storage::TabularBatch;

/// The parameters of the order of an epoch.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// The seed of the run.
    pub seed: u64,
    /// The epoch, starting at 0.
    pub epoch: u64,
    /// The number of listings in a shuffle buffer, a multiple of the batch size.
    pub shuffle_rows: usize,
    /// The number of listings per batch.
    pub batch_size: usize,
    /// Whether to shuffle.
    pub is_shuffled: bool,
}

/// A position in the order of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The first block of the shuffle buffer, as an index in the order of the epoch.
    pub block: usize,
    /// The first row of the buffer in that block.
    pub row: usize,
    /// The index of the shuffle buffer.
    pub buffer: u64,
    /// The index of the next batch in the buffer.
    pub batch: usize,
}

/// A shuffle buffer, with its rows in reading order.
#[derive(Debug)]
pub struct Buffer {
    pub rows: TabularBatch,
    /// The position of its first batch.
    pub start: Position,
    /// The position of the next buffer.
    pub next: Position,
}

impl Order {
    /// The order in which to read this many blocks.
    #[must_use]
    pub fn blocks(self, count: usize) -> Vec<usize> {
        let mut indices: Vec<usize> = (0..count).collect();
        if self.is_shuffled {
            indices.shuffle(&mut self.random(0));
        }
        indices
    }

    /// The batches of a buffer, starting at a position, each with the position after it.
    pub fn batches(self, buffer: &Buffer, start: Position) -> impl Iterator<Item = (TabularBatch, Position)> {
        #[expect(clippy::cast_possible_truncation, reason = "a configuration allows for at most 2^28 rows")]
        let mut rows: Vec<u32> = (0..buffer.rows.len() as u32).collect();
        if self.is_shuffled {
            rows.shuffle(&mut self.random(buffer.start.buffer + 1));
        }
        let first = if start.buffer == buffer.start.buffer { start.batch } else { 0 };
        let count = rows.len().div_ceil(self.batch_size);
        (first..count).map(move |batch| {
            let rows = &rows[batch * self.batch_size..rows.len().min((batch + 1) * self.batch_size)];
            let next = if batch + 1 == count { buffer.next } else { Position { batch: batch + 1, ..buffer.start } };
            (buffer.rows.pick(rows), next)
        })
    }

    /// The random generator of a buffer. Each one has its own, so that an order can be resumed anywhere.
    fn random(self, buffer: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream((self.epoch << 32) | buffer);
        random
    }
}

/// Collects the rows of blocks into buffers.
#[derive(Debug)]
pub struct BufferBuilder {
    order: Order,
    capacity: usize,
    rows: TabularBatch,
    start: Position,
    block: usize,
    /// The number of rows of the first block that belong to earlier buffers.
    skipped: usize,
}

impl BufferBuilder {
    /// Starts at a position of an epoch with this many rows.
    pub fn new(order: Order, start: Position, rows: usize) -> Self {
        let capacity = order.shuffle_rows.min(rows);
        let first_block = start.block;
        let skipped = start.row;
        let start = Position { batch: 0, ..start };
        let rows = TabularBatch::with_capacity(capacity);
        Self { order, capacity, rows, start, block: first_block, skipped }
    }

    /// Adds the next block, and passes each completed buffer to `take`; false once that returns false.
    pub fn add(&mut self, block: &TabularBatch, mut take: impl FnMut(Buffer) -> bool) -> bool {
        let mut row = std::mem::take(&mut self.skipped);
        while row < block.len() {
            let end = block.len().min(row + self.order.shuffle_rows - self.rows.len());
            self.rows.extend(block, row..end);
            row = end;
            if self.rows.len() == self.order.shuffle_rows {
                let buffer = self.take_buffer(self.block, row);
                self.rows = TabularBatch::with_capacity(self.capacity);
                if !take(buffer) {
                    return false;
                }
            }
        }
        self.block += 1;
        true
    }

    /// The last, incomplete buffer, if it has rows.
    pub fn finish(mut self) -> Option<Buffer> {
        let buffer = self.take_buffer(self.block, 0);
        Some(buffer).filter(|buffer| !buffer.rows.is_empty())
    }

    fn take_buffer(&mut self, block: usize, row: usize) -> Buffer {
        let next = Position { block, row, buffer: self.start.buffer + 1, batch: 0 };
        let start = std::mem::replace(&mut self.start, next);
        Buffer { rows: std::mem::take(&mut self.rows), start, next }
    }
}

#[cfg(test)]
mod tests {
    use domain::feature::{CATEGORICAL, NUMERIC};

    use super::*;

    const ORDER: Order = Order { seed: 7, epoch: 2, shuffle_rows: 48, batch_size: 16, is_shuffled: true };

    /// Blocks of different lengths, one of them empty; the price of a row is its number.
    fn blocks() -> Vec<TabularBatch> {
        let mut first = 0_u16;
        [40, 0, 90, 7, 60, 3]
            .map(|rows| {
                let log_prices = (first..first + rows).map(f32::from).collect();
                first += rows;
                let rows = usize::from(rows);
                TabularBatch {
                    ids: vec![1; rows * CATEGORICAL.len()],
                    numbers: vec![0.0; rows * NUMERIC.len()],
                    log_prices,
                }
            })
            .to_vec()
    }

    /// All batches starting at a position, with the position after each.
    fn batches(order: Order, start: Position) -> Vec<(Vec<f32>, Position)> {
        let blocks = blocks();
        let mut found = Vec::new();
        let mut take = |buffer: Buffer| {
            found.extend(order.batches(&buffer, start).map(|(batch, next)| (batch.log_prices, next)));
            true
        };
        let mut builder = BufferBuilder::new(order, start, 200);
        for index in &order.blocks(blocks.len())[start.block..] {
            builder.add(&blocks[*index], &mut take);
        }
        builder.finish().map(&mut take);
        found
    }

    #[test]
    fn each_epoch_has_every_row_once_in_its_own_order() {
        let rows = |order| -> Vec<f32> {
            batches(order, Position::default()).into_iter().flat_map(|(batch, _)| batch).collect()
        };
        let (one, other) = (rows(ORDER), rows(Order { epoch: 3, ..ORDER }));
        assert_ne!(one, other);
        assert_eq!(one, rows(ORDER));
        let table: Vec<f32> = (0..200_u8).map(f32::from).collect();
        assert_eq!(rows(Order { is_shuffled: false, ..ORDER }), table);
        for mut rows in [one, other] {
            assert_ne!(rows, table);
            rows.sort_by(f32::total_cmp);
            assert_eq!(rows, table);
        }
    }

    #[test]
    fn an_epoch_resumes_after_any_batch() {
        let all = batches(ORDER, Position::default());
        assert_eq!(all.len(), 200_usize.div_ceil(16));
        for (batch, (_, next)) in all.iter().enumerate() {
            assert_eq!(batches(ORDER, *next), all[batch + 1..], "after batch {batch}");
        }
    }
}

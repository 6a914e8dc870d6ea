//! The order of an epoch: a pure function of the seed and the epoch.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use storage::TabularBatch;

/// What the order of an epoch depends on.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Seed of the run.
    pub seed: u64,
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// Listings in a shuffle buffer: a multiple of the batch size.
    pub shuffle_rows: usize,
    /// Listings per batch.
    pub batch_size: usize,
    /// Whether anything is shuffled at all.
    pub is_shuffled: bool,
}

/// A position in the order of an epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// The block that the shuffle buffer begins in, counted in the order of the epoch.
    pub block: usize,
    /// The row of that block that the buffer begins with.
    pub row: usize,
    /// The shuffle buffer, counted from 0.
    pub buffer: u64,
    /// The next batch of it, counted from 0.
    pub batch: usize,
}

/// The rows of a shuffle buffer as they were read.
#[derive(Debug)]
pub struct Buffer {
    pub rows: TabularBatch,
    /// Where it begins; its batch is 0.
    pub start: Position,
    /// Where the next one does.
    pub next: Position,
}

impl Order {
    /// The order in which so many blocks are read.
    #[must_use]
    pub fn blocks(self, count: usize) -> Vec<usize> {
        let mut places: Vec<usize> = (0..count).collect();
        if self.is_shuffled {
            places.shuffle(&mut self.random(0));
        }
        places
    }

    /// The batches of a buffer from a position on, each with the position behind it.
    pub fn batches(self, buffer: &Buffer, from: Position) -> impl Iterator<Item = (TabularBatch, Position)> {
        #[expect(clippy::cast_possible_truncation, reason = "a configuration allows for at most 2^28 rows")]
        let mut rows: Vec<u32> = (0..buffer.rows.len() as u32).collect();
        if self.is_shuffled {
            rows.shuffle(&mut self.random(buffer.start.buffer + 1));
        }
        let first = if from.buffer == buffer.start.buffer { from.batch } else { 0 };
        let count = rows.len().div_ceil(self.batch_size);
        (first..count).map(move |batch| {
            let rows = &rows[batch * self.batch_size..rows.len().min((batch + 1) * self.batch_size)];
            let behind = if batch + 1 == count { buffer.next } else { Position { batch: batch + 1, ..buffer.start } };
            (buffer.rows.pick(rows), behind)
        })
    }

    /// A generator for each buffer of each epoch, so that an order can be resumed anywhere.
    fn random(self, buffer: u64) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream((self.epoch << 32) | buffer);
        random
    }
}

/// Cuts rows as they come, block by block, into buffers.
#[derive(Debug)]
pub struct Cutter {
    order: Order,
    capacity: usize,
    rows: TabularBatch,
    start: Position,
    block: usize,
    /// Rows of the first block that belong to the buffers before.
    skipped: usize,
}

impl Cutter {
    /// Begins at a position. An epoch has so many rows in all.
    pub fn new(order: Order, from: Position, rows: usize) -> Self {
        let capacity = order.shuffle_rows.min(rows);
        let start = Position { batch: 0, ..from };
        let rows = TabularBatch::with_capacity(capacity);
        Self { order, capacity, rows, start, block: from.block, skipped: from.row }
    }

    /// Takes the next block and hands over each buffer that it completes; false when `take` wants no more.
    pub fn add(&mut self, block: &TabularBatch, mut take: impl FnMut(Buffer) -> bool) -> bool {
        let mut row = std::mem::take(&mut self.skipped);
        while row < block.len() {
            let end = block.len().min(row + self.order.shuffle_rows - self.rows.len());
            self.rows.extend(block, row..end);
            row = end;
            if self.rows.len() == self.order.shuffle_rows {
                let buffer = self.cut(self.block, row);
                self.rows = TabularBatch::with_capacity(self.capacity);
                if !take(buffer) {
                    return false;
                }
            }
        }
        self.block += 1;
        true
    }

    /// What is left after the last block.
    pub fn rest(mut self) -> Option<Buffer> {
        let buffer = self.cut(self.block, 0);
        Some(buffer).filter(|buffer| !buffer.rows.is_empty())
    }

    fn cut(&mut self, block: usize, row: usize) -> Buffer {
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

    /// Blocks of uneven length, one of them empty; a row's price is its number.
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

    /// All batches from a position on, and the position behind each.
    fn batches(order: Order, from: Position) -> Vec<(Vec<f32>, Position)> {
        let blocks = blocks();
        let mut given = Vec::new();
        let mut give = |buffer: Buffer| {
            given.extend(order.batches(&buffer, from).map(|(batch, behind)| (batch.log_prices, behind)));
            true
        };
        let mut cutter = Cutter::new(order, from, 200);
        for place in &order.blocks(blocks.len())[from.block..] {
            cutter.add(&blocks[*place], &mut give);
        }
        cutter.rest().map(&mut give);
        given
    }

    #[test]
    fn every_row_comes_once_an_epoch_in_an_order_of_its_own() {
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
    fn an_epoch_goes_on_from_behind_any_batch() {
        let all = batches(ORDER, Position::default());
        assert_eq!(all.len(), 200_usize.div_ceil(16));
        for (batch, (_, behind)) in all.iter().enumerate() {
            assert_eq!(batches(ORDER, *behind), all[batch + 1..], "after batch {batch}");
        }
    }
}

//! Mini-batches out of PostgreSQL: blocks of the table in random order, their rows shuffled in a
//! bounded buffer (`CorgiPile`, SIGMOD 2022). Never more in memory than the buffer and one block.

use std::sync::Arc;

use chrono::NaiveDate;
use domain::Column;
use domain::identity::Split;
use onnx_model::Encoder;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use storage::{Block, ListingChunk, Part, Snapshot};

use crate::Error;

/// Listings ready for the network, row by row.
#[derive(Clone, Debug, Default)]
pub struct TabularBatch {
    /// Ids, `[N, C]`.
    pub ids: Vec<i64>,
    /// Numbers in raw units, `[N, F]`, NaN where missing.
    pub numbers: Vec<f32>,
    /// Natural logarithms of the asking prices, `[N]`.
    pub log_prices: Vec<f32>,
}

impl TabularBatch {
    /// How many listings it holds.
    pub fn len(&self) -> usize {
        self.log_prices.len()
    }

    /// Adds the rows of another batch behind those of this one.
    pub fn append(&mut self, mut other: Self) {
        self.ids.append(&mut other.ids);
        self.numbers.append(&mut other.numbers);
        self.log_prices.append(&mut other.log_prices);
    }

    fn push(&mut self, chunk: &ListingChunk, row: usize, encoder: &Encoder) {
        encoder.encode_ids(|column| chunk.text(column, row), &mut self.ids);
        encoder.encode_numbers(|column| chunk.number(column, row), &mut self.numbers);
        #[expect(clippy::cast_possible_truncation, reason = "the network computes in single precision")]
        self.log_prices.push(chunk.price(row).ln() as f32);
    }

    fn pick(&self, rows: &[u32], categories: usize, numbers: usize) -> Self {
        let mut picked = Self {
            ids: Vec::with_capacity(rows.len() * categories),
            numbers: Vec::with_capacity(rows.len() * numbers),
            log_prices: Vec::with_capacity(rows.len()),
        };
        for row in rows {
            let row = *row as usize;
            picked.ids.extend_from_slice(&self.ids[row * categories..(row + 1) * categories]);
            picked.numbers.extend_from_slice(&self.numbers[row * numbers..(row + 1) * numbers]);
            picked.log_prices.push(self.log_prices[row]);
        }
        picked
    }
}

/// The listings as they were when a run began, in any order and as often as needed.
#[derive(Debug)]
pub struct ListingStream {
    snapshot: Snapshot,
    blocks: Vec<Block>,
    held_out_since: Option<NaiveDate>,
    validation_is_learned_from: bool,
}

/// Pages of 8 KiB that are read in one go: some thousand listings.
const PAGES_PER_BLOCK: u32 = 64;
/// Listings of a batch that is not learned from.
const ROWS_PER_BATCH: usize = 1024;

impl ListingStream {
    /// Takes hold of the listings as they are now. The seed decides in which order [`Self::scan`] and
    /// [`Self::batches`] go over the blocks, so that where they stop early they have seen a sample of all.
    pub async fn begin(mut snapshot: Snapshot, seed: u64) -> Result<Self, Error> {
        let mut blocks = snapshot.blocks(PAGES_PER_BLOCK).await?;
        blocks.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        Ok(Self { snapshot, blocks, held_out_since: None, validation_is_learned_from: false })
    }

    /// How many listings a split has.
    pub async fn rows(&mut self, split: Split) -> Result<u64, Error> {
        Ok(self.snapshot.rows(self.part(split)).await?)
    }

    /// From now on takes the newest listings out of every split: as few whole days as hold this share
    /// of the dated listings. Gives back the first of those days; `None` when nothing would be left.
    pub async fn hold_out_newest(&mut self, share: f64) -> Result<Option<NaiveDate>, Error> {
        self.held_out_since = self.snapshot.newest_day(share).await?;
        Ok(self.held_out_since)
    }

    /// Puts the newest listings back into their splits.
    pub fn hold_out_nothing(&mut self) {
        self.held_out_since = None;
    }

    /// From now on the training split holds the validation split as well.
    pub fn learn_from_validation(&mut self) {
        self.validation_is_learned_from = true;
    }

    fn part(&self, split: Split) -> Part {
        match (split, self.held_out_since) {
            (Split::Train, _) if self.validation_is_learned_from => Part::AllBut(Split::Test),
            (_, None) => Part::Split(split),
            (_, Some(day)) => Part::Before(split, day),
        }
    }

    /// Goes once over a split, chunk by chunk, until `take` says false.
    pub async fn scan(
        &mut self,
        split: Split,
        take: impl FnMut(&ListingChunk) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        self.scan_part(self.part(split), take).await
    }

    /// Goes once over the listings that are held out, chunk by chunk, until `take` says false.
    pub async fn scan_held_out(&mut self, take: impl FnMut(&ListingChunk) -> Result<bool, Error>) -> Result<(), Error> {
        match self.held_out_since {
            Some(day) => self.scan_part(Part::Since(day), take).await,
            None => Ok(()),
        }
    }

    async fn scan_part(
        &mut self,
        part: Part,
        mut take: impl FnMut(&ListingChunk) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        for block in &self.blocks {
            if !take(&self.snapshot.read(*block, part).await?)? {
                break;
            }
        }
        Ok(())
    }

    /// Goes once over a split, in batches, until `take` says false.
    pub async fn batches(
        &mut self,
        split: Split,
        encoder: &Encoder,
        mut take: impl FnMut(TabularBatch) -> bool,
    ) -> Result<(), Error> {
        self.scan(split, |chunk| {
            for first in (0..chunk.len()).step_by(ROWS_PER_BATCH) {
                let mut batch = TabularBatch::default();
                (first..chunk.len().min(first + ROWS_PER_BATCH)).for_each(|row| batch.push(chunk, row, encoder));
                if !take(batch) {
                    return Ok(false);
                }
            }
            Ok(true)
        })
        .await
    }

    /// Goes once over the training split in an order that depends on nothing but the seed and the
    /// epoch, in batches, until `take` says false.
    pub async fn shuffled(
        &mut self,
        order: Order,
        encoder: &Encoder,
        mut take: impl FnMut(TabularBatch) -> bool,
    ) -> Result<(), Error> {
        let mut random = order.random();
        let mut blocks = self.blocks.clone();
        blocks.shuffle(&mut random);
        let mut buffer = TabularBatch::default();
        for block in blocks {
            let chunk = self.snapshot.read(block, self.part(Split::Train)).await?;
            for row in 0..chunk.len() {
                buffer.push(&chunk, row, encoder);
                if buffer.len() == order.shuffle_rows && !order.empty(&mut buffer, &mut random, encoder, &mut take) {
                    return Ok(());
                }
            }
        }
        order.empty(&mut buffer, &mut random, encoder, &mut take);
        Ok(())
    }
}

/// What the order of an epoch depends on.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Seed of the run.
    pub seed: u64,
    /// The epoch, counted from 0.
    pub epoch: u64,
    /// Listings in the shuffle buffer.
    pub shuffle_rows: usize,
    /// Listings a batch.
    pub batch_size: usize,
}

impl Order {
    fn random(self) -> ChaCha8Rng {
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        random.set_stream(self.epoch);
        random
    }

    /// Gives away all rows of the buffer in random order; false when `take` wants no more.
    fn empty(
        self,
        buffer: &mut TabularBatch,
        random: &mut impl Rng,
        encoder: &Encoder,
        take: &mut impl FnMut(TabularBatch) -> bool,
    ) -> bool {
        #[expect(clippy::cast_possible_truncation, reason = "the buffer is far below 2^32 rows")]
        let mut rows: Vec<u32> = (0..buffer.len() as u32).collect();
        rows.shuffle(random);
        let goes_on = rows
            .chunks(self.batch_size)
            .all(|rows| take(buffer.pick(rows, encoder.categorical_width(), encoder.numeric_width())));
        *buffer = TabularBatch::default();
        goes_on
    }
}

/// What the loader thread hands to the learner.
#[derive(Debug)]
pub enum Loaded {
    /// Rows to learn from.
    Train(Arc<TabularBatch>),
    /// Rows to validate on; they follow the training rows of their epoch.
    Validation(Arc<TabularBatch>),
    /// All rows of an epoch have been handed over.
    EpochEnd,
    /// The rows could not be read.
    Failed(Error),
}

/// Whether a column may be hidden from the network in training: all but those that a valuation
/// always has.
pub fn is_maskable(column: Column) -> bool {
    !matches!(column, Column::Year | Column::Mileage | Column::ListingDate)
}

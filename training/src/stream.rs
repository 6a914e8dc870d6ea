//! Mini-batches from PostgreSQL: blocks of the table in random order, whose rows are shuffled in a bounded buffer
//! (`CorgiPile`, SIGMOD 2022). At most two buffers and a few blocks are in memory.

mod shuffle;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use chrono::NaiveDate;
use crossbeam_channel::Sender;
use domain::Column;
use domain::SplitCounts;
use domain::identity::Split;
use onnx_model::Encoder;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use storage::{Block, ListingChunk, RowFilter, Snapshot, Spool, SpoolWriter, TabularBatch};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::Error;
use shuffle::{Buffer, BufferBuilder};
pub use shuffle::{Order, Position};

/// The listings as of the start of a run, which can be read repeatedly and in any order. Its methods block: call them outside
/// the async runtime.
#[derive(Debug)]
pub struct ListingStream<'a> {
    snapshot: Snapshot,
    readers: Vec<Reader>,
    blocks: Vec<Block>,
    handle: &'a Handle,
    stop: &'a AtomicBool,
    held_out_since: Option<NaiveDate>,
    trains_on_validation: bool,
    /// The spools to read instead of the database.
    spools: Spools,
}

/// A connection that reads blocks. It has its own runtime in the reading thread, since waking another thread for each packet
/// takes longer than decoding it.
#[derive(Debug)]
struct Reader {
    snapshot: Snapshot,
    runtime: Runtime,
}

#[derive(Debug, Default)]
struct Spools {
    train: Option<Spool>,
    validation: Option<Spool>,
}

impl Spools {
    fn get_mut(&mut self, split: Split) -> Option<&mut Option<Spool>> {
        match split {
            Split::Train => Some(&mut self.train),
            Split::Validation => Some(&mut self.validation),
            Split::Test => None,
        }
    }
}

/// The number of 8 KiB pages per block: about three thousand listings.
const PAGES_PER_BLOCK: u32 = 128;
/// The number of connections that read in parallel.
const CONNECTIONS: usize = 2;
/// The maximum number of blocks that a connection reads ahead.
const MAX_BLOCKS_AHEAD: usize = 2;
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// The number of listings in a batch that is not for training.
const ROWS_PER_BATCH: usize = 1024;

impl<'a> ListingStream<'a> {
    /// A stream of a snapshot. Unless `in_table_order` is set, the seed determines the order of the blocks in [`Self::scan`] and
    /// [`Self::for_each_batch`], so that stopping early gives a random sample. All methods fail with [`Error::Interrupted`] once
    /// `stop` is set.
    ///
    /// # Errors
    /// The system has no resources for another connection.
    pub fn new(
        snapshot: Snapshot,
        seed: u64,
        in_table_order: bool,
        handle: &'a Handle,
        stop: &'a AtomicBool,
    ) -> Result<Self, Error> {
        let mut blocks = snapshot.blocks(PAGES_PER_BLOCK);
        if !in_table_order {
            blocks.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        }
        let reader = |_| {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            Ok(Reader { snapshot: snapshot.reader(), runtime })
        };
        let readers: std::io::Result<Vec<Reader>> = (0..CONNECTIONS).map(reader).collect();
        Ok(Self {
            readers: readers.map_err(Error::Resources)?,
            snapshot,
            blocks,
            handle,
            stop,
            held_out_since: None,
            trains_on_validation: false,
            spools: Spools::default(),
        })
    }

    /// Counts the listings of each split.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn count_rows(&mut self) -> Result<SplitCounts, Error> {
        let filters = [Split::Train, Split::Validation, Split::Test].map(|split| self.filter(split));
        let [train, validation, test] = block_on(self.handle, self.stop, self.snapshot.rows(filters))?;
        Ok(SplitCounts { train, validation, test })
    }

    /// Holds out the newest listings of every split: the fewest whole days that contain this share of the dated listings.
    /// Returns the first of those days; `None` if no listings would remain.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn hold_out_newest(&mut self, share: f64) -> Result<Option<NaiveDate>, Error> {
        self.held_out_since = block_on(self.handle, self.stop, self.snapshot.newest_day(share))?;
        self.close_spools();
        Ok(self.held_out_since)
    }

    /// Returns the held-out listings to their splits.
    pub fn release_held_out(&mut self) {
        self.held_out_since = None;
        self.close_spools();
    }

    /// Adds the validation split to the training split.
    pub fn train_on_validation(&mut self) {
        self.trains_on_validation = true;
        self.close_spools();
    }

    fn filter(&self, split: Split) -> RowFilter {
        match (split, self.held_out_since) {
            (Split::Train, _) if self.trains_on_validation => RowFilter::AllBut(Split::Test),
            (_, None) => RowFilter::Split(split),
            (_, Some(day)) => RowFilter::Before(split, day),
        }
    }

    /// Passes each chunk of a split to `take` until it returns false.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn scan(&mut self, split: Split, take: impl FnMut(&ListingChunk) -> Result<bool, Error>) -> Result<(), Error> {
        let blocks = self.blocks.clone();
        self.read_blocks(&blocks, self.filter(split), take)
    }

    /// Passes each chunk of the held-out listings of the test split to `take` until it returns false. No car of them is in
    /// another split with an earlier date.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn scan_held_out(&mut self, take: impl FnMut(&ListingChunk) -> Result<bool, Error>) -> Result<(), Error> {
        let blocks = self.blocks.clone();
        match self.held_out_since {
            Some(day) => self.read_blocks(&blocks, RowFilter::Since(Split::Test, day), take),
            None => Ok(()),
        }
    }

    /// Passes each batch of a split to `take` until it returns false.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn for_each_batch(
        &mut self,
        split: Split,
        encoder: &Encoder,
        mut take: impl FnMut(TabularBatch) -> bool,
    ) -> Result<(), Error> {
        let indices: Vec<usize> = (0..self.blocks.len()).collect();
        self.for_each_encoded_block(split, encoder, &indices, |block| {
            Ok((0..block.len()).step_by(ROWS_PER_BATCH).all(|first| {
                let mut batch = TabularBatch::with_capacity(ROWS_PER_BATCH);
                batch.extend(&block, first..block.len().min(first + ROWS_PER_BATCH));
                take(batch)
            }))
        })
    }

    /// Encodes a split and passes each block to `observe`. If a path is given, the blocks are written to a spool, which is read
    /// instead of the database from then on.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn encode_split(
        &mut self,
        split: Split,
        encoder: &Encoder,
        file: Option<&Path>,
        mut observe: impl FnMut(&TabularBatch),
    ) -> Result<(), Error> {
        let indices: Vec<usize> = (0..self.blocks.len()).collect();
        let mut writer = file.map(SpoolWriter::create).transpose()?;
        self.for_each_encoded_block(split, encoder, &indices, |block| {
            observe(&block);
            if let Some(writer) = &mut writer {
                writer.write(block)?;
            }
            Ok(true)
        })?;
        if let (Some(writer), Some(spool)) = (writer, self.spools.get_mut(split)) {
            *spool = Some(writer.finish()?);
        }
        Ok(())
    }

    /// Opens a spool that [`Self::encode_split`] has written; false if it does not exist or is damaged.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn open_spool(&mut self, split: Split, file: &Path) -> Result<bool, Error> {
        let Some(spool) = self.spools.get_mut(split) else { return Ok(false) };
        *spool = match Spool::open(file) {
            Err(damaged @ storage::Error::Spool { .. }) => {
                tracing::warn!("{damaged}; it will be written again.");
                None
            }
            opened => opened?,
        };
        Ok(spool.is_some())
    }

    /// Closes the spools, so that the database is read again.
    pub fn close_spools(&mut self) {
        self.spools = Spools::default();
    }

    /// Passes each training batch in the order of an epoch, with the position after it, to `take` until it returns false,
    /// starting at a position. While one buffer is consumed, the next one is filled.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn for_each_shuffled_batch(
        &mut self,
        order: Order,
        start: Position,
        rows: usize,
        encoder: &Encoder,
        mut take: impl FnMut(TabularBatch, Position) -> bool,
    ) -> Result<(), Error> {
        thread::scope(|scope| {
            let (sender, buffers) = crossbeam_channel::bounded(0);
            let filler = scope.spawn(move || self.fill_buffers(order, start, rows, encoder, &sender));
            for buffer in &buffers {
                if !order.batches(&buffer, start).all(|(batch, next)| take(batch, next)) {
                    return Ok(());
                }
            }
            filler.join().map_err(|_| Error::ThreadStopped)?
        })
    }

    /// Fills the shuffle buffers of an epoch.
    fn fill_buffers(
        &mut self,
        order: Order,
        start: Position,
        rows: usize,
        encoder: &Encoder,
        sender: &Sender<Buffer>,
    ) -> Result<(), Error> {
        let indices = order.blocks(self.blocks.len());
        let mut builder = BufferBuilder::new(order, start, rows);
        let mut has_receiver = true;
        self.for_each_encoded_block(Split::Train, encoder, &indices[start.block..], |block| {
            has_receiver = builder.add(&block, |buffer| sender.send(buffer).is_ok());
            Ok(has_receiver)
        })?;
        if let Some(rest) = builder.finish().filter(|_| has_receiver) {
            // The receiver may be gone.
            let _ = sender.send(rest);
        }
        Ok(())
    }

    /// Passes each of these blocks of a split, from its spool or else the database, to `take` until it returns false.
    fn for_each_encoded_block(
        &mut self,
        split: Split,
        encoder: &Encoder,
        indices: &[usize],
        mut take: impl FnMut(TabularBatch) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let stop = self.stop;
        if let Some(spool) = self.spools.get_mut(split).and_then(Option::as_mut) {
            for index in indices {
                check_stop(stop)?;
                if !take(spool.read_block(*index)?)? {
                    break;
                }
            }
            return Ok(());
        }
        let blocks: Vec<Block> = indices.iter().map(|index| self.blocks[*index]).collect();
        self.read_blocks(&blocks, self.filter(split), |chunk| take(encode_chunk(chunk, encoder)))
    }

    /// Reads blocks over all connections in parallel, and passes them in order to `take` until it returns false.
    fn read_blocks(
        &mut self,
        blocks: &[Block],
        filter: RowFilter,
        mut take: impl FnMut(&ListingChunk) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let stop = self.stop;
        let connections = self.readers.len();
        thread::scope(|scope| {
            let queues = self.readers.iter_mut().enumerate().map(|(number, reader)| {
                let (sender, queue) = crossbeam_channel::bounded(MAX_BLOCKS_AHEAD);
                scope.spawn(move || {
                    let Reader { snapshot, runtime } = reader;
                    for block in blocks.iter().skip(number).step_by(connections) {
                        let chunk = runtime.block_on(async {
                            tokio::select! {
                                chunk = snapshot.read_block(*block, filter) => chunk.map_err(Error::from),
                                () = wait_for_stop(stop) => Err(Error::Interrupted),
                            }
                        });
                        let has_failed = chunk.is_err();
                        if sender.send(chunk).is_err() || has_failed {
                            break;
                        }
                    }
                });
                queue
            });
            let queues: Vec<_> = queues.collect();
            for index in 0..blocks.len() {
                check_stop(stop)?;
                let chunk = queues[index % connections].recv().map_err(|_| Error::ThreadStopped)??;
                if !take(&chunk)? {
                    break;
                }
            }
            Ok(())
        })
    }
}

fn check_stop(stop: &AtomicBool) -> Result<(), Error> {
    if stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

/// Waits for the database, or until `stop` is set.
pub(crate) fn block_on<T>(
    handle: &Handle,
    stop: &AtomicBool,
    work: impl Future<Output = storage::Result<T>>,
) -> Result<T, Error> {
    handle.block_on(async {
        tokio::select! {
            done = work => Ok(done?),
            () = wait_for_stop(stop) => Err(Error::Interrupted),
        }
    })
}

/// Resolves once `stop` is set.
pub(crate) async fn wait_for_stop(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(STOP_POLL_INTERVAL).await;
    }
}

fn encode_chunk(chunk: &ListingChunk, encoder: &Encoder) -> TabularBatch {
    let mut batch = TabularBatch::with_capacity(chunk.len());
    for row in 0..chunk.len() {
        #[expect(clippy::cast_possible_truncation, reason = "a vocabulary has at most a million keys")]
        encoder.encode_ids(|column| chunk.text(column, row), |id| batch.ids.push(id as i32));
        encoder.encode_numbers(|column| chunk.number(column, row), &mut batch.numbers);
        #[expect(clippy::cast_possible_truncation, reason = "the network computes in single precision")]
        batch.log_prices.push(chunk.target(row).ln() as f32);
    }
    batch
}

/// Whether a column may be masked in training. The others are always present in a valuation.
#[must_use]
pub fn is_maskable(column: Column) -> bool {
    !matches!(column, Column::Year | Column::Mileage | Column::ListingDate)
}

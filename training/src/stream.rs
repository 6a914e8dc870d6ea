//! Mini-batches from PostgreSQL: blocks of the table in random order, their rows shuffled in a bounded buffer
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
use storage::{Block, ListingChunk, Part, Snapshot, Spool, SpoolWriter, TabularBatch};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::Error;
use shuffle::{Buffer, Cutter};
pub use shuffle::{Order, Position};

/// The listings as they were when a run began, in any order and as often as needed. Its methods block: call them
/// outside the async runtime.
#[derive(Debug)]
pub struct ListingStream<'a> {
    snapshot: Snapshot,
    readers: Vec<Reader>,
    blocks: Vec<Block>,
    handle: &'a Handle,
    stop: &'a AtomicBool,
    held_out_since: Option<NaiveDate>,
    validation_is_learned_from: bool,
    /// Spools that are read instead of the database.
    spools: Spools,
}

/// A connection that reads blocks. It has a runtime of its own in the reading thread: waking another thread for each
/// packet takes longer than decoding it.
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
    fn of(&mut self, split: Split) -> Option<&mut Option<Spool>> {
        match split {
            Split::Train => Some(&mut self.train),
            Split::Validation => Some(&mut self.validation),
            Split::Test => None,
        }
    }
}

/// Pages of 8 KiB that are read in one go: some three thousand listings.
const PAGES_PER_BLOCK: u32 = 128;
/// Connections that read at once.
const CONNECTIONS: usize = 2;
/// Blocks that each has ready.
const BLOCKS_AHEAD: usize = 2;
const LOOK_AT_STOP: Duration = Duration::from_millis(100);
/// Listings of a batch that is not trained on.
const ROWS_PER_BATCH: usize = 1024;

impl<'a> ListingStream<'a> {
    /// Reads a snapshot. Unless it is to be read as it lies, the seed decides in which order [`Self::scan`] and
    /// [`Self::batches`] go over the blocks, so that where they stop early they have seen a sample of all. All ends
    /// with [`Error::Interrupted`] once `stop` is set.
    ///
    /// # Errors
    /// The system has no resources for another connection.
    pub fn new(
        snapshot: Snapshot,
        seed: u64,
        as_it_lies: bool,
        handle: &'a Handle,
        stop: &'a AtomicBool,
    ) -> Result<Self, Error> {
        let mut blocks = snapshot.blocks(PAGES_PER_BLOCK);
        if !as_it_lies {
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
            validation_is_learned_from: false,
            spools: Spools::default(),
        })
    }

    /// How many listings each split has.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn rows(&mut self) -> Result<SplitCounts, Error> {
        let parts = [Split::Train, Split::Validation, Split::Test].map(|split| self.part(split));
        let [train, validation, test] = wait(self.handle, self.stop, self.snapshot.rows(parts))?;
        Ok(SplitCounts { train, validation, test })
    }

    /// Holds out the newest listings of every split from now on: as few whole days as contain this share of the dated
    /// listings. Returns the first of those days; `None` if no listings would be left.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn hold_out_newest(&mut self, share: f64) -> Result<Option<NaiveDate>, Error> {
        self.held_out_since = wait(self.handle, self.stop, self.snapshot.newest_day(share))?;
        self.close_spools();
        Ok(self.held_out_since)
    }

    /// Returns the held-out listings to their splits.
    pub fn hold_out_nothing(&mut self) {
        self.held_out_since = None;
        self.close_spools();
    }

    /// Adds the validation split to the training split from now on.
    pub fn learn_from_validation(&mut self) {
        self.validation_is_learned_from = true;
        self.close_spools();
    }

    fn part(&self, split: Split) -> Part {
        match (split, self.held_out_since) {
            (Split::Train, _) if self.validation_is_learned_from => Part::AllBut(Split::Test),
            (_, None) => Part::Split(split),
            (_, Some(day)) => Part::Before(split, day),
        }
    }

    /// Goes once over a split, chunk by chunk, until `take` says false.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn scan(&mut self, split: Split, take: impl FnMut(&ListingChunk) -> Result<bool, Error>) -> Result<(), Error> {
        let blocks = self.blocks.clone();
        self.read_blocks(&blocks, self.part(split), take)
    }

    /// Goes once over the listings that are held out, chunk by chunk, until `take` says false.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn scan_held_out(&mut self, take: impl FnMut(&ListingChunk) -> Result<bool, Error>) -> Result<(), Error> {
        let blocks = self.blocks.clone();
        match self.held_out_since {
            Some(day) => self.read_blocks(&blocks, Part::Since(day), take),
            None => Ok(()),
        }
    }

    /// Goes once over a split, in batches, until `take` says false.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn batches(
        &mut self,
        split: Split,
        encoder: &Encoder,
        mut take: impl FnMut(TabularBatch) -> bool,
    ) -> Result<(), Error> {
        let places: Vec<usize> = (0..self.blocks.len()).collect();
        self.encoded(split, encoder, &places, |block| {
            Ok((0..block.len()).step_by(ROWS_PER_BATCH).all(|first| {
                let mut batch = TabularBatch::with_capacity(ROWS_PER_BATCH);
                batch.extend(&block, first..block.len().min(first + ROWS_PER_BATCH));
                take(batch)
            }))
        })
    }

    /// Goes once over a split; where a file is given, it becomes the split's spool, and the split is no longer read
    /// from the database.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn encode(
        &mut self,
        split: Split,
        encoder: &Encoder,
        file: Option<&Path>,
        mut look_at: impl FnMut(&TabularBatch),
    ) -> Result<(), Error> {
        let places: Vec<usize> = (0..self.blocks.len()).collect();
        let mut writer = file.map(SpoolWriter::create).transpose()?;
        self.encoded(split, encoder, &places, |block| {
            look_at(&block);
            if let Some(writer) = &mut writer {
                writer.write(block)?;
            }
            Ok(true)
        })?;
        if let (Some(writer), Some(spool)) = (writer, self.spools.of(split)) {
            *spool = Some(writer.finish()?);
        }
        Ok(())
    }

    /// Makes the split's spool of a file that [`Self::encode`] has written before; false where there is none, or none
    /// that is what was written.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open_spool(&mut self, split: Split, file: &Path) -> Result<bool, Error> {
        let Some(spool) = self.spools.of(split) else { return Ok(false) };
        *spool = match Spool::open(file) {
            Err(damaged @ storage::Error::Spool { .. }) => {
                tracing::warn!("{damaged}; writing another.");
                None
            }
            opened => opened?,
        };
        Ok(spool.is_some())
    }

    /// Reads from the database again.
    pub fn close_spools(&mut self) {
        self.spools = Spools::default();
    }

    /// Goes over the training split in the order of an epoch, from a position on, in batches, until `take` says false.
    /// It is given each batch with the position behind it. While one buffer is given away the next one is filled.
    ///
    /// # Errors
    /// The database is unavailable, or [`Error::Interrupted`].
    pub fn shuffled(
        &mut self,
        order: Order,
        from: Position,
        rows: usize,
        encoder: &Encoder,
        mut take: impl FnMut(TabularBatch, Position) -> bool,
    ) -> Result<(), Error> {
        thread::scope(|scope| {
            let (ready, buffers) = crossbeam_channel::bounded(0);
            let filler = scope.spawn(move || self.fill(order, from, rows, encoder, &ready));
            for buffer in &buffers {
                if !order.batches(&buffer, from).all(|(batch, behind)| take(batch, behind)) {
                    return Ok(());
                }
            }
            filler.join().map_err(|_| Error::ThreadStopped)?
        })
    }

    fn fill(
        &mut self,
        order: Order,
        from: Position,
        rows: usize,
        encoder: &Encoder,
        ready: &Sender<Buffer>,
    ) -> Result<(), Error> {
        let places = order.blocks(self.blocks.len());
        let mut cutter = Cutter::new(order, from, rows);
        let mut is_wanted = true;
        self.encoded(Split::Train, encoder, &places[from.block..], |block| {
            is_wanted = cutter.add(&block, |buffer| ready.send(buffer).is_ok());
            Ok(is_wanted)
        })?;
        if let Some(rest) = cutter.rest().filter(|_| is_wanted) {
            // The receiver may have stopped.
            let _ = ready.send(rest);
        }
        Ok(())
    }

    /// Goes over blocks of a split, out of its spool or, where it has none, the database, until `take` says false.
    fn encoded(
        &mut self,
        split: Split,
        encoder: &Encoder,
        places: &[usize],
        mut take: impl FnMut(TabularBatch) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let stop = self.stop;
        if let Some(spool) = self.spools.of(split).and_then(Option::as_mut) {
            for place in places {
                check(stop)?;
                if !take(spool.read_block(*place)?)? {
                    break;
                }
            }
            return Ok(());
        }
        let blocks: Vec<Block> = places.iter().map(|place| self.blocks[*place]).collect();
        self.read_blocks(&blocks, self.part(split), |chunk| take(encode(chunk, encoder)))
    }

    /// Reads blocks over all connections at once, and hands them over in their order until `take` says false.
    fn read_blocks(
        &mut self,
        blocks: &[Block],
        part: Part,
        mut take: impl FnMut(&ListingChunk) -> Result<bool, Error>,
    ) -> Result<(), Error> {
        let stop = self.stop;
        let connections = self.readers.len();
        thread::scope(|scope| {
            let queues = self.readers.iter_mut().enumerate().map(|(number, reader)| {
                let (read, queue) = crossbeam_channel::bounded(BLOCKS_AHEAD);
                scope.spawn(move || {
                    let Reader { snapshot, runtime } = reader;
                    for block in blocks.iter().skip(number).step_by(connections) {
                        let chunk = runtime.block_on(async {
                            tokio::select! {
                                chunk = snapshot.read_block(*block, part) => chunk.map_err(Error::from),
                                () = stopped(stop) => Err(Error::Interrupted),
                            }
                        });
                        let is_over = chunk.is_err();
                        if read.send(chunk).is_err() || is_over {
                            break;
                        }
                    }
                });
                queue
            });
            let queues: Vec<_> = queues.collect();
            for place in 0..blocks.len() {
                check(stop)?;
                let chunk = queues[place % connections].recv().map_err(|_| Error::ThreadStopped)??;
                if !take(&chunk)? {
                    break;
                }
            }
            Ok(())
        })
    }
}

fn check(stop: &AtomicBool) -> Result<(), Error> {
    if stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) }
}

/// Waits for the database, or until `stop` is set.
pub(crate) fn wait<T>(
    handle: &Handle,
    stop: &AtomicBool,
    work: impl Future<Output = storage::Result<T>>,
) -> Result<T, Error> {
    handle.block_on(async {
        tokio::select! {
            done = work => Ok(done?),
            () = stopped(stop) => Err(Error::Interrupted),
        }
    })
}

/// Resolves once `stop` is set.
pub(crate) async fn stopped(stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK_AT_STOP).await;
    }
}

fn encode(chunk: &ListingChunk, encoder: &Encoder) -> TabularBatch {
    let mut batch = TabularBatch::with_capacity(chunk.len());
    for row in 0..chunk.len() {
        #[expect(clippy::cast_possible_truncation, reason = "a vocabulary has at most a million keys")]
        encoder.encode_ids(|column| chunk.text(column, row), |id| batch.ids.push(id as i32));
        encoder.encode_numbers(|column| chunk.number(column, row), &mut batch.numbers);
        #[expect(clippy::cast_possible_truncation, reason = "the network computes in single precision")]
        batch.log_prices.push(chunk.price(row).ln() as f32);
    }
    batch
}

/// Whether a column may be hidden from the network in training: all but those that a valuation
/// always has.
#[must_use]
pub fn is_maskable(column: Column) -> bool {
    !matches!(column, Column::Year | Column::Mileage | Column::ListingDate)
}

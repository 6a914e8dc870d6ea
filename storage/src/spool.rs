//! Encoded listings on the local disk: an Arrow IPC file, a record batch a block of the table, that later passes read
//! instead of the database.
//!
//! Batches are read one at a time and not mapped: pages of a mapped file count as the process's memory, which must not
//! grow with the table, and a disk that fails under a mapping kills the process, where a read gives an error. What a
//! disk or its cables change without a word is found by a checksum of each block, which each of its rows carries.

use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use arrow2::array::{Array, FixedSizeListArray, Float32Array, Int32Array, PrimitiveArray, UInt32Array};
use arrow2::chunk::Chunk;
use arrow2::datatypes::{DataType, Field, Schema};
use arrow2::io::ipc::read::{Dictionaries, FileMetadata, read_batch, read_file_metadata};
use arrow2::io::ipc::write::{FileWriter, WriteOptions};
use arrow2::types::NativeType;
use domain::feature::{CATEGORICAL, NUMERIC};
use files::AtomicFile;

use crate::batch::TabularBatch;
use crate::error::{Error, Result};

/// A spool that is being written; dropped before [`SpoolWriter::finish`], it is gone.
pub struct SpoolWriter {
    writer: FileWriter<AtomicFile>,
    path: PathBuf,
}

impl SpoolWriter {
    /// Creates a spool in this file.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let options = WriteOptions { compression: None };
        let file = AtomicFile::create_in_own_folder(path).map_err(Error::file("write", path))?;
        let writer = FileWriter::try_new(file, Schema::from(fields()), None, options);
        Ok(Self { writer: writer.map_err(failed(path))?, path: path.to_owned() })
    }

    /// Adds the rows of the next block; there may be none.
    ///
    /// # Errors
    /// The disk is full or broken.
    pub fn write(&mut self, rows: TabularBatch) -> Result<()> {
        let checksums = vec![checksum(&rows); rows.len()];
        let TabularBatch { ids, numbers, log_prices } = rows;
        let columns = rows_of(DataType::Int32, CATEGORICAL.len(), Int32Array::from_vec(ids).boxed()).and_then(|ids| {
            let numbers = rows_of(DataType::Float32, NUMERIC.len(), Float32Array::from_vec(numbers).boxed())?;
            let log_prices = Float32Array::from_vec(log_prices).boxed();
            Chunk::try_new(vec![ids, numbers, log_prices, UInt32Array::from_vec(checksums).boxed()])
        });
        columns.and_then(|columns| self.writer.write(&columns, None)).map_err(failed(&self.path))
    }

    /// Completes the spool and opens it.
    ///
    /// # Errors
    /// The disk is full or broken.
    pub fn finish(mut self) -> Result<Spool> {
        self.writer.finish().map_err(failed(&self.path))?;
        self.writer.into_inner().finish().map_err(Error::file("write", &self.path))?;
        Spool::open(&self.path)?.ok_or_else(|| Error::file("find", &self.path)(ErrorKind::NotFound.into()))
    }
}

/// A complete spool.
#[derive(Debug)]
pub struct Spool {
    path: PathBuf,
    file: BufReader<File>,
    metadata: FileMetadata,
    /// Buffers of the reader, kept from one read to the next.
    message: Vec<u8>,
    data: Vec<u8>,
}

impl Spool {
    /// Opens a spool; `None` where there is no such file.
    ///
    /// # Errors
    /// A file that cannot be read or is no spool.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Error::file("read", path)(cause)),
        };
        let mut file = BufReader::with_capacity(1 << 16, file);
        let metadata = read_file_metadata(&mut file).map_err(failed(path))?;
        // The reader of the batches trusts the schema of the file.
        if metadata.schema.fields != fields() {
            return Err(failed(path)(damaged()));
        }
        Ok(Some(Self { path: path.to_owned(), file, metadata, message: Vec::new(), data: Vec::new() }))
    }

    /// The rows of a block, counted from 0 in the order in which they were written.
    ///
    /// # Errors
    /// The block does not exist, the disk is broken, or [`Error::DamagedSpool`].
    pub fn read_block(&mut self, block: usize) -> Result<TabularBatch> {
        let (rows, checksums) = self.read_columns(block).map_err(failed(&self.path))?;
        let expected = checksum(&rows);
        let is_intact = checksums.len() == rows.len() && checksums.iter().all(|checksum| *checksum == expected);
        if is_intact { Ok(rows) } else { Err(Error::DamagedSpool { path: self.path.clone() }) }
    }

    fn read_columns(&mut self, block: usize) -> arrow2::error::Result<(TabularBatch, Vec<u32>)> {
        if block >= self.metadata.blocks.len() {
            return Err(damaged());
        }
        let Self { file, metadata, message, data, .. } = self;
        let columns = read_batch(file, &Dictionaries::default(), metadata, None, None, block, message, data)?;
        let [ids, numbers, log_prices, checksums] = columns.arrays() else { return Err(damaged()) };
        let values =
            |rows: &dyn Array| rows.as_any().downcast_ref::<FixedSizeListArray>().map(|rows| rows.values().clone());
        let rows = TabularBatch {
            ids: numbers_of(values(ids.as_ref()).ok_or_else(damaged)?.as_ref())?,
            numbers: numbers_of(values(numbers.as_ref()).ok_or_else(damaged)?.as_ref())?,
            log_prices: numbers_of(log_prices.as_ref())?,
        };
        Ok((rows, numbers_of(checksums.as_ref())?))
    }
}

fn checksum(rows: &TabularBatch) -> u32 {
    let TabularBatch { ids, numbers, log_prices } = rows;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(bytemuck::cast_slice(ids));
    hasher.update(bytemuck::cast_slice(numbers));
    hasher.update(bytemuck::cast_slice(log_prices));
    hasher.finalize()
}

fn fields() -> Vec<Field> {
    vec![
        Field::new("categorical", row_type(DataType::Int32, CATEGORICAL.len()), false),
        Field::new("numeric", row_type(DataType::Float32, NUMERIC.len()), false),
        Field::new("log_price", DataType::Float32, false),
        Field::new("checksum", DataType::UInt32, false),
    ]
}

fn row_type(of: DataType, width: usize) -> DataType {
    DataType::FixedSizeList(Box::new(Field::new("item", of, false)), width)
}

fn rows_of(of: DataType, width: usize, values: Box<dyn Array>) -> arrow2::error::Result<Box<dyn Array>> {
    Ok(FixedSizeListArray::try_new(row_type(of, width), values, None)?.boxed())
}

fn numbers_of<T: NativeType>(array: &dyn Array) -> arrow2::error::Result<Vec<T>> {
    let numbers = array.as_any().downcast_ref::<PrimitiveArray<T>>().ok_or_else(damaged)?;
    Ok(numbers.values().to_vec())
}

fn damaged() -> arrow2::error::Error {
    arrow2::error::Error::OutOfSpec("its columns are not those of a spool".to_owned())
}

fn failed(path: &Path) -> impl FnOnce(arrow2::error::Error) -> Error {
    move |cause| match cause {
        arrow2::error::Error::Io(cause) => Error::file("read or write", path)(cause),
        cause => Error::Spool { path: path.to_owned(), cause },
    }
}

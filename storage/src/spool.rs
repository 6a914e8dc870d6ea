//! Encoded listings on the local disk: an Arrow IPC file with a record batch per block of the table, which is read in later
//! epochs instead of the database.
//!
//! Batches are read rather than memory-mapped: mapped pages count as memory of the process, which must not grow with the
//! table, and an I/O error in a mapping kills the process. Silent corruption is detected by a checksum per block, which is
//! stored in each of its rows. Each block ends with a row of zeros, so that no block is without a checksum.

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

/// Writes a spool. If it is dropped before [`SpoolWriter::finish`], the file is discarded.
pub struct SpoolWriter {
    writer: FileWriter<AtomicFile>,
    path: PathBuf,
}

impl SpoolWriter {
    /// Creates a spool at this path.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn create(path: &Path) -> Result<Self> {
        let options = WriteOptions { compression: None };
        let file = AtomicFile::create_in_own_folder(path).map_err(Error::file("write", path))?;
        let writer = FileWriter::try_new(file, Schema::from(fields()), None, options);
        Ok(Self { writer: writer.map_err(failed(path))?, path: path.to_owned() })
    }

    /// Writes the rows of the next block, which may be empty.
    ///
    /// # Errors
    /// The disk is full or fails.
    pub fn write(&mut self, mut rows: TabularBatch) -> Result<()> {
        rows.ids.resize(rows.ids.len() + CATEGORICAL.len(), 0);
        rows.numbers.resize(rows.numbers.len() + NUMERIC.len(), 0.0);
        rows.log_prices.push(0.0);
        let checksums = vec![checksum(&rows); rows.len()];
        let TabularBatch { ids, numbers, log_prices } = rows;
        let columns =
            row_array(DataType::Int32, CATEGORICAL.len(), Int32Array::from_vec(ids).boxed()).and_then(|ids| {
                let numbers = row_array(DataType::Float32, NUMERIC.len(), Float32Array::from_vec(numbers).boxed())?;
                let log_prices = Float32Array::from_vec(log_prices).boxed();
                Chunk::try_new(vec![ids, numbers, log_prices, UInt32Array::from_vec(checksums).boxed()])
            });
        columns.and_then(|columns| self.writer.write(&columns, None)).map_err(failed(&self.path))
    }

    /// Completes the spool and opens it.
    ///
    /// # Errors
    /// The disk is full or fails.
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
    /// Reusable buffers of the reader.
    message: Vec<u8>,
    data: Vec<u8>,
}

impl Spool {
    /// Opens a spool; `None` if the file does not exist.
    ///
    /// # Errors
    /// The file cannot be read or is not a spool.
    pub fn open(path: &Path) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
            Err(cause) => return Err(Error::file("read", path)(cause)),
        };
        let mut file = BufReader::with_capacity(1 << 16, file);
        let metadata = read_file_metadata(&mut file).map_err(failed(path))?;
        // The batch reader trusts the schema of the file.
        if metadata.schema.fields != fields() {
            return Err(failed(path)(damaged()));
        }
        Ok(Some(Self { path: path.to_owned(), file, metadata, message: Vec::new(), data: Vec::new() }))
    }

    /// Reads a block by its index, in writing order.
    ///
    /// # Errors
    /// The block does not exist, the disk fails, or [`Error::DamagedSpool`].
    pub fn read_block(&mut self, block: usize) -> Result<TabularBatch> {
        let (mut rows, checksums) = self.read_columns(block).map_err(failed(&self.path))?;
        let expected = checksum(&rows);
        let is_intact = checksums.len() == rows.len() && checksums.iter().all(|checksum| *checksum == expected);
        let Some(last) = rows.len().checked_sub(1).filter(|_| is_intact) else {
            return Err(Error::DamagedSpool { path: self.path.clone() });
        };
        rows.ids.truncate(last * CATEGORICAL.len());
        rows.numbers.truncate(last * NUMERIC.len());
        rows.log_prices.truncate(last);
        Ok(rows)
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
            ids: copy_numbers(values(ids.as_ref()).ok_or_else(damaged)?.as_ref())?,
            numbers: copy_numbers(values(numbers.as_ref()).ok_or_else(damaged)?.as_ref())?,
            log_prices: copy_numbers(log_prices.as_ref())?,
        };
        Ok((rows, copy_numbers(checksums.as_ref())?))
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

fn row_type(element: DataType, width: usize) -> DataType {
    DataType::FixedSizeList(Box::new(Field::new("item", element, false)), width)
}

fn row_array(element: DataType, width: usize, values: Box<dyn Array>) -> arrow2::error::Result<Box<dyn Array>> {
    Ok(FixedSizeListArray::try_new(row_type(element, width), values, None)?.boxed())
}

fn copy_numbers<T: NativeType>(array: &dyn Array) -> arrow2::error::Result<Vec<T>> {
    let numbers = array.as_any().downcast_ref::<PrimitiveArray<T>>().ok_or_else(damaged)?;
    Ok(numbers.values().to_vec())
}

fn damaged() -> arrow2::error::Error {
    arrow2::error::Error::OutOfSpec("the columns are not those of a spool".to_owned())
}

fn failed(path: &Path) -> impl FnOnce(arrow2::error::Error) -> Error {
    move |cause| match cause {
        arrow2::error::Error::Io(cause) => Error::file("read or write", path)(cause),
        cause => Error::Spool { path: path.to_owned(), cause },
    }
}

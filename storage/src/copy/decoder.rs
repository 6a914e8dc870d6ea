//! Decodes a binary COPY stream into columns.

use arrow2::array::{Array, Float32Array, Float64Array, Utf8Array};
use arrow2::bitmap::{Bitmap, MutableBitmap};
use arrow2::chunk::Chunk;
use arrow2::datatypes::DataType;
use arrow2::offset::Offsets;
use domain::Column;

use super::columns::{WIDTH, columns};
use super::format::{EPOCH_IN_DAYS, SIGNATURE, SqlType, sql_type};

use crate::chunk::ListingChunk;

/// The maximum size of a field in bytes.
const MAX_FIELD_BYTES: usize = 1 << 20;
/// The maximum size of the header extension in bytes.
const MAX_EXTENSION_BYTES: usize = 1 << 16;

/// Why a stream is malformed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is documented by its message")]
pub enum Malformed {
    #[error("the signature of binary COPY is missing")]
    Signature,
    #[error("a row has {0} fields")]
    FieldCount(i16),
    #[error("a field of column {column} has the invalid length {length}")]
    FieldLength { column: &'static str, length: i32 },
    #[error("column {0} has an unexpected NULL")]
    Null(&'static str),
    #[error("column {0} has a date out of range")]
    Date(&'static str),
    #[error("column {0} has text that is not UTF-8")]
    Text(&'static str),
    #[error("column {0} has more than 2 GiB of text in one block")]
    TooLarge(&'static str),
    #[error("there is data after the end")]
    AfterEnd,
    #[error("the stream is truncated")]
    Unfinished,
    #[error("the columns have different lengths")]
    Uneven,
}

/// Reads a binary COPY of the columns [`columns`] from chunks of any size.
#[derive(Debug)]
pub(crate) struct Decoder {
    columns: Vec<Builder>,
    state: State,
    /// An incomplete row or header.
    rest: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    Rows,
    End,
}

/// The next row in the stream.
enum Row {
    Complete {
        length: usize,
    },
    Partial,
    /// The trailer after the last row.
    End,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        let columns = columns().iter().copied().map(Builder::new).collect();
        Self { columns, state: State::Header, rest: Vec::new() }
    }

    /// Decodes the next chunk.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            let used = self.consume(chunk)?;
            self.rest.extend_from_slice(&chunk[used..]);
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.rest);
        joined.extend_from_slice(chunk);
        let used = self.consume(&joined)?;
        joined.drain(..used);
        self.rest = joined;
        Ok(())
    }

    /// The decoded rows, after the end of the stream.
    pub(crate) fn finish(self) -> Result<ListingChunk, Malformed> {
        if self.state != State::End {
            return Err(Malformed::Unfinished);
        }
        let arrays = self.columns.into_iter().map(Builder::finish).collect::<Result<_, _>>()?;
        Chunk::try_new(arrays).map(ListingChunk::new).map_err(|_| Malformed::Uneven)
    }

    /// Decodes all complete rows, and returns the number of bytes consumed.
    fn consume(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut used = 0;
        if self.state == State::Header {
            let Some(length) = header_length(bytes)? else { return Ok(0) };
            self.state = State::Rows;
            used = length;
        }
        while self.state == State::Rows {
            match next_row(&bytes[used..])? {
                Row::Partial => return Ok(used),
                Row::End => {
                    self.state = State::End;
                    used += 2;
                }
                Row::Complete { length } => {
                    self.decode_row(&bytes[used + 2..used + length])?;
                    used += length;
                }
            }
        }
        if used < bytes.len() { Err(Malformed::AfterEnd) } else { Ok(used) }
    }

    /// Decodes the fields of a complete row.
    fn decode_row(&mut self, mut fields: &[u8]) -> Result<(), Malformed> {
        for builder in &mut self.columns {
            let (length, rest) = fields.split_first_chunk().ok_or(Malformed::Unfinished)?;
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let (field, rest) = rest.split_at_checked(length.unwrap_or(0)).ok_or(Malformed::Unfinished)?;
            builder.push(length.is_some().then_some(field))?;
            fields = rest;
        }
        Ok(())
    }
}

/// The length of the header; `None` while it is incomplete.
fn header_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes[..seen] != SIGNATURE[..seen] {
        return Err(Malformed::Signature);
    }
    // The signature is followed by four bytes of flags and the length of an extension.
    let fixed = SIGNATURE.len() + 8;
    let Some(extension) = bytes.get(fixed - 4..).and_then(|bytes| bytes.first_chunk()) else { return Ok(None) };
    match usize::try_from(i32::from_be_bytes(*extension)) {
        Ok(extension) if extension <= MAX_EXTENSION_BYTES => {
            Ok(Some(fixed + extension).filter(|length| *length <= bytes.len()))
        }
        _ => Err(Malformed::Signature),
    }
}

/// Finds the row at the start of `bytes`.
fn next_row(bytes: &[u8]) -> Result<Row, Malformed> {
    let Some(count) = bytes.first_chunk() else { return Ok(Row::Partial) };
    match i16::from_be_bytes(*count) {
        -1 => return Ok(Row::End),
        count if usize::try_from(count) == Ok(WIDTH) => {}
        count => return Err(Malformed::FieldCount(count)),
    }
    let mut length = 2;
    for column in columns() {
        let Some(field) = bytes.get(length..).and_then(|bytes| bytes.first_chunk()) else { return Ok(Row::Partial) };
        let field = i32::from_be_bytes(*field);
        length += 4 + match usize::try_from(field) {
            Ok(field) if field <= MAX_FIELD_BYTES => field,
            Err(_) if field == -1 => 0,
            _ => return Err(Malformed::FieldLength { column: column.name(), length: field }),
        };
    }
    Ok(if length <= bytes.len() { Row::Complete { length } } else { Row::Partial })
}

/// A column that is being built.
#[derive(Debug)]
struct Builder {
    column: Column,
    sql_type: SqlType,
    values: Values,
    validity: MutableBitmap,
}

#[derive(Debug)]
enum Values {
    Text { offsets: Offsets<i32>, bytes: Vec<u8> },
    Number(Vec<f32>),
    Price(Vec<f64>),
}

impl Builder {
    fn new(column: Column) -> Self {
        let sql_type = sql_type(column);
        let values = match sql_type {
            SqlType::Text => Values::Text { offsets: Offsets::new(), bytes: Vec::new() },
            SqlType::Float8 => Values::Price(Vec::new()),
            SqlType::Int2 | SqlType::Int4 | SqlType::Float4 | SqlType::Date => Values::Number(Vec::new()),
        };
        Self { column, sql_type, values, validity: MutableBitmap::new() }
    }

    fn push(&mut self, field: Option<&[u8]>) -> Result<(), Malformed> {
        self.validity.push(field.is_some());
        match &mut self.values {
            Values::Text { offsets, bytes } => {
                let field = field.unwrap_or_default();
                offsets.try_push_usize(field.len()).map_err(|_| Malformed::TooLarge(self.column.name()))?;
                bytes.extend_from_slice(field);
            }
            Values::Number(values) => values.push(match field {
                Some(field) => read_number(self.column, self.sql_type, field)?,
                None => 0.0,
            }),
            Values::Price(values) => {
                let field = field.ok_or(Malformed::Null(self.column.name()))?;
                values.push(f64::from_be_bytes(read_exact(self.column, field)?));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Box<dyn Array>, Malformed> {
        // There is no bitmap if nothing is missing.
        let validity = Option::<Bitmap>::from(self.validity);
        let name = self.column.name();
        Ok(match self.values {
            Values::Text { offsets, bytes } => {
                Utf8Array::try_new(DataType::Utf8, offsets.into(), bytes.into(), validity)
                    .map_err(|_| Malformed::Text(name))?
                    .boxed()
            }
            Values::Number(values) => Float32Array::try_new(DataType::Float32, values.into(), validity)
                .map_err(|_| Malformed::Uneven)?
                .boxed(),
            Values::Price(values) => {
                Float64Array::try_new(DataType::Float64, values.into(), None).map_err(|_| Malformed::Uneven)?.boxed()
            }
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "the table's bounds keep whole numbers below 2^24")]
fn read_number(column: Column, sql_type: SqlType, field: &[u8]) -> Result<f32, Malformed> {
    Ok(match sql_type {
        SqlType::Int2 => f32::from(i16::from_be_bytes(read_exact(column, field)?)),
        SqlType::Int4 => i32::from_be_bytes(read_exact(column, field)?) as f32,
        SqlType::Float4 => f32::from_be_bytes(read_exact(column, field)?),
        SqlType::Date => {
            let days = i32::from_be_bytes(read_exact(column, field)?);
            // The extremes denote infinity.
            let is_day = !matches!(days, i32::MIN | i32::MAX);
            let days = days.checked_add(EPOCH_IN_DAYS).filter(|_| is_day).ok_or(Malformed::Date(column.name()))?;
            days as f32
        }
        SqlType::Float8 | SqlType::Text => return Err(Malformed::Uneven),
    })
}

fn read_exact<const N: usize>(column: Column, field: &[u8]) -> Result<[u8; N], Malformed> {
    let length = i32::try_from(field.len()).unwrap_or(i32::MAX);
    field.try_into().map_err(|_| Malformed::FieldLength { column: column.name(), length })
}

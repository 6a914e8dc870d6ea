//! Decodes rows from the database: bytes in pieces of any size, into columns.

use arrow2::array::{Array, Float32Array, Float64Array, Utf8Array};
use arrow2::bitmap::{Bitmap, MutableBitmap};
use arrow2::chunk::Chunk;
use arrow2::datatypes::DataType;
use arrow2::offset::Offsets;
use domain::Column;

use super::{EPOCH_IN_DAYS, SIGNATURE, SqlType, sql_type};
use crate::chunk::ListingChunk;

const WIDTH: usize = Column::ALL.len();
/// The longest field of a listing.
const LONGEST_FIELD: usize = 1 << 20;
const LONGEST_EXTENSION: usize = 1 << 16;

/// Why a stream of rows cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each variant is documented by its message")]
pub enum Malformed {
    #[error("it does not begin as binary COPY does")]
    Signature,
    #[error("a row has {0} fields")]
    FieldCount(i16),
    #[error("a field of column {column} claims a length of {length} bytes")]
    FieldLength { column: &'static str, length: i32 },
    #[error("column {0} is empty where it must not be")]
    Null(&'static str),
    #[error("column {0} has a date out of range")]
    Date(&'static str),
    #[error("column {0} holds text that is not UTF-8")]
    Text(&'static str),
    #[error("column {0} has more than two gigabytes of text in one block")]
    TooLarge(&'static str),
    #[error("it continues after its end")]
    AfterEnd,
    #[error("it breaks off in the middle")]
    Unfinished,
    #[error("its columns differ in length")]
    Uneven,
}

/// Reads a binary COPY of the columns [`Column::ALL`] from pieces of any size.
#[derive(Debug)]
pub(crate) struct Decoder {
    columns: Vec<Builder>,
    place: Place,
    /// The beginning of a row, or of the header, whose rest has not come yet.
    rest: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Header,
    Rows,
    End,
}

/// A row as it lies in the stream.
enum Row {
    Whole {
        length: usize,
    },
    Partial,
    /// The mark behind the last row.
    End,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        let columns = Column::ALL.into_iter().map(Builder::new).collect();
        Self { columns, place: Place::Header, rest: Vec::new() }
    }

    /// Takes the next piece.
    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            let used = self.consume(piece)?;
            self.rest.extend_from_slice(&piece[used..]);
            return Ok(());
        }
        let mut joined = std::mem::take(&mut self.rest);
        joined.extend_from_slice(piece);
        let used = self.consume(&joined)?;
        joined.drain(..used);
        self.rest = joined;
        Ok(())
    }

    /// The rows, once the stream is over.
    pub(crate) fn finish(self) -> Result<ListingChunk, Malformed> {
        if self.place != Place::End {
            return Err(Malformed::Unfinished);
        }
        let arrays = self.columns.into_iter().map(Builder::finish).collect::<Result<_, _>>()?;
        Chunk::try_new(arrays).map(ListingChunk::new).map_err(|_| Malformed::Uneven)
    }

    /// Decodes every whole row and says how many bytes that took.
    fn consume(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut used = 0;
        if self.place == Place::Header {
            let Some(length) = header_length(bytes)? else { return Ok(0) };
            self.place = Place::Rows;
            used = length;
        }
        while self.place == Place::Rows {
            match next_row(&bytes[used..])? {
                Row::Partial => return Ok(used),
                Row::End => {
                    self.place = Place::End;
                    used += 2;
                }
                Row::Whole { length } => {
                    self.take_row(&bytes[used + 2..used + length])?;
                    used += length;
                }
            }
        }
        if used < bytes.len() { Err(Malformed::AfterEnd) } else { Ok(used) }
    }

    /// Decodes the fields of a row that is known to be whole.
    fn take_row(&mut self, mut fields: &[u8]) -> Result<(), Malformed> {
        for builder in &mut self.columns {
            let (length, behind) = fields.split_first_chunk().ok_or(Malformed::Unfinished)?;
            let length = usize::try_from(i32::from_be_bytes(*length)).ok();
            let (field, behind) = behind.split_at_checked(length.unwrap_or(0)).ok_or(Malformed::Unfinished)?;
            builder.push(length.is_some().then_some(field))?;
            fields = behind;
        }
        Ok(())
    }
}

/// The length of the header, or `None` while it is not whole.
fn header_length(bytes: &[u8]) -> Result<Option<usize>, Malformed> {
    let seen = bytes.len().min(SIGNATURE.len());
    if bytes[..seen] != SIGNATURE[..seen] {
        return Err(Malformed::Signature);
    }
    // Behind the signature stand four bytes of flags and the length of an extension.
    let fixed = SIGNATURE.len() + 8;
    let Some(extension) = bytes.get(fixed - 4..).and_then(|bytes| bytes.first_chunk()) else { return Ok(None) };
    match usize::try_from(i32::from_be_bytes(*extension)) {
        Ok(extension) if extension <= LONGEST_EXTENSION => {
            Ok(Some(fixed + extension).filter(|length| *length <= bytes.len()))
        }
        _ => Err(Malformed::Signature),
    }
}

/// Measures the row at the beginning of `bytes`.
fn next_row(bytes: &[u8]) -> Result<Row, Malformed> {
    let Some(count) = bytes.first_chunk() else { return Ok(Row::Partial) };
    match i16::from_be_bytes(*count) {
        -1 => return Ok(Row::End),
        count if usize::try_from(count) == Ok(WIDTH) => {}
        count => return Err(Malformed::FieldCount(count)),
    }
    let mut length = 2;
    for column in Column::ALL {
        let Some(field) = bytes.get(length..).and_then(|bytes| bytes.first_chunk()) else { return Ok(Row::Partial) };
        let field = i32::from_be_bytes(*field);
        length += 4 + match usize::try_from(field) {
            Ok(field) if field <= LONGEST_FIELD => field,
            Err(_) if field == -1 => 0,
            _ => return Err(Malformed::FieldLength { column: column.name(), length: field }),
        };
    }
    Ok(if length <= bytes.len() { Row::Whole { length } } else { Row::Partial })
}

/// A column that grows.
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
                values.push(f64::from_be_bytes(exactly(self.column, field)?));
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Box<dyn Array>, Malformed> {
        // No bitmap at all where nothing is missing.
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
        SqlType::Int2 => f32::from(i16::from_be_bytes(exactly(column, field)?)),
        SqlType::Int4 => i32::from_be_bytes(exactly(column, field)?) as f32,
        SqlType::Float4 => f32::from_be_bytes(exactly(column, field)?),
        SqlType::Date => {
            let days = i32::from_be_bytes(exactly(column, field)?);
            // The extremes stand for the infinities.
            let is_day = !matches!(days, i32::MIN | i32::MAX);
            let days = days.checked_add(EPOCH_IN_DAYS).filter(|_| is_day).ok_or(Malformed::Date(column.name()))?;
            days as f32
        }
        SqlType::Float8 | SqlType::Text => return Err(Malformed::Uneven),
    })
}

fn exactly<const N: usize>(column: Column, field: &[u8]) -> Result<[u8; N], Malformed> {
    let length = i32::try_from(field.len()).unwrap_or(i32::MAX);
    field.try_into().map_err(|_| Malformed::FieldLength { column: column.name(), length })
}

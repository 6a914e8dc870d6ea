//! Encoding and decoding of listings in PostgreSQL's binary COPY format.

mod decoder;
mod encoder;
#[cfg(test)]
mod tests;

use domain::Column;

use crate::chunk::ListingChunk;

pub(crate) use decoder::Decoder;
pub use decoder::Malformed;
pub(crate) use encoder::Encoder;

/// The signature of a stream.
const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// The days from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
const EPOCH_IN_DAYS: i32 = 10_957;

/// The type of a column in the table `listings`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SqlType {
    Text,
    Int2,
    Int4,
    Float4,
    Float8,
    Date,
}

fn sql_type(column: Column) -> SqlType {
    match column {
        Column::Year | Column::OwnersCount => SqlType::Int2,
        Column::Mileage => SqlType::Int4,
        Column::EngineVolume | Column::EnginePower => SqlType::Float4,
        Column::Price => SqlType::Float8,
        Column::ListingDate => SqlType::Date,
        Column::Brand
        | Column::Model
        | Column::VehicleGeneration
        | Column::BodyType
        | Column::FuelType
        | Column::Transmission
        | Column::Drive
        | Column::Wheel
        | Column::State
        | Column::Pts
        | Column::Customs
        | Column::Region
        | Column::Color => SqlType::Text,
    }
}

/// Decodes a complete stream of listings with their prices, given in chunks.
///
/// # Errors
/// The stream is malformed.
pub fn decode<'a>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Result<ListingChunk, Malformed> {
    let mut decoder = Decoder::new();
    for chunk in chunks {
        decoder.push(chunk)?;
    }
    decoder.finish()
}

/// The names of all columns of a listing, separated by commas for SQL.
pub(crate) fn column_names() -> String {
    Column::ALL.map(Column::name).join(", ")
}

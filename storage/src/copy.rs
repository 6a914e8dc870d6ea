//! Encoding and decoding of listings in PostgreSQL's binary COPY format.

mod columns;
mod decoder;
mod encoder;
mod format;
#[cfg(test)]
mod tests;

use crate::chunk::ListingChunk;

pub(crate) use columns::{WIDTH, column_names, columns, stored_column_names};
pub(crate) use decoder::Decoder;
pub use decoder::Malformed;
pub(crate) use encoder::Encoder;

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

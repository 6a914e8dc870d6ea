//! A columnar chunk of listings.
//!
//! Only this module and the decoder that fills it expose arrow2. arrow2 is archived; a migration to its successor arrow-rs
//! would affect this file and `copy/decoder.rs`. RUSTSEC-2025-0038 concerns `Rows::row_unchecked` of its row format, which
//! is not used here.

use arrow2::array::{Array, Float32Array, Float64Array, Utf8Array};
use arrow2::chunk::Chunk;
use chrono::NaiveDate;
use domain::identity::single_precision;
use domain::{Column, Kind, Listing, Value};

/// A columnar chunk of listings: texts as `Utf8Array<i32>`, numbers as `Float32Array`, and last the
/// target as `Float64Array`.
#[derive(Clone, Debug, PartialEq)]
pub struct ListingChunk {
    chunk: Chunk<Box<dyn Array>>,
}

impl ListingChunk {
    pub(crate) fn new(chunk: Chunk<Box<dyn Array>>) -> Self {
        Self { chunk }
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunk.len()
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunk.is_empty()
    }

    /// The canonical text of a row; `None` if it is missing, or the column is not a text column.
    ///
    /// # Panics
    /// If the row does not exist.
    #[must_use]
    pub fn text(&self, column: Column, row: usize) -> Option<&str> {
        self.array::<Utf8Array<i32>>(column)?.get(row)
    }

    /// The number of a row in the unit of the column, dates as days since 1970-01-01; `None` if it is missing, and for texts
    /// and the target.
    ///
    /// # Panics
    /// If the row does not exist.
    #[must_use]
    pub fn number(&self, column: Column, row: usize) -> Option<f32> {
        self.array::<Float32Array>(column)?.get(row)
    }

    /// The target of a row: its asking price, unless the snapshot is of another task.
    ///
    /// # Panics
    /// If the row does not exist.
    #[must_use]
    pub fn target(&self, row: usize) -> f64 {
        // The decoder always creates a last column of this type.
        self.array::<Float64Array>(Column::Price).map_or(f64::NAN, |targets| targets.value(row))
    }

    /// A row as a listing, in the stored canonical form.
    ///
    /// # Panics
    /// If the row does not exist.
    #[must_use]
    pub fn listing(&self, row: usize) -> Listing {
        let mut listing = Listing::default();
        for column in Column::descriptive() {
            let number = || self.number(*column, row).map(f64::from);
            let value = match column.kind() {
                Kind::Text => self.text(*column, row).map(|text| Value::Text(text.to_owned())),
                Kind::Integer { .. } => number().map(Value::Number),
                Kind::Decimal { .. } => number().map(single_precision).map(Value::Number),
                #[expect(clippy::cast_possible_truncation, reason = "days are whole and far below 2^31")]
                Kind::Date => number().and_then(|days| NaiveDate::from_epoch_days(days as i32)).map(Value::Date),
            };
            listing.set(*column, value);
        }
        listing
    }

    /// The underlying columns.
    #[must_use]
    pub fn columns(&self) -> &Chunk<Box<dyn Array>> {
        &self.chunk
    }

    fn array<A: 'static>(&self, column: Column) -> Option<&A> {
        self.chunk.arrays().get(column as usize)?.as_any().downcast_ref()
    }
}

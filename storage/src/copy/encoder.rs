//! Encodes rows for the database.

use domain::identity::{CarGroup, Identity};
use domain::{Column, Listing, Value};

use super::{EPOCH_IN_DAYS, SIGNATURE, SqlType, sql_type};

/// Collects rows of fields. Fields beyond a row's announced number, or fewer, make a stream that
/// PostgreSQL refuses.
#[derive(Debug)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        let mut bytes = SIGNATURE.to_vec();
        // No flags, no header extension.
        bytes.extend_from_slice(&[0; 8]);
        Self { bytes }
    }

    /// The size of what was collected, in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The stream of what was collected.
    pub(crate) fn into_stream(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        self.bytes
    }

    pub(crate) fn begin_row(&mut self, fields: i16) {
        self.bytes.extend_from_slice(&fields.to_be_bytes());
    }

    pub(crate) fn field(&mut self, value: &[u8]) {
        // A field is a cell of a table; PostgreSQL itself ends at one gigabyte.
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn optional(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.field(value),
            None => self.null(),
        }
    }

    /// `content_hash`, `listing_group`, `bucket` and `car_group`.
    pub(crate) fn identity(&mut self, identity: &Identity, car_group: Option<CarGroup>) {
        self.field(&identity.content_hash);
        self.field(&identity.listing_group);
        self.field(&identity.bucket.to_be_bytes());
        self.optional(car_group.as_ref().map(|car_group| car_group.0.as_slice()));
    }

    fn null(&mut self) {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    /// The columns of a listing and its price, in the order of [`Column::ALL`].
    pub(crate) fn listing(&mut self, listing: &Listing, price: f64) {
        for column in Column::descriptive() {
            match listing.get(*column) {
                None => self.null(),
                Some(Value::Text(text)) => self.field(text.as_bytes()),
                Some(Value::Number(number)) => self.number(sql_type(*column), *number),
                Some(Value::Date(date)) => self.field(&(date.to_epoch_days() - EPOCH_IN_DAYS).to_be_bytes()),
            }
        }
        self.field(&price.to_be_bytes());
    }

    #[expect(clippy::cast_possible_truncation, reason = "the domain checked it against the column's bounds")]
    fn number(&mut self, sql_type: SqlType, number: f64) {
        match sql_type {
            SqlType::Int2 => self.field(&(number as i16).to_be_bytes()),
            SqlType::Int4 => self.field(&(number as i32).to_be_bytes()),
            SqlType::Float4 => self.field(&(number as f32).to_be_bytes()),
            SqlType::Float8 | SqlType::Text | SqlType::Date => self.field(&number.to_be_bytes()),
        }
    }
}

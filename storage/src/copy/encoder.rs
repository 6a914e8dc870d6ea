//! Encodes rows as a binary COPY stream.

use domain::identity::{CarGroup, Identity};
use domain::{Column, Listing, Targets, Value};

use super::format::{EPOCH_IN_DAYS, SIGNATURE, SqlType, sql_type};

/// Encodes rows. PostgreSQL rejects the stream if the number of fields differs from that of `start_row`.
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

    /// The number of bytes encoded so far.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The complete stream.
    pub(crate) fn into_stream(mut self) -> Vec<u8> {
        self.bytes.extend_from_slice(&(-1_i16).to_be_bytes());
        self.bytes
    }

    pub(crate) fn start_row(&mut self, fields: i16) {
        self.bytes.extend_from_slice(&fields.to_be_bytes());
    }

    pub(crate) fn write_field(&mut self, value: &[u8]) {
        // PostgreSQL limits a field to 1 GiB.
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn write_optional(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.write_field(value),
            None => self.write_null(),
        }
    }

    /// Writes `content_hash`, `listing_group`, `bucket` and `car_group`.
    pub(crate) fn write_identity(&mut self, identity: &Identity, car_group: Option<CarGroup>) {
        self.write_field(&identity.content_hash);
        self.write_field(&identity.listing_group);
        self.write_field(&identity.bucket.to_be_bytes());
        self.write_optional(car_group.as_ref().map(|car_group| car_group.0.as_slice()));
    }

    fn write_null(&mut self) {
        self.bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    }

    /// Writes the columns of a listing and its price, in the order of [`columns`](super::columns).
    pub(crate) fn write_listing(&mut self, listing: &Listing, price: f64) {
        for column in Column::descriptive() {
            match listing.get(*column) {
                None => self.write_null(),
                Some(Value::Text(text)) => self.write_field(text.as_bytes()),
                Some(Value::Number(number)) => self.write_number(sql_type(*column), *number),
                Some(Value::Date(date)) => self.write_field(&(date.to_epoch_days() - EPOCH_IN_DAYS).to_be_bytes()),
            }
        }
        self.write_field(&price.to_be_bytes());
    }

    /// Writes the columns of a listing and its targets, in the order of [`Column::ALL`].
    pub(crate) fn write_row(&mut self, listing: &Listing, targets: &Targets) {
        self.write_listing(listing, targets.price);
        for (column, target) in [(Column::SalePrice, targets.sale_price), (Column::DaysListed, targets.days_listed)] {
            match target {
                Some(target) => self.write_number(sql_type(column), target),
                None => self.write_null(),
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "the domain checked it against the column's bounds")]
    fn write_number(&mut self, sql_type: SqlType, number: f64) {
        match sql_type {
            SqlType::Int2 => self.write_field(&(number as i16).to_be_bytes()),
            SqlType::Int4 => self.write_field(&(number as i32).to_be_bytes()),
            SqlType::Float4 => self.write_field(&(number as f32).to_be_bytes()),
            SqlType::Float8 | SqlType::Text | SqlType::Date => self.write_field(&number.to_be_bytes()),
        }
    }
}

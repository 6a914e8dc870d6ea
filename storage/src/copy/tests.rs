//! Properties of the format: decoding inverts encoding however the stream is split, and no input causes a panic.

use chrono::NaiveDate;
use domain::{Column, Kind, Listing, Value};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::chunk::ListingChunk;

fn value(column: Column) -> BoxedStrategy<Option<Value>> {
    let value = match column.kind() {
        Kind::Text => "\\PC{0,12}".prop_map(Value::Text).boxed(),
        Kind::Integer { min, max } => (min..=max).prop_map(|number| Value::Number(number.trunc())).boxed(),
        Kind::Decimal { min, max } => (min..=max).prop_map(Value::Number).boxed(),
        Kind::Date => (7_305..47_482).prop_map(|days| Value::Date(NaiveDate::from_epoch_days(days).unwrap())).boxed(),
    };
    proptest::option::weighted(0.7, value).boxed()
}

fn row() -> impl Strategy<Value = (Listing, f64)> {
    let values: Vec<_> = Column::descriptive().iter().map(|column| value(*column)).collect();
    (values, 1.0..1e10).prop_map(|(values, price)| {
        let mut listing = Listing::default();
        for (column, value) in Column::descriptive().iter().zip(values) {
            listing.set(*column, value);
        }
        (listing, price)
    })
}

fn encode(rows: &[(Listing, f64)]) -> Vec<u8> {
    let mut encoder = Encoder::new();
    for (listing, price) in rows {
        encoder.start_row(20);
        encoder.write_listing(listing, *price);
    }
    encoder.into_stream()
}

/// Splits a stream at positions given as fractions of its length.
fn split<'a>(stream: &'a [u8], cuts: &[f64]) -> Vec<&'a [u8]> {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "short")]
    let mut positions: Vec<usize> = cuts.iter().map(|cut| (cut * stream.len() as f64) as usize).collect();
    positions.extend([0, stream.len()]);
    positions.sort_unstable();
    positions.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

#[expect(clippy::cast_possible_truncation, reason = "as the column is stored")]
fn check(chunk: &ListingChunk, row: usize, listing: &Listing) {
    for column in Column::descriptive() {
        match listing.get(*column) {
            None => {
                assert_eq!(chunk.text(*column, row), None);
                assert_eq!(chunk.number(*column, row), None);
            }
            Some(Value::Text(text)) => assert_eq!(chunk.text(*column, row), Some(text.as_str())),
            Some(Value::Number(number)) => assert_eq!(chunk.number(*column, row), Some(*number as f32)),
            Some(Value::Date(date)) => {
                let days = domain::identity::days_since_epoch(*date) as f32;
                assert_eq!(chunk.number(*column, row), Some(days));
            }
        }
    }
}

proptest! {
    #[test]
    fn decoding_inverts_encoding_however_the_stream_is_split(rows in vec(row(), 0..8), cuts in vec(0.0..1.0_f64, 0..12)) {
        let stream = encode(&rows);
        let chunk = decode(split(&stream, &cuts)).unwrap();
        prop_assert_eq!(chunk.len(), rows.len());
        for (row, (listing, price)) in rows.iter().enumerate() {
            check(&chunk, row, listing);
            prop_assert_eq!(chunk.target(row).to_bits(), price.to_bits());
        }
        prop_assert_eq!(decode(stream.chunks(1)).unwrap(), chunk);
    }

    #[test]
    fn a_truncated_stream_is_an_error(rows in vec(row(), 0..3), at in 0.0..1.0_f64) {
        let stream = encode(&rows);
        prop_assert_eq!(decode(split(&stream, &[at])[..1].to_vec()), Err(Malformed::Unfinished));
    }

    #[test]
    fn no_input_causes_a_panic(rows in vec(row(), 0..3), damage in vec((0.0..1.0_f64, any::<u8>()), 1..6), cuts in vec(0.0..1.0_f64, 0..4)) {
        let mut stream = encode(&rows);
        for (position, byte) in damage {
            let index = stream.len() - split(&stream, &[position])[1].len();
            stream[index] = byte;
        }
        let _ = decode(split(&stream, &cuts));
    }
}

fn one_row(change: impl FnOnce(&mut Vec<u8>)) -> Result<ListingChunk, Malformed> {
    let mut listing = Listing::default();
    listing.set(Column::Brand, Some(Value::Text("kia".into())));
    let mut stream = encode(&[(listing, 5.0)]);
    change(&mut stream);
    decode([stream.as_slice()])
}

#[test]
fn errors_of_malformed_streams_are_distinct() {
    const ROW: usize = 19;
    assert!(one_row(|_| {}).is_ok());
    assert_eq!(one_row(|stream| stream[3] = b'x'), Err(Malformed::Signature));
    assert_eq!(one_row(|stream| stream[ROW + 1] = 19), Err(Malformed::FieldCount(19)));
    assert_eq!(
        one_row(|stream| stream[ROW + 2] = 0x7f),
        Err(Malformed::FieldLength { column: "brand", length: 0x7f00_0003 })
    );
    assert_eq!(one_row(|stream| stream[ROW + 6] = 0xff), Err(Malformed::Text("brand")));
    assert_eq!(one_row(|stream| stream.push(0)), Err(Malformed::AfterEnd));
    let without_price = |stream: &mut Vec<u8>| {
        let price = stream.len() - 2 - 12;
        stream.splice(price..price + 12, [0xff; 4]);
    };
    assert_eq!(one_row(without_price), Err(Malformed::Null("price")));
}

//! The binary COPY stream of listings, as sent by the database.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let whole = storage::decode_copy([stream]);
    let (first, second) = stream.split_at(stream.len() / 3);
    let in_parts = storage::decode_copy([first, second]);
    assert_eq!(whole.is_ok(), in_parts.is_ok());
    if let (Ok(whole), Ok(in_parts)) = (whole, in_parts) {
        assert_eq!(whole.len(), in_parts.len());
    }
});

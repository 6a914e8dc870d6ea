//! The binary COPY stream of the listings, as the database sends it.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|stream: &[u8]| {
    let whole = storage::decode_copy([stream]);
    let (first, second) = stream.split_at(stream.len() / 3);
    let in_pieces = storage::decode_copy([first, second]);
    assert_eq!(whole.is_ok(), in_pieces.is_ok());
    if let (Ok(whole), Ok(in_pieces)) = (whole, in_pieces) {
        assert_eq!(whole.len(), in_pieces.len());
    }
});

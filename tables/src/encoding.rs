//! The encodings of CSV files.

use std::io::Read;
use std::str::FromStr;

use domain::Market;

use crate::error::{Fault, TableError};
use crate::format::Format;
use crate::source::Source;

/// A character encoding, by any of its common labels, such as `utf-8` or `windows-1251`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding(pub(crate) &'static encoding_rs::Encoding);

/// An unknown encoding label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown encoding {0:?}; use a WHATWG label such as utf-8, windows-1251, koi8-r, ibm866 or utf-16le")]
pub struct UnknownEncoding(String);

impl FromStr for Encoding {
    type Err = UnknownEncoding;

    fn from_str(label: &str) -> Result<Self, Self::Err> {
        let known = encoding_rs::Encoding::for_label_no_replacement(label.as_bytes());
        known.map(Self).ok_or_else(|| UnknownEncoding(label.to_owned()))
    }
}

/// The encoding of a CSV without a byte order mark that is not UTF-8: that in which Excel saves a text in the language of a market,
/// if the text looks like it. `None` for any other file.
///
/// # Errors
/// The file is not a table or cannot be read.
pub fn guess_encoding(source: &Source<'_>, market: &Market) -> Result<Option<Encoding>, TableError> {
    guess(source, &market.definition().language).map_err(|fault| fault.in_file(source.name()))
}

fn guess(source: &Source<'_>, language: &str) -> Result<Option<Encoding>, Fault> {
    if Format::detect_content(source)? != Format::Csv {
        return Ok(None);
    }
    let mut stream = source.open()?;
    let mut bytes = vec![0; CHUNK_BYTES];
    // The number of bytes of a character that the last chunk has begun.
    let mut begun = 0;
    let mut is_first = true;
    loop {
        let size = stream.read(&mut bytes[begun..]).map_err(Fault::from_read)?;
        let read = &bytes[..begun + size];
        if std::mem::take(&mut is_first) && (read.starts_with(&[0xFF, 0xFE]) || read.starts_with(&[0xFE, 0xFF])) {
            return Ok(None);
        }
        if size == 0 {
            return Ok(None);
        }
        let valid = match std::str::from_utf8(read) {
            Ok(_) => read.len(),
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            Err(_) => {
                let (encoding, is_likely) = match language {
                    "de" | "en" => (encoding_rs::WINDOWS_1252, !read.iter().copied().any(is_control_in_windows_1252)),
                    _ => (encoding_rs::WINDOWS_1251, looks_like_windows_1251(read)),
                };
                return Ok(is_likely.then_some(Encoding(encoding)));
            }
        };
        begun = read.len() - valid;
        bytes.copy_within(valid..valid + begun, 0);
    }
}

/// The number of bytes to inspect at a time.
const CHUNK_BYTES: usize = 1 << 16;

/// Whether a byte is a control character in Windows-1252, which no text has.
fn is_control_in_windows_1252(byte: u8) -> bool {
    matches!(byte, 0..=8 | 0x81 | 0x8D | 0x8F | 0x90 | 0x9D)
}

/// Whether most non-ASCII bytes are Russian letters in Windows-1251.
pub(crate) fn looks_like_windows_1251(bytes: &[u8]) -> bool {
    let (mut letters, mut others) = (0_usize, 0_usize);
    for byte in bytes.iter().filter(|byte| !byte.is_ascii()) {
        match byte {
            0xC0..=0xFF | 0xA8 | 0xB8 => letters += 1,
            _ => others += 1,
        }
    }
    letters > 2 * others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_found_by_label() {
        assert_eq!("CP1251".parse(), Ok(Encoding(encoding_rs::WINDOWS_1251)));
        assert!("klingon".parse::<Encoding>().is_err());
    }

    #[test]
    fn the_encoding_of_a_csv_is_guessed() {
        let guess = |bytes: &[u8]| guess_encoding(&Source::bytes("cars.csv", bytes), Market::russia()).unwrap();
        let russian = "brand,note\n".to_owned() + &"Kia,да\n".repeat(20_000);
        assert_eq!(guess(russian.as_bytes()), None);
        assert_eq!(guess(&encoding_rs::WINDOWS_1251.encode(&russian).0), Some(Encoding(encoding_rs::WINDOWS_1251)));
        assert_eq!(guess(b"\xFF\xFEa\0"), None);

        let germany = Market::built_in().iter().find(|market| market.name() == "de").unwrap();
        let guess = |bytes: &[u8]| guess_encoding(&Source::bytes("cars.csv", bytes), germany).unwrap();
        let (german, _, _) = encoding_rs::WINDOWS_1252.encode("Marke;Preis\nCitroën;12.990 €\n");
        assert_eq!(guess(&german), Some(Encoding(encoding_rs::WINDOWS_1252)));
        assert_eq!(guess(b"Marke\n\x81\n"), None);
    }

    #[test]
    fn russian_text_is_recognized() {
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode("Марка;Год выпуска;Объём");
        assert!(looks_like_windows_1251(&bytes));
        assert!(!looks_like_windows_1251(&[0x80, 0x81, 0x9F, 0xC0]));
    }
}

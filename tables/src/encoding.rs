//! The encodings of CSV files.

use std::io::Read;
use std::str::FromStr;

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

/// The encoding of a CSV without a byte order mark that is not UTF-8 but looks like Windows-1251; `None` for any other file.
///
/// # Errors
/// The file is not a table or cannot be read.
pub fn guess_encoding(source: &Source<'_>) -> Result<Option<Encoding>, TableError> {
    guess(source).map_err(|fault| fault.in_file(source.name()))
}

fn guess(source: &Source<'_>) -> Result<Option<Encoding>, Fault> {
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
                return Ok(looks_like_windows_1251(read).then_some(Encoding(encoding_rs::WINDOWS_1251)));
            }
        };
        begun = read.len() - valid;
        bytes.copy_within(valid..valid + begun, 0);
    }
}

/// The number of bytes to inspect at a time.
const CHUNK_BYTES: usize = 1 << 16;

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
        let guess = |bytes: &[u8]| guess_encoding(&Source::bytes("cars.csv", bytes)).unwrap();
        let russian = "brand,note\n".to_owned() + &"Kia,да\n".repeat(20_000);
        assert_eq!(guess(russian.as_bytes()), None);
        assert_eq!(guess(&encoding_rs::WINDOWS_1251.encode(&russian).0), Some(Encoding(encoding_rs::WINDOWS_1251)));
        assert_eq!(guess(b"\xFF\xFEa\0"), None);
    }

    #[test]
    fn russian_text_is_recognized() {
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode("Марка;Год выпуска;Объём");
        assert!(looks_like_windows_1251(&bytes));
        assert!(!looks_like_windows_1251(&[0x80, 0x81, 0x9F, 0xC0]));
    }
}

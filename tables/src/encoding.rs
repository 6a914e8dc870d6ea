//! The encodings of CSV files.

use std::str::FromStr;

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
    fn russian_text_is_recognized() {
        let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode("Марка;Год выпуска;Объём");
        assert!(looks_like_windows_1251(&bytes));
        assert!(!looks_like_windows_1251(&[0x80, 0x81, 0x9F, 0xC0]));
    }
}

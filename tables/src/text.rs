//! The text of a CSV file, inflated within limits, decoded to UTF-8, and always ending with a line feed.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use encoding_rs::{Decoder, DecoderResult, UTF_8, UTF_16BE, UTF_16LE};
use flate2::bufread::MultiGzDecoder;

use crate::encoding::Encoding;
use crate::error::Fault;
use crate::format::{Format, HEAD_BYTES, reject_other_formats};
use crate::limits::Limits;
use crate::source::{Source, read_head};

type Bytes<'a> = BufReader<Box<dyn Read + 'a>>;

/// A reader of UTF-8. The caller validates it, since it knows the line number.
pub(crate) struct Text<'a> {
    bytes: Bytes<'a>,
    decoder: Option<Decoder>,
    encoding: &'static str,
    /// Decoded text that has not been read yet.
    decoded: Cursor<Vec<u8>>,
    /// Whether the file has a byte order mark or an encoding other than UTF-8.
    pub(crate) needs_byte_order_mark: bool,
    /// The number of bytes since the start of the row; the row reader resets it.
    pub(crate) row_bytes: u64,
    max_row_bytes: u64,
    inflated: u64,
    max_inflated: u64,
    last_byte: u8,
    ended: bool,
}

impl<'a> Text<'a> {
    pub(crate) fn open(
        source: &Source<'a>,
        format: Format,
        encoding: Option<Encoding>,
        limits: &Limits,
    ) -> Result<Self, Fault> {
        let stream = source.open()?;
        let mut bytes: Box<dyn Read + 'a> = match format {
            Format::CsvGz => Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 16, stream))),
            Format::Csv | Format::Xlsx => Box::new(stream),
        };
        let head = read_head(&mut bytes, HEAD_BYTES).map_err(Fault::from_read)?;
        if head.is_empty() {
            return Err(Fault::Empty);
        }
        reject_other_formats(&head)?;
        let encoding = choose_encoding(&head, encoding);
        Ok(Self {
            decoder: (encoding != UTF_8).then(|| encoding.new_decoder()),
            encoding: encoding.name(),
            decoded: Cursor::default(),
            needs_byte_order_mark: encoding != UTF_8 || head.starts_with(b"\xEF\xBB\xBF"),
            bytes: BufReader::with_capacity(1 << 16, Box::new(Cursor::new(head).chain(bytes))),
            row_bytes: 0,
            // Up to four bytes per character, twice that with quotes doubled.
            max_row_bytes: (limits.max_text as u64).saturating_mul(8).saturating_add(1 << 20),
            inflated: 0,
            max_inflated: limits.max_inflated_bytes,
            last_byte: b'\n',
            ended: false,
        })
    }

    fn decode(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.decoder.is_none() && self.decoded.get_ref().is_empty() {
            return self.bytes.read(buffer);
        }
        loop {
            let size = self.decoded.read(buffer)?;
            if size > 0 || !self.decode_more()? {
                return Ok(size);
            }
        }
    }

    /// Decodes more of the input; false at the end.
    fn decode_more(&mut self) -> io::Result<bool> {
        let Some(decoder) = &mut self.decoder else { return Ok(false) };
        let mut text = vec![0; 1 << 13];
        let input = self.bytes.fill_buf()?;
        let last = input.is_empty();
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(input, &mut text, last);
        self.bytes.consume(read);
        match result {
            DecoderResult::Malformed(..) => {
                return Err(io::Error::other(Fault::NotInEncoding { encoding: self.encoding }));
            }
            DecoderResult::InputEmpty if last => self.decoder = None,
            DecoderResult::InputEmpty | DecoderResult::OutputFull => {}
        }
        text.truncate(written);
        self.decoded = Cursor::new(text);
        Ok(true)
    }

    fn count(&mut self, bytes: u64) -> io::Result<()> {
        self.inflated += bytes;
        self.row_bytes += bytes;
        if self.inflated > self.max_inflated {
            let what = format!("it has more than {} bytes of text", self.max_inflated);
            return Err(io::Error::other(Fault::TooLarge(what)));
        }
        if self.row_bytes > self.max_row_bytes {
            let what = format!("a row has more than {} bytes; is a quote unclosed?", self.max_row_bytes);
            return Err(io::Error::other(Fault::TooLarge(what)));
        }
        Ok(())
    }
}

impl Read for Text<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() || self.ended {
            return Ok(0);
        }
        let size = self.decode(buffer)?;
        self.count(size as u64)?;
        if size > 0 {
            self.last_byte = buffer[size - 1];
            return Ok(size);
        }
        self.ended = true;
        if self.last_byte == b'\n' {
            return Ok(0);
        }
        buffer[0] = b'\n';
        Ok(1)
    }
}

fn choose_encoding(head: &[u8], specified: Option<Encoding>) -> &'static encoding_rs::Encoding {
    if head.starts_with(&[0xFF, 0xFE]) {
        UTF_16LE
    } else if head.starts_with(&[0xFE, 0xFF]) {
        UTF_16BE
    } else if head.starts_with(b"\xEF\xBB\xBF") {
        UTF_8
    } else {
        specified.map_or(UTF_8, |specified| specified.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], encoding: Option<&str>) -> Result<String, Fault> {
        let encoding = encoding.map(|label| label.parse().unwrap());
        let mut text = Text::open(&Source::bytes("t", bytes), Format::Csv, encoding, &Limits::default())?;
        let mut all = String::new();
        text.read_to_string(&mut all).map_err(Fault::from_read)?;
        Ok(all)
    }

    #[test]
    fn other_encodings_are_decoded() {
        assert_eq!(read(b"a,b", None).unwrap(), "a,b\n");
        assert_eq!(read(b"\xFF\xFEa\0\x4F\x04", None).unwrap(), "aя\n");
        assert_eq!(read(b"\xFE\xFF\x04\x4F", None).unwrap(), "я\n");
        assert_eq!(read(b"\xFF", Some("windows-1251")).unwrap(), "я\n");
    }

    #[test]
    fn text_invalid_in_its_encoding_is_rejected() {
        assert!(matches!(read(b"\x8F\x8F\xFF", Some("euc-jp")), Err(Fault::NotInEncoding { encoding: "EUC-JP" })));
    }
}

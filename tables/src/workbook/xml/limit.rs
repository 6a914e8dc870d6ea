//! A limit on the bytes of an XML event.

use std::io::{self, BufRead, Read};

use crate::error::Fault;

/// Limits the bytes read between two resets, so that no event exceeds the limit.
pub(super) struct LimitedReader<R> {
    input: R,
    remaining: usize,
}

impl<R> LimitedReader<R> {
    pub(super) fn new(input: R, limit: usize) -> Self {
        Self { input, remaining: limit }
    }

    pub(super) fn reset(&mut self, limit: usize) {
        self.remaining = limit;
    }
}

impl<R: BufRead> Read for LimitedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.fill_buf()?.read(buffer)?;
        self.consume(size);
        Ok(size)
    }
}

impl<R: BufRead> BufRead for LimitedReader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.remaining == 0 {
            let what = "a part has a text or a tag longer than 1 MiB".to_owned();
            return Err(io::Error::other(Fault::TooLarge(what)));
        }
        let bytes = self.input.fill_buf()?;
        Ok(&bytes[..bytes.len().min(self.remaining)])
    }

    fn consume(&mut self, bytes: usize) {
        self.remaining -= bytes;
        self.input.consume(bytes);
    }
}

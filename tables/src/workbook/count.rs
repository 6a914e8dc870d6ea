//! Counts the rows of a sheet without parsing it, so that a sheet with too many rows is rejected quickly.

use std::io::{self, BufRead};

use memchr::memmem::Finder;

/// The minimum size of a row with a value in bytes: `<row><c><v>1</v></c></row>`.
pub(crate) const MIN_ROW_BYTES: u64 = 26;

/// Whether a sheet has more than `limit` rows with a value. Rows with a namespace prefix are not counted.
pub(crate) fn has_more_rows(mut sheet: impl BufRead, limit: u64) -> io::Result<bool> {
    let row = Finder::new("<row");
    let mut rows = 0;
    let mut is_in_row = false;
    // A tag may span two buffers.
    let mut bytes = Vec::new();
    loop {
        let more = sheet.fill_buf()?;
        let size = more.len();
        if size == 0 {
            return Ok(false);
        }
        bytes.extend_from_slice(more);
        sheet.consume(size);
        let mut position = 0;
        while let Some(tag) = find_tag(&bytes[position..], is_in_row, &row) {
            position += tag;
            let tag = &bytes[position..];
            if tag.len() < TAG_PREFIX_BYTES {
                break;
            }
            if tag.starts_with(b"<row") {
                is_in_row = true;
            } else if (tag.starts_with(b"<v>") && tag[3] != b'<') || tag.starts_with(b"<t>") || tag.starts_with(b"<t ")
            {
                is_in_row = false;
                rows += 1;
            }
            position += 1;
        }
        if rows > limit {
            return Ok(true);
        }
        bytes.drain(..position.max(bytes.len().saturating_sub(TAG_PREFIX_BYTES)));
    }
}

/// The number of bytes that identify a tag.
const TAG_PREFIX_BYTES: usize = 4;

/// The offset of the next relevant tag: any tag within a row without values so far, otherwise the next row.
fn find_tag(bytes: &[u8], is_in_row: bool, row: &Finder<'_>) -> Option<usize> {
    if is_in_row { memchr::memchr(b'<', bytes) } else { row.find(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_counted_across_buffer_boundaries() {
        let sheet = "<sheetData><row r=\"1\"><c><v>1</v></c><c><v>2</v></c></row><row/><row><c s=\"1\"/><c><v></v></c>\
            </row><row><c/><c><is><t>a</t></is></c></row>\r\n<row><c><f>1</f><v>2</v></c></row></sheetData><rowBreaks/>";
        for size in 1..40 {
            let has_more = |limit| has_more_rows(io::BufReader::with_capacity(size, sheet.as_bytes()), limit).unwrap();
            assert_eq!((has_more(2), has_more(3)), (true, false), "{size}");
        }
    }
}

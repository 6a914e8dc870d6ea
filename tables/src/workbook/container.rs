//! The ZIP container of a workbook, looked through before any of it is parsed.

use std::io::{BufRead, BufReader};

use quick_xml::events::Event;
use zip::ZipArchive;
use zip::result::ZipError;

use crate::error::Fault;
use crate::limits::Limits;
use crate::source::Stream;

/// Inflates every part once, counting, and refuses what would cost too much to parse.
pub(crate) fn check(stream: Stream<'_>, limits: &Limits) -> Result<(), Fault> {
    let mut archive = ZipArchive::new(stream).map_err(from_zip)?;
    if archive.len() > limits.max_entries {
        let what = format!("the workbook has {} parts, {} are accepted", archive.len(), limits.max_entries);
        return Err(Fault::TooLarge(what));
    }
    let mut inflated = 0;
    let mut shared = 0;
    for place in 0..archive.len() {
        let part = inflate(&mut archive, place, inflated, limits)?;
        inflated += part.size;
        shared += if part.is_shared() { part.size } else { 0 };
        if shared > limits.max_shared_bytes {
            let what = format!("the workbook's texts and styles take more than {} bytes", limits.max_shared_bytes);
            return Err(Fault::TooLarge(what));
        }
        if part.is_table_of_texts() {
            check_count(&mut archive, place, limits)?;
        }
    }
    Ok(())
}

/// Inflates one part, `before` bytes having been inflated already.
fn inflate(archive: &mut ZipArchive<Stream<'_>>, place: usize, before: u64, limits: &Limits) -> Result<Part, Fault> {
    let entry = archive.by_index(place).map_err(from_zip)?;
    let mut part = Part::new(&entry.name().map_err(from_zip)?, entry.compressed_size());
    let mut reader = BufReader::with_capacity(CHUNK, entry);
    while part.look(&mut reader, limits)? {
        if before + part.size > limits.max_inflated_bytes {
            let what = format!("the workbook inflates to more than {} bytes", limits.max_inflated_bytes);
            return Err(Fault::TooLarge(what));
        }
    }
    Ok(part)
}

pub(crate) fn from_zip(error: ZipError) -> Fault {
    match error {
        ZipError::Io(error) => Fault::from_read(error),
        other => Fault::Damaged(format!("its ZIP container cannot be read ({other})")),
    }
}

const CHUNK: usize = 1 << 16;
const DOCTYPE: &[u8] = b"!DOCTYPE";
/// A parser holds all between two `<` in memory: far more than any cell or tag needs.
const LONGEST_RUN: u64 = 1 << 20;

/// What has been seen of one part so far.
struct Part {
    name: String,
    is_xml: bool,
    compressed: u64,
    size: u64,
    /// Bytes since the last `<`.
    run: u64,
    /// How much of `<!DOCTYPE` the last bytes spell.
    spelled: usize,
}

impl Part {
    fn new(name: &str, compressed: u64) -> Self {
        let name = name.to_lowercase();
        let is_xml = [".xml", ".rels", ".vml"].iter().any(|extension| name.ends_with(extension));
        Self { name, is_xml, compressed, size: 0, run: 0, spelled: 0 }
    }

    /// Held in memory whole by the parser, unlike sheets, which stream, and pictures, which are not read.
    fn is_shared(&self) -> bool {
        self.is_xml && !self.name.contains("/worksheets/")
    }

    fn is_table_of_texts(&self) -> bool {
        self.name.ends_with("sharedstrings.xml")
    }

    /// Looks at some more bytes; false at the end of the part.
    fn look(&mut self, reader: &mut impl BufRead, limits: &Limits) -> Result<bool, Fault> {
        let bytes = reader.fill_buf().map_err(Fault::from_read)?;
        let size = bytes.len();
        if size == 0 {
            return Ok(false);
        }
        if self.is_xml {
            self.look_at_xml(bytes)?;
        }
        reader.consume(size);
        self.size += size as u64;
        if self.size > 1 << 20 && self.size / self.compressed.max(1) > limits.max_ratio {
            let what = format!("its part {} inflates more than {} times", self.name, limits.max_ratio);
            return Err(Fault::TooLarge(what));
        }
        Ok(true)
    }

    fn look_at_xml(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        if self.size == 0
            && (bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[0xFF, 0xFE]) || bytes.contains(&0))
        {
            return Err(Fault::Damaged(format!("its part {} is not UTF-8", self.name)));
        }
        for byte in bytes {
            if *byte == b'<' {
                (self.run, self.spelled) = (0, 1);
                continue;
            }
            self.run += 1;
            if self.spelled > 0 {
                let expected = DOCTYPE[self.spelled - 1];
                self.spelled = if byte.eq_ignore_ascii_case(&expected) { self.spelled + 1 } else { 0 };
                if self.spelled > DOCTYPE.len() {
                    return Err(Fault::Dtd { part: self.name.clone() });
                }
            }
        }
        if self.run > LONGEST_RUN {
            return Err(Fault::TooLarge(format!("its part {} holds a text of more than a megabyte", self.name)));
        }
        Ok(())
    }
}

/// The table of texts says how many it has, and the parser reserves memory for as many unseen.
fn check_count(archive: &mut ZipArchive<Stream<'_>>, place: usize, limits: &Limits) -> Result<(), Fault> {
    let entry = archive.by_index(place).map_err(from_zip)?;
    // No text takes fewer bytes than `<si/>`.
    let most = limits.max_shared_bytes / 5;
    let mut xml = quick_xml::Reader::from_reader(BufReader::new(entry));
    xml.config_mut().check_end_names = false;
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let tag = match xml.read_event_into(&mut buffer) {
            Ok(Event::Start(tag) | Event::Empty(tag)) if tag.local_name().as_ref() == "sst" => tag,
            Ok(Event::Eof) => return Ok(()),
            Ok(_) => continue,
            Err(error) => return Err(Fault::Damaged(format!("its table of texts cannot be read ({error})"))),
        };
        let mut counts = tag.attributes();
        let counts = counts.with_checks(false).filter_map(Result::ok).filter(|one| one.key.as_ref() == "uniqueCount");
        let is_plausible =
            |count: &str| count.is_empty() || count.trim().parse::<u64>().is_ok_and(|count| count <= most);
        if !counts.into_iter().all(|one| is_plausible(&one.value)) {
            return Err(Fault::TooLarge("its table of texts claims more texts than it can hold".to_owned()));
        }
        return Ok(());
    }
}

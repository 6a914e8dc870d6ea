//! The ZIP container of a workbook, looked through before any of it is parsed.

use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use quick_xml::events::Event;
use zip::ZipArchive;
use zip::result::ZipError;

use super::markup::{Excess, Markup};
use super::package;
use crate::error::Fault;
use crate::limits::Limits;
use crate::source::Stream;

/// Inflates every part once, counting, and refuses what would cost too much to parse.
pub(crate) fn check(mut stream: Stream<'_>, limits: &Limits) -> Result<(), Fault> {
    let size = check_directory(&mut stream, limits)?;
    let mut archive = ZipArchive::new(stream).map_err(from_zip)?;
    check_count(archive.len(), limits)?;
    check_overlaps(&mut archive, size)?;
    let mut inflated = 0;
    let mut held = 0;
    let mut workbooks = Vec::new();
    for place in 0..archive.len() {
        let part = inflate(&mut archive, place, inflated, limits)?;
        inflated += part.size;
        held += part.held();
        if held > limits.max_shared_bytes {
            let what = format!("the workbook's texts and styles take more than {} bytes", limits.max_shared_bytes);
            return Err(Fault::TooLarge(what));
        }
        if part.name.to_lowercase().ends_with("sharedstrings.xml") {
            check_claim(&mut archive, place, limits)?;
        }
        if part.is(b"workbook") {
            workbooks.push(part.name);
        }
    }
    workbooks.iter().try_for_each(|workbook| package::check_sheets(&mut archive, workbook))
}

/// Bytes at the end of a ZIP file among which its end record begins.
const END_RECORD: u64 = 22 + 65_535;

/// Looks for end records that announce too many parts, before the directory is read. Returns the size of the file.
pub(crate) fn check_directory(stream: &mut Stream<'_>, limits: &Limits) -> Result<u64, Fault> {
    let size = stream.seek(SeekFrom::End(0)).map_err(Fault::from_read)?;
    stream.seek(SeekFrom::Start(size.saturating_sub(END_RECORD))).map_err(Fault::from_read)?;
    let mut end = Vec::new();
    stream.read_to_end(&mut end).map_err(Fault::from_read)?;
    stream.rewind().map_err(Fault::from_read)?;
    // Its comment reaches to the end of the file; what only looks like a record may be part of a picture.
    let ends = |record: &&[u8]| record.len() == 22 + usize::from(u16::from_le_bytes([record[20], record[21]]));
    let records = (0..end.len().saturating_sub(21)).map(|place| &end[place..]);
    for record in records.filter(|record| record.starts_with(b"PK\x05\x06")).filter(ends) {
        check_count(usize::from(u16::from_le_bytes([record[10], record[11]])), limits)?;
    }
    Ok(size)
}

fn check_count(parts: usize, limits: &Limits) -> Result<(), Fault> {
    if parts <= limits.max_entries {
        return Ok(());
    }
    Err(Fault::TooLarge(format!("the workbook has {parts} parts, {} are accepted", limits.max_entries)))
}

/// Parts that share their bytes add up to more than the file, and would be copied once each.
fn check_overlaps(archive: &mut ZipArchive<Stream<'_>>, size: u64) -> Result<(), Fault> {
    let mut compressed = 0_u64;
    for place in 0..archive.len() {
        let entry = archive.by_index_raw(place).map_err(from_zip)?;
        compressed = compressed.saturating_add(entry.compressed_size());
    }
    if compressed <= size { Ok(()) } else { Err(Fault::Damaged("its parts overlap in its ZIP container".to_owned())) }
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

/// The table of texts says how many it has, and the parser reserves memory for as many unseen.
fn check_claim(archive: &mut ZipArchive<Stream<'_>>, place: usize, limits: &Limits) -> Result<(), Fault> {
    let entry = archive.by_index(place).map_err(from_zip)?;
    // No text takes fewer bytes than `<si/>`.
    let most = limits.max_shared_bytes / 5;
    let mut xml = quick_xml::Reader::from_reader(BufReader::new(entry));
    xml.config_mut().check_end_names = false;
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        let tag = match xml.read_event_into(&mut buffer).map_err(package::from_xml)? {
            Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == "sst" => tag,
            Event::Eof => return Ok(()),
            _ => continue,
        };
        let mut counts = tag.attributes();
        let counts = counts.with_checks(false).filter_map(Result::ok).filter(|one| one.key.as_ref() == "uniqueCount");
        let is_plausible =
            |count: &str| count.is_empty() || count.trim().parse::<u64>().is_ok_and(|count| count <= most);
        if !counts.into_iter().all(|one| is_plausible(&one.value)) {
            return Err(Fault::TooLarge("its table of texts claims more texts than it can hold".to_owned()));
        }
    }
}

pub(crate) fn from_zip(error: ZipError) -> Fault {
    match error {
        ZipError::Io(error) => Fault::from_read(error),
        other => Fault::Damaged(format!("its ZIP container cannot be read ({other})")),
    }
}

const CHUNK: usize = 1 << 16;
/// Parts that nobody parses. One of them cannot be a sheet: see [`package::check_sheets`].
const OPAQUE: [&str; 12] = ["bin", "bmp", "emf", "gif", "jpeg", "jpg", "odttf", "png", "tif", "tiff", "wdp", "wmf"];
/// What a parser holds for each element and each format, beyond what they say.
const ELEMENT: u64 = 24;
const FORMAT: u64 = 256;
/// The largest list of sheets, or of what a part refers to.
const LONGEST_LIST: u64 = 1 << 20;

/// Whether nobody parses the part of this name.
pub(crate) fn is_opaque(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    OPAQUE.iter().any(|opaque| extension.eq_ignore_ascii_case(opaque))
}

/// What has been seen of one part so far.
struct Part {
    name: String,
    markup: Option<Markup>,
    compressed: u64,
    size: u64,
}

impl Part {
    fn new(name: &str, compressed: u64) -> Self {
        let markup = (!is_opaque(name)).then(Markup::default);
        Self { name: name.to_owned(), markup, compressed, size: 0 }
    }

    fn is(&self, root: &[u8]) -> bool {
        self.markup.as_ref().is_some_and(|markup| markup.content.root == root)
    }

    /// Bytes that a parser holds of the part: not of sheets, which stream, and of pictures, which are not read.
    fn held(&self) -> u64 {
        let Some(Markup { content, .. }) = &self.markup else { return 0 };
        let streams = content.root == b"worksheet" && content.shared_texts == 0;
        let texts = if streams { 0 } else { self.size + content.elements * ELEMENT };
        // A format has a name and a pattern of its own, whatever it refers to.
        texts + content.formats * (FORMAT + content.longest_tag)
    }

    /// Looks at some more bytes; false at the end of the part.
    fn look(&mut self, reader: &mut impl BufRead, limits: &Limits) -> Result<bool, Fault> {
        let bytes = reader.fill_buf().map_err(Fault::from_read)?;
        let size = bytes.len();
        if size == 0 {
            return Ok(false);
        }
        self.look_at_markup(bytes)?;
        reader.consume(size);
        self.size += size as u64;
        if self.size > 1 << 20 && self.size / self.compressed.max(1) > limits.max_ratio {
            let what = format!("its part {} inflates more than {} times", self.name, limits.max_ratio);
            return Err(Fault::TooLarge(what));
        }
        if self.size > LONGEST_LIST && (self.is(b"workbook") || self.is(b"Relationships")) {
            return Err(Fault::TooLarge(format!("its part {} is larger than a megabyte", self.name)));
        }
        Ok(true)
    }

    fn look_at_markup(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let Some(markup) = &mut self.markup else { return Ok(()) };
        if self.size == 0
            && (bytes.starts_with(&[0xFE, 0xFF]) || bytes.starts_with(&[0xFF, 0xFE]) || bytes.contains(&0))
        {
            return Err(Fault::Damaged(format!("its part {} is not UTF-8", self.name)));
        }
        markup.look(bytes).map_err(|excess| match excess {
            Excess::TooMuch(what) => Fault::TooLarge(format!("its part {} holds {what}", self.name)),
            Excess::Declaration => Fault::Dtd { part: self.name.clone() },
        })
    }
}

//! The ZIP container of a workbook, looked through before any of it is parsed.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};

use quick_xml::events::Event;
use zip::ZipArchive;
use zip::result::ZipError;

use super::markup::{Excess, Markup};
use super::package;
use crate::error::Fault;
use crate::limits::Limits;
use crate::source::{Source, Stream};

/// How many bytes the parts of a workbook say that they have, inflated, which tells how much work it is. A workbook that
/// lies is refused when it is read. Anything else has none, and is little work.
#[must_use]
pub fn inflated_size(source: &Source<'_>) -> u64 {
    announced_size(source).unwrap_or_default()
}

fn announced_size(source: &Source<'_>) -> Result<u64, Fault> {
    let mut stream = source.open()?;
    check_directory(&mut stream, &Limits::default())?;
    let mut archive = ZipArchive::new(stream).map_err(from_zip)?;
    (0..archive.len()).try_fold(0_u64, |sum, place| {
        let entry = archive.by_index_raw(place).map_err(from_zip)?;
        Ok(sum.saturating_add(entry.size()))
    })
}

/// Inflates every part once, counting, and refuses what would cost too much to parse.
pub(crate) fn check(mut stream: Stream<'_>, limits: &Limits) -> Result<(), Fault> {
    let size = check_directory(&mut stream, limits)?;
    let mut archive = ZipArchive::new(stream).map_err(from_zip)?;
    check_count(archive.len(), limits)?;
    check_overlaps(&mut archive, size)?;
    check_names(&archive)?;
    let (mut inflated, mut elements, mut held) = (0, 0, 0);
    let mut workbooks = Vec::new();
    for place in 0..archive.len() {
        let part = inflate(&mut archive, place, inflated, elements, limits)?;
        inflated += part.size;
        elements += part.elements();
        held += part.held();
        if held > limits.max_shared_bytes {
            let what = format!("the workbook's texts and styles take more than {} bytes", limits.max_shared_bytes);
            return Err(Fault::TooLarge(what));
        }
        if part.name.to_lowercase().ends_with("sharedstrings.xml") {
            check_claim(&mut archive, place, limits)?;
        }
        if part.is_workbook() {
            workbooks.push(part.name);
        }
    }
    workbooks.extend(package::workbooks(&mut archive)?);
    workbooks.iter().try_for_each(|workbook| package::check_sheets(&mut archive, workbook))
}

/// Parts of one name: whoever reads the workbook takes one, whoever copies it both.
fn check_names(archive: &ZipArchive<Stream<'_>>) -> Result<(), Fault> {
    let mut seen = HashSet::new();
    for name in package::names(archive)? {
        if !seen.insert(name.replace('\\', "/").to_lowercase()) {
            return Err(Fault::Damaged(format!("it has two parts of the name {}", name.escape_debug())));
        }
    }
    Ok(())
}

/// Bytes at the end of a ZIP file among which its end record begins.
const END_RECORD: u64 = 22 + 65_535;

/// The longest directory of a ZIP file: far more than as many parts need as are accepted.
const LONGEST_DIRECTORY: u64 = 2 << 20;

/// Looks for end records that announce too many parts or too long a directory, before that is read. Returns the size of
/// the file.
pub(crate) fn check_directory(stream: &mut Stream<'_>, limits: &Limits) -> Result<u64, Fault> {
    let size = stream.seek(SeekFrom::End(0)).map_err(Fault::from_read)?;
    let begin = size.saturating_sub(END_RECORD);
    stream.seek(SeekFrom::Start(begin)).map_err(Fault::from_read)?;
    let mut end = Vec::new();
    stream.read_to_end(&mut end).map_err(Fault::from_read)?;
    // Its comment reaches to the end of the file; what only looks like a record may be part of a picture.
    let ends = |record: &[u8]| record.len() == 22 + usize::from(u16::from_le_bytes([record[20], record[21]]));
    for place in 0..end.len().saturating_sub(21) {
        let record = &end[place..];
        if !record.starts_with(b"PK\x05\x06") || !ends(record) {
            continue;
        }
        let (mut parts, mut directory) = (number(&record[10..12]), number(&record[16..20]));
        // The record of a ZIP64 file, which stands anywhere before its locator, counts instead.
        let locator = place.checked_sub(20).map(|before| &end[before..place]);
        if let Some(locator) = locator.filter(|locator| locator.starts_with(b"PK\x06\x07")) {
            let mut record = [0; 56];
            stream.seek(SeekFrom::Start(number(&locator[8..16]))).map_err(Fault::from_read)?;
            stream.read_exact(&mut record).map_err(Fault::from_read)?;
            if !record.starts_with(b"PK\x06\x06") {
                return Err(Fault::Damaged("its ZIP container has no end".to_owned()));
            }
            (parts, directory) = (number(&record[32..40]), number(&record[48..56]));
        }
        check_count(usize::try_from(parts).unwrap_or(usize::MAX), limits)?;
        if (begin + place as u64).saturating_sub(directory) > LONGEST_DIRECTORY {
            return Err(Fault::TooLarge("the directory of its ZIP container is longer than two megabytes".to_owned()));
        }
    }
    stream.rewind().map_err(Fault::from_read)?;
    Ok(size)
}

/// A number as ZIP writes it, of up to eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
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

/// Inflates one part, `before` bytes and some elements having been inflated already.
fn inflate(
    archive: &mut ZipArchive<Stream<'_>>,
    place: usize,
    before: u64,
    elements_before: u64,
    limits: &Limits,
) -> Result<Part, Fault> {
    let entry = archive.by_index(place).map_err(from_zip)?;
    let announced = entry.size();
    let mut part = Part::new(&entry.name().map_err(from_zip)?, entry.compressed_size());
    let mut reader = BufReader::with_capacity(CHUNK, entry);
    while part.look(&mut reader, limits)? {
        if part.size > announced {
            return Err(Fault::Damaged(format!("its part {} is longer than it says", part.name)));
        }
        if before + part.size > limits.max_inflated_bytes {
            let what = format!("the workbook inflates to more than {} bytes", limits.max_inflated_bytes);
            return Err(Fault::TooLarge(what));
        }
        if elements_before + part.elements() > limits.max_elements {
            let what = format!("the workbook has more than {} elements", limits.max_elements);
            return Err(Fault::TooLarge(what));
        }
    }
    part.finish()?;
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
/// Names of parts that a parser holds, whatever their first element says.
const HELD: [&str; 4] = ["sharedstrings", "styles", "theme", "richdata"];
/// What a parser holds for each element and each format, beyond what they say.
const ELEMENT: u64 = 40;
const FORMAT: u64 = 256;
/// The largest list of sheets, or of what a part refers to.
const LONGEST_LIST: u64 = 1 << 20;

/// Whether a part of this name may be parsed. All others, pictures and the like, are only copied.
pub(crate) fn is_xml(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["xml", "rels"].iter().any(|xml| extension.eq_ignore_ascii_case(xml))
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
        let markup = is_xml(name).then(Markup::default);
        Self { name: name.to_owned(), markup, compressed, size: 0 }
    }

    fn is_workbook(&self) -> bool {
        self.markup.as_ref().is_some_and(|markup| markup.content.root == b"workbook")
    }

    fn elements(&self) -> u64 {
        self.markup.as_ref().map_or(0, |markup| markup.content.elements)
    }

    /// Looks at the end of the part.
    fn finish(&self) -> Result<(), Fault> {
        self.markup.as_ref().map_or(Ok(()), |markup| markup.finish().map_err(|excess| self.fault(excess)))
    }

    /// Bytes that a parser holds of the part: not of sheets, which stream, and of pictures, which are not read.
    fn held(&self) -> u64 {
        let Some(Markup { content, .. }) = &self.markup else { return 0 };
        let name = self.name.to_lowercase();
        let is_read_whole = content.shared_texts > 0 || content.is_list || HELD.iter().any(|held| name.contains(held));
        let streams = content.root == b"worksheet" && !is_read_whole;
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
        if self.size > LONGEST_LIST && self.markup.as_ref().is_some_and(|markup| markup.content.is_list) {
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
        let looked = markup.look(bytes);
        looked.map_err(|excess| self.fault(excess))
    }

    fn fault(&self, excess: Excess) -> Fault {
        match excess {
            Excess::TooMuch(what) => Fault::TooLarge(format!("its part {} holds {what}", self.name)),
            Excess::Declaration => Fault::Dtd { part: self.name.clone() },
            Excess::Malformed(how) => Fault::Damaged(format!("its part {} {how}", self.name)),
        }
    }
}

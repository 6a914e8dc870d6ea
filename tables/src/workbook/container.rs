//! The ZIP container of a workbook, validated before any of it is parsed.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use super::xml::Xml;
use crate::error::Fault;
use crate::limits::Limits;
use crate::source::{Source, Stream};

/// The inflated size that a workbook declares, a measure of the work it takes. A false declaration is rejected when the
/// workbook is read. `None` for anything else, which is little work.
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

/// The parts of a workbook.
pub(crate) struct Container<'a> {
    archive: ZipArchive<Stream<'a>>,
    /// The places of parts by their names, as [`plain_name`] makes them.
    places: HashMap<String, usize>,
    names: Vec<String>,
}

/// A part that is being inflated.
pub(crate) type Part<'c, 'a> = BufReader<Inflated<ZipFile<'c, Stream<'a>>>>;

/// What has been inflated of a workbook so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) bytes: u64,
    pub(crate) elements: u64,
}

impl<'a> Container<'a> {
    /// Opens a container and validates its directory.
    pub(crate) fn open(source: &Source<'a>, limits: &Limits) -> Result<Self, Fault> {
        let mut stream = source.open()?;
        check_directory(&mut stream, limits)?;
        let mut archive = ZipArchive::new(stream).map_err(from_zip)?;
        check_count(archive.len(), limits)?;
        if archive.decompressed_size().is_some_and(|size| size > limits.max_inflated_bytes.into()) {
            return Err(too_large(limits.max_inflated_bytes));
        }
        // Parts that share their bytes add up to more than the file, and would be copied once each.
        if archive.has_overlapping_entries().map_err(from_zip)? {
            return Err(Fault::Damaged("its parts overlap in its ZIP container".to_owned()));
        }
        let names = archive.file_names().map(|name| Ok(name.map_err(from_zip)?.into_owned()));
        let names = names.collect::<Result<Vec<String>, Fault>>()?;
        if archive.has_duplicate_names() {
            return Err(Fault::Damaged("it has two parts of one name".to_owned()));
        }
        let mut places = HashMap::new();
        for (place, name) in names.iter().enumerate() {
            if places.insert(plain_name(name), place).is_some() {
                return Err(Fault::Damaged(format!("it has two parts of the name {}", name.escape_debug())));
            }
        }
        let mut container = Self { archive, places, names };
        container.check_local_names(source)?;
        Ok(container)
    }

    /// The names of the parts as they are written, in order.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The place of a part.
    pub(crate) fn find(&self, part: &str) -> Option<usize> {
        self.places.get(&plain_name(part)).copied()
    }

    /// The bytes of a part as they are stored.
    pub(crate) fn raw(&mut self, place: usize) -> Result<ZipFile<'_, Stream<'a>>, Fault> {
        self.archive.by_index_raw(place).map_err(from_zip)
    }

    /// Reads the XML of a part, given what was spent on the workbook so far.
    pub(crate) fn xml(&mut self, place: usize, limits: &Limits, spent: Spent) -> Result<Xml<Part<'_, 'a>>, Fault> {
        let name = self.names.get(place).cloned().unwrap_or_default();
        let input = BufReader::with_capacity(CHUNK, self.inflate(place, limits, spent)?);
        Xml::new(input, &name, limits.max_elements.saturating_sub(spent.elements))
    }

    /// The bytes of a part, and how many the directory declares.
    pub(crate) fn bytes(&mut self, place: usize, limits: &Limits, spent: Spent) -> Result<(Part<'_, 'a>, u64), Fault> {
        let part = self.inflate(place, limits, spent)?;
        let size = part.entry.size();
        Ok((BufReader::with_capacity(CHUNK, part), size))
    }

    /// Reads a part only to validate it.
    pub(crate) fn check(&mut self, place: usize, limits: &Limits, spent: &mut Spent) -> Result<(), Fault> {
        if self.names.get(place).is_some_and(|name| is_xml(name)) {
            let mut xml = self.xml(place, limits, *spent)?;
            xml.read_to_end()?;
            spent.add(&xml);
            return Ok(());
        }
        // Pictures and the like are only copied.
        let mut part = self.inflate(place, limits, *spent)?;
        spent.bytes += io::copy(&mut part, &mut io::sink()).map_err(Fault::from_read)?;
        Ok(())
    }

    fn inflate(
        &mut self,
        place: usize,
        limits: &Limits,
        spent: Spent,
    ) -> Result<Inflated<ZipFile<'_, Stream<'a>>>, Fault> {
        let entry = self.archive.by_index(place).map_err(from_zip)?;
        let (before, compressed) = (spent.bytes, entry.compressed_size().max(1));
        let Limits { max_inflated_bytes, max_ratio, .. } = *limits;
        Ok(Inflated { entry, size: 0, before, compressed, max_inflated_bytes, max_ratio })
    }

    /// Readers that ignore the directory use the name in front of each part.
    fn check_local_names(&mut self, source: &Source<'a>) -> Result<(), Fault> {
        let mut stream = source.open()?;
        for place in 0..self.archive.len() {
            let entry = self.archive.by_index_raw(place).map_err(from_zip)?;
            stream.seek(SeekFrom::Start(entry.header_start() + 30)).map_err(Fault::from_read)?;
            let mut name = vec![0; entry.name_raw().len()];
            stream.read_exact(&mut name).map_err(Fault::from_read)?;
            if name != entry.name_raw() {
                return Err(Fault::Damaged("a part has two names in its ZIP container".to_owned()));
            }
        }
        Ok(())
    }
}

impl Spent {
    /// Counts what was read of a part.
    pub(crate) fn add(&mut self, xml: &Xml<Part<'_, '_>>) {
        self.bytes += xml.bytes();
        self.elements += xml.elements();
    }
}

/// Names of parts are compared without case, and some programs write them with `\` or with a `/` before them.
pub(crate) fn plain_name(name: &str) -> String {
    name.replace('\\', "/").trim_start_matches('/').to_lowercase()
}

/// Bytes at the end of a ZIP file among which its end record begins.
const END_RECORD: u64 = 22 + 65_535;

/// The longest directory of a ZIP file: far more than as many parts need as are accepted.
const LONGEST_DIRECTORY: u64 = 2 << 20;

/// Looks for end records that announce too many parts or too long a directory, before that is read.
pub(crate) fn check_directory(stream: &mut Stream<'_>, limits: &Limits) -> Result<(), Fault> {
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
    stream.rewind().map_err(Fault::from_read)
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

pub(crate) fn from_zip(error: ZipError) -> Fault {
    match error {
        ZipError::Io(error) => Fault::from_read(error),
        other => Fault::Damaged(format!("its ZIP container cannot be read ({other})")),
    }
}

const CHUNK: usize = 1 << 16;

/// Whether a part of this name may be parsed. All others, pictures and the like, are only copied.
pub(crate) fn is_xml(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["xml", "rels"].iter().any(|xml| extension.eq_ignore_ascii_case(xml))
}

fn too_large(max_inflated_bytes: u64) -> Fault {
    Fault::TooLarge(format!("the workbook inflates to more than {max_inflated_bytes} bytes"))
}

/// Counts the bytes of a part while they are inflated.
pub(crate) struct Inflated<R> {
    entry: R,
    size: u64,
    /// Bytes of the parts before it.
    before: u64,
    compressed: u64,
    max_inflated_bytes: u64,
    max_ratio: u64,
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.entry.read(buffer)?;
        self.size += size as u64;
        if self.size > 1 << 20 && self.size / self.compressed > self.max_ratio {
            let what = format!("one of its parts inflates more than {} times", self.max_ratio);
            return Err(io::Error::other(Fault::TooLarge(what)));
        }
        if self.before + self.size > self.max_inflated_bytes {
            return Err(io::Error::other(too_large(self.max_inflated_bytes)));
        }
        Ok(size)
    }
}

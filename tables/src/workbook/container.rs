//! The ZIP container of a workbook, validated before its parts are parsed.

use std::collections::HashMap;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use zip::ZipArchive;
use zip::read::ZipFile;
use zip::result::ZipError;

use super::xml::XmlReader;
use crate::error::Fault;
use crate::limits::Limits;
use crate::source::{Source, Stream};

/// The declared inflated size of a workbook in bytes, an estimate of the work to process it; 0 for other files. A false
/// declaration is rejected when the workbook is read.
#[must_use]
pub fn inflated_size(source: &Source<'_>) -> u64 {
    declared_size(source).unwrap_or_default()
}

fn declared_size(source: &Source<'_>) -> Result<u64, Fault> {
    let mut stream = source.open()?;
    check_directory(&mut stream, &Limits::default())?;
    let mut archive = ZipArchive::new(stream).map_err(from_zip)?;
    (0..archive.len()).try_fold(0_u64, |sum, index| {
        let entry = archive.by_index_raw(index).map_err(from_zip)?;
        Ok(sum.saturating_add(entry.size()))
    })
}

/// The parts of a workbook.
pub(crate) struct Container<'a> {
    archive: ZipArchive<Stream<'a>>,
    /// The indices of the parts by [`normalized_name`].
    indices: HashMap<String, usize>,
    names: Vec<String>,
}

/// A part that is being inflated.
pub(crate) type Part<'c, 'a> = BufReader<Inflated<ZipFile<'c, Stream<'a>>>>;

/// What has been read of a workbook so far, for the limits on all parts together.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
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
        // Overlapping parts could add up to far more than the file.
        if archive.has_overlapping_entries().map_err(from_zip)? {
            return Err(Fault::Damaged("parts of the ZIP container overlap".to_owned()));
        }
        let names = archive.file_names().map(|name| Ok(name.map_err(from_zip)?.into_owned()));
        let names = names.collect::<Result<Vec<String>, Fault>>()?;
        if archive.has_duplicate_names() {
            return Err(Fault::Damaged("two parts have the same name".to_owned()));
        }
        let mut indices = HashMap::new();
        for (index, name) in names.iter().enumerate() {
            if indices.insert(normalized_name(name), index).is_some() {
                return Err(Fault::Damaged(format!("two parts have the name {}", name.escape_debug())));
            }
        }
        let mut container = Self { archive, indices, names };
        container.check_local_names(source)?;
        Ok(container)
    }

    /// The names of the parts as written, in directory order.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The index of a part.
    pub(crate) fn find(&self, part: &str) -> Option<usize> {
        self.indices.get(&normalized_name(part)).copied()
    }

    /// The compressed bytes of a part.
    pub(crate) fn raw(&mut self, index: usize) -> Result<ZipFile<'_, Stream<'a>>, Fault> {
        self.archive.by_index_raw(index).map_err(from_zip)
    }

    /// A reader of the XML of a part, with the limits that `usage` leaves.
    pub(crate) fn xml(
        &mut self,
        index: usize,
        limits: &Limits,
        usage: Usage,
    ) -> Result<XmlReader<Part<'_, 'a>>, Fault> {
        let name = self.names.get(index).cloned().unwrap_or_default();
        let input = BufReader::with_capacity(BUFFER_BYTES, self.inflate(index, limits, usage)?);
        XmlReader::new(input, &name, limits.max_elements.saturating_sub(usage.elements))
    }

    /// The inflated bytes of a part, and their declared size.
    pub(crate) fn bytes(&mut self, index: usize, limits: &Limits, usage: Usage) -> Result<(Part<'_, 'a>, u64), Fault> {
        let part = self.inflate(index, limits, usage)?;
        let size = part.entry.size();
        Ok((BufReader::with_capacity(BUFFER_BYTES, part), size))
    }

    /// Validates a part.
    pub(crate) fn check(&mut self, index: usize, limits: &Limits, usage: &mut Usage) -> Result<(), Fault> {
        if self.names.get(index).is_some_and(|name| is_xml(name)) {
            let mut xml = self.xml(index, limits, *usage)?;
            xml.read_to_end()?;
            usage.add(&xml);
            return Ok(());
        }
        // Other parts, such as pictures, are copied without being parsed.
        let mut part = self.inflate(index, limits, *usage)?;
        usage.bytes += io::copy(&mut part, &mut io::sink()).map_err(Fault::from_read)?;
        Ok(())
    }

    fn inflate(
        &mut self,
        index: usize,
        limits: &Limits,
        usage: Usage,
    ) -> Result<Inflated<ZipFile<'_, Stream<'a>>>, Fault> {
        let entry = self.archive.by_index(index).map_err(from_zip)?;
        let (before, compressed) = (usage.bytes, entry.compressed_size().max(1));
        let Limits { max_inflated_bytes, max_ratio, .. } = *limits;
        Ok(Inflated { entry, size: 0, before, compressed, max_inflated_bytes, max_ratio })
    }

    /// The names in the local headers must match the directory, since some readers use them instead.
    fn check_local_names(&mut self, source: &Source<'a>) -> Result<(), Fault> {
        let mut stream = source.open()?;
        for index in 0..self.archive.len() {
            let entry = self.archive.by_index_raw(index).map_err(from_zip)?;
            stream.seek(SeekFrom::Start(entry.header_start() + 30)).map_err(Fault::from_read)?;
            let mut name = vec![0; entry.name_raw().len()];
            stream.read_exact(&mut name).map_err(Fault::from_read)?;
            if name != entry.name_raw() {
                return Err(Fault::Damaged(
                    "the local header and the ZIP directory disagree on the name of a part".to_owned(),
                ));
            }
        }
        Ok(())
    }
}

impl Usage {
    /// Adds what was read of a part.
    pub(crate) fn add(&mut self, xml: &XmlReader<Part<'_, '_>>) {
        self.bytes += xml.bytes();
        self.elements += xml.elements();
    }
}

/// Part names are case-insensitive, and some programs write them with `\` or a leading `/`.
pub(crate) fn normalized_name(name: &str) -> String {
    name.replace('\\', "/").trim_start_matches('/').to_lowercase()
}

/// The maximum size of the end-of-central-directory record with its comment, in bytes.
const MAX_END_RECORD_BYTES: u64 = 22 + 65_535;

/// The maximum size of the central directory in bytes: far more than the maximum number of parts needs.
const MAX_DIRECTORY_BYTES: u64 = 2 << 20;

/// Checks the number of parts and the size of the central directory before it is read.
pub(crate) fn check_directory(stream: &mut Stream<'_>, limits: &Limits) -> Result<(), Fault> {
    let size = stream.seek(SeekFrom::End(0)).map_err(Fault::from_read)?;
    let start = size.saturating_sub(MAX_END_RECORD_BYTES);
    stream.seek(SeekFrom::Start(start)).map_err(Fault::from_read)?;
    let mut tail = Vec::new();
    stream.read_to_end(&mut tail).map_err(Fault::from_read)?;
    // The comment of the record extends to the end of the file; other bytes may only look like a record.
    let ends_file = |record: &[u8]| record.len() == 22 + usize::from(u16::from_le_bytes([record[20], record[21]]));
    for offset in 0..tail.len().saturating_sub(21) {
        let record = &tail[offset..];
        if !record.starts_with(b"PK\x05\x06") || !ends_file(record) {
            continue;
        }
        let (mut parts, mut directory) = (little_endian(&record[10..12]), little_endian(&record[16..20]));
        // A ZIP64 record, which a locator before this one points to, takes precedence.
        let locator = offset.checked_sub(20).map(|start| &tail[start..offset]);
        if let Some(locator) = locator.filter(|locator| locator.starts_with(b"PK\x06\x07")) {
            let mut record = [0; 56];
            stream.seek(SeekFrom::Start(little_endian(&locator[8..16]))).map_err(Fault::from_read)?;
            stream.read_exact(&mut record).map_err(Fault::from_read)?;
            if !record.starts_with(b"PK\x06\x06") {
                return Err(Fault::Damaged("the ZIP64 end-of-central-directory record is missing".to_owned()));
            }
            (parts, directory) = (little_endian(&record[32..40]), little_endian(&record[48..56]));
        }
        check_count(usize::try_from(parts).unwrap_or(usize::MAX), limits)?;
        if (start + offset as u64).saturating_sub(directory) > MAX_DIRECTORY_BYTES {
            return Err(Fault::TooLarge("the central directory of the ZIP container is larger than 2 MiB".to_owned()));
        }
    }
    stream.rewind().map_err(Fault::from_read)
}

/// A little-endian number of up to eight bytes.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn check_count(parts: usize, limits: &Limits) -> Result<(), Fault> {
    if parts <= limits.max_entries {
        return Ok(());
    }
    Err(Fault::TooLarge(format!("the workbook has {parts} parts; at most {} are accepted", limits.max_entries)))
}

pub(crate) fn from_zip(error: ZipError) -> Fault {
    match error {
        ZipError::Io(error) => Fault::from_read(error),
        other => Fault::Damaged(format!("the ZIP container cannot be read ({other})")),
    }
}

/// The size of the read buffers in bytes.
const BUFFER_BYTES: usize = 1 << 16;

/// Whether a part with this name is XML. Other parts, such as pictures, are not parsed.
pub(crate) fn is_xml(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    ["xml", "rels"].iter().any(|xml| extension.eq_ignore_ascii_case(xml))
}

fn too_large(max_inflated_bytes: u64) -> Fault {
    Fault::TooLarge(format!("the workbook inflates to more than {max_inflated_bytes} bytes"))
}

/// Limits the inflated bytes of a part.
pub(crate) struct Inflated<R> {
    entry: R,
    size: u64,
    /// The inflated bytes of the parts before it.
    before: u64,
    /// Its compressed size in bytes.
    compressed: u64,
    max_inflated_bytes: u64,
    max_ratio: u64,
}

impl<R: Read> Read for Inflated<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.entry.read(buffer)?;
        self.size += size as u64;
        if self.size > 1 << 20 && self.size / self.compressed > self.max_ratio {
            let what = format!("a part has a compression ratio above {}", self.max_ratio);
            return Err(io::Error::other(Fault::TooLarge(what)));
        }
        if self.before + self.size > self.max_inflated_bytes {
            return Err(io::Error::other(too_large(self.max_inflated_bytes)));
        }
        Ok(size)
    }
}

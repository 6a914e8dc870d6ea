//! The parts of a workbook: all copied as they are, except the one sheet that is added to.

use std::borrow::Cow;
use std::io::{BufReader, BufWriter, Seek, Write};

use quick_xml::events::Event;
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::sheet::{self, Additions};
use super::xml::from_xml;
use crate::error::Fault;
use crate::source::{Source, Stream};

/// Writes the workbook with the additions to the sheet at a place among its sheets.
pub(super) fn rewrite(
    source: &Source<'_>,
    sheet: usize,
    additions: &Additions,
    output: &mut (impl Write + Seek),
) -> Result<(), Fault> {
    let mut archive = ZipArchive::new(source.open()?).map_err(damaged)?;
    let names = names(&archive)?;
    if names.iter().any(|name| name.to_lowercase().ends_with("vbaproject.bin")) {
        let found = "a workbook with macros";
        return Err(Fault::NotATable { found, advice: "save it as .xlsx, without them" });
    }
    let part = part_of_sheet(&mut archive, sheet)?;
    let mut writer = ZipWriter::new(output);
    for (place, name) in names.iter().enumerate() {
        if is_same(name, &part) {
            let entry = archive.by_index(place).map_err(damaged)?;
            let options = SimpleFileOptions::default().compression_level(FAST).large_file(entry.size() > 1 << 31);
            writer.start_file(name, options).map_err(failed)?;
            let mut buffered = BufWriter::with_capacity(1 << 16, &mut writer);
            sheet::rewrite(BufReader::with_capacity(1 << 16, entry), &mut buffered, additions)?;
            buffered.flush().map_err(Fault::Write)?;
        } else {
            let entry = archive.by_index_raw(place).map_err(damaged)?;
            writer.raw_copy_file(entry).map_err(failed)?;
        }
    }
    writer.finish().map_err(failed)?;
    Ok(())
}

/// Below the usual level: compressing the sheet again is the largest part of the work.
const FAST: Option<i64> = Some(3);

type Archive<'a> = ZipArchive<Stream<'a>>;

/// Follows the relationships from the package to the workbook to its sheet.
fn part_of_sheet(archive: &mut Archive<'_>, sheet: usize) -> Result<String, Fault> {
    let package = elements(archive, "_rels/.rels", "Relationship")?;
    let is_workbook = |element: &&Element| element.get("Type").is_some_and(|kind| kind.ends_with("/officeDocument"));
    let workbook = package.iter().rfind(is_workbook).and_then(|element| element.get("Target"));
    let workbook = workbook.ok_or_else(|| inconsistent("no workbook is named"))?.trim_start_matches('/');
    let (folder, name) = workbook.rsplit_once('/').map_or((String::new(), workbook), |(f, n)| (format!("{f}/"), n));
    let sheets = elements(archive, workbook, "sheet")?;
    let id = sheets.get(sheet).and_then(|element| element.get("id"));
    let id = id.ok_or_else(|| inconsistent("a sheet is missing"))?;
    let relationships = elements(archive, &format!("{folder}_rels/{name}.rels"), "Relationship")?;
    let target = relationships.iter().rfind(|element| element.get("Id") == Some(id));
    let target = target.and_then(|element| element.get("Target")).ok_or_else(|| inconsistent("a sheet has no part"))?;
    Ok(target.strip_prefix('/').map_or_else(|| format!("{folder}{target}"), str::to_owned))
}

/// The attributes of an element by their local names, as they are written.
struct Element(Vec<(String, String)>);

impl Element {
    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All elements of a name in a part.
fn elements(archive: &mut Archive<'_>, part: &str, name: &str) -> Result<Vec<Element>, Fault> {
    let place = names(archive)?.iter().position(|stored| is_same(stored, part));
    let place = place.ok_or_else(|| inconsistent(&format!("its part {part} is missing")))?;
    let entry = archive.by_index(place).map_err(damaged)?;
    let mut xml = quick_xml::Reader::from_reader(BufReader::new(entry));
    let mut buffer = Vec::new();
    let mut found = Vec::new();
    loop {
        buffer.clear();
        match xml.read_event_into(&mut buffer).map_err(from_xml)? {
            Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == name => {
                let mut attributes = tag.attributes();
                let attributes = attributes.with_checks(false).filter_map(Result::ok);
                let pairs = attributes.map(|one| (one.key.local_name().as_ref().to_owned(), one.value.to_string()));
                found.push(Element(pairs.collect()));
            }
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

fn names(archive: &Archive<'_>) -> Result<Vec<String>, Fault> {
    archive.file_names().map(|name| name.map(Cow::into_owned).map_err(damaged)).collect()
}

/// Names of parts are compared without case, and some programs write them with `\`.
fn is_same(stored: &str, part: &str) -> bool {
    stored.replace('\\', "/").eq_ignore_ascii_case(part)
}

fn inconsistent(what: &str) -> Fault {
    Fault::Damaged(format!("its parts do not fit together ({what})"))
}

fn damaged(error: zip::result::ZipError) -> Fault {
    crate::workbook::from_zip(error)
}

fn failed(error: zip::result::ZipError) -> Fault {
    Fault::Write(error.into())
}

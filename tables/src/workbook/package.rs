//! How the parts of a workbook refer to each other.

use std::borrow::Cow;
use std::collections::HashSet;
use std::io::BufReader;

use quick_xml::events::Event;
use zip::ZipArchive;

use super::container::{from_zip, is_xml};
use crate::error::Fault;
use crate::source::Stream;

pub(crate) type Archive<'a> = ZipArchive<Stream<'a>>;

/// Most sheets of a workbook.
const MOST_SHEETS: usize = 512;

/// The parts that the package names as its workbook; of several, readers take the last.
pub(crate) fn workbooks(archive: &mut Archive<'_>) -> Result<Vec<String>, Fault> {
    let package = elements(archive, "_rels/.rels", "Relationship")?;
    let named =
        package.iter().filter(|element| element.get("Type").is_some_and(|kind| kind.ends_with("/officeDocument")));
    let parts = named.filter_map(|element| element.get("Target"));
    Ok(parts.map(|part| part.trim_start_matches('/').to_owned()).collect())
}

/// Follows the relationships from the package to the workbook to the sheet at a place among its sheets.
pub(crate) fn part_of_sheet(archive: &mut Archive<'_>, sheet: usize) -> Result<String, Fault> {
    let workbook = workbooks(archive)?.pop().ok_or_else(|| inconsistent("no workbook is named"))?;
    let parts = parts_of_sheets(archive, &workbook)?;
    parts.into_iter().nth(sheet).flatten().ok_or_else(|| inconsistent("a sheet has no part"))
}

/// Refuses a list of sheets that would have a part read over and over, or one that nobody has looked at.
pub(crate) fn check_sheets(archive: &mut Archive<'_>, workbook: &str) -> Result<(), Fault> {
    if !is_xml(workbook) {
        return Err(inconsistent("the workbook is no XML"));
    }
    let mut parts = HashSet::new();
    for part in parts_of_sheets(archive, workbook)?.into_iter().flatten() {
        if !is_xml(&part) {
            return Err(inconsistent("a sheet is no XML"));
        }
        if !parts.insert(part.to_lowercase()) {
            return Err(inconsistent("two sheets are the same part"));
        }
    }
    Ok(())
}

/// The part of each sheet, in order; `None` where none is named.
fn parts_of_sheets(archive: &mut Archive<'_>, workbook: &str) -> Result<Vec<Option<String>>, Fault> {
    let (folder, name) = workbook.rsplit_once('/').map_or((String::new(), workbook), |(f, n)| (format!("{f}/"), n));
    let sheets = elements(archive, workbook, "sheet")?;
    if sheets.len() > MOST_SHEETS {
        let what = format!("the workbook has {} sheets, {MOST_SHEETS} are accepted", sheets.len());
        return Err(Fault::TooLarge(what));
    }
    let relationships = elements(archive, &format!("{folder}_rels/{name}.rels"), "Relationship")?;
    let part = |sheet: &Element| {
        let id = sheet.get("id")?;
        let target = relationships.iter().rfind(|element| element.get("Id") == Some(id))?.get("Target")?;
        Some(target.strip_prefix('/').map_or_else(|| format!("{folder}{target}"), str::to_owned))
    };
    Ok(sheets.iter().map(part).collect())
}

/// The attributes of an element by their local names, as they are written.
pub(crate) struct Element(Vec<(String, String)>);

impl Element {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// All elements of a name in a part.
fn elements(archive: &mut Archive<'_>, part: &str, name: &str) -> Result<Vec<Element>, Fault> {
    let place = names(archive)?.iter().position(|stored| is_same(stored, part));
    let place = place.ok_or_else(|| inconsistent(&format!("its part {part} is missing")))?;
    let entry = archive.by_index(place).map_err(from_zip)?;
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
                let pairs: Vec<_> = pairs.collect();
                // Of two that are called the same, not all readers take the same.
                if pairs
                    .iter()
                    .enumerate()
                    .any(|(place, (key, _))| pairs[..place].iter().any(|(other, _)| other == key))
                {
                    return Err(inconsistent(&format!("a {name} has two attributes of one name")));
                }
                found.push(Element(pairs));
            }
            Event::Eof => return Ok(found),
            _ => {}
        }
    }
}

pub(crate) fn names(archive: &Archive<'_>) -> Result<Vec<String>, Fault> {
    archive.file_names().map(|name| name.map(Cow::into_owned).map_err(from_zip)).collect()
}

/// Names of parts are compared without case, and some programs write them with `\`.
pub(crate) fn is_same(stored: &str, part: &str) -> bool {
    stored.replace('\\', "/").eq_ignore_ascii_case(part)
}

fn inconsistent(what: &str) -> Fault {
    Fault::Damaged(format!("its parts do not fit together ({what})"))
}

/// What a parser says of a part, as a fault of the file.
pub(crate) fn from_xml(error: quick_xml::Error) -> Fault {
    match error {
        quick_xml::Error::Io(error) => Fault::Damaged(error.to_string()),
        other => Fault::Damaged(format!("its XML cannot be read ({other})")),
    }
}

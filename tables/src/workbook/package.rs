//! How the parts of a workbook refer to each other.

use std::borrow::Cow;
use std::collections::HashSet;

use quick_xml::events::{BytesStart, Event};

use super::container::{Container, Spent, is_xml};
use super::xml::{attribute, attributes};
use crate::error::Fault;
use crate::limits::Limits;

/// Most sheets of a workbook.
const MAX_SHEETS: usize = 512;
/// The largest list of sheets, or of what a part refers to, in bytes.
const LONGEST_LIST: u64 = 1 << 20;

/// What a workbook consists of.
#[derive(Debug)]
pub(crate) struct Package {
    /// Its worksheets, in the order of their tabs.
    pub(crate) sheets: Vec<Sheet>,
    /// The part of the shared texts, and that of the formats.
    pub(crate) texts: Option<usize>,
    pub(crate) formats: Option<usize>,
    /// Whether days are counted from 1904 on.
    pub(crate) is_1904: bool,
}

/// A worksheet.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    pub(crate) name: String,
    pub(crate) is_hidden: bool,
    /// The place of its part in the container.
    pub(crate) part: usize,
}

impl Package {
    pub(crate) fn read(container: &mut Container<'_>, limits: &Limits, spent: &mut Spent) -> Result<Self, Fault> {
        let package = relationships(container, "_rels/.rels", limits, spent)?;
        let mut workbooks = package.iter().filter(|one| one.is_a("officeDocument"));
        let (Some(workbook), None) = (workbooks.next(), workbooks.next()) else {
            return Err(inconsistent("not one workbook is named"));
        };
        let workbook = resolve("", &workbook.target);
        let (folder, name) = workbook.rsplit_once('/').unwrap_or(("", &workbook));
        let relationships = relationships(container, &format!("{folder}/_rels/{name}.rels"), limits, spent)?;
        let mut listed = List::default();
        read_list(container, &workbook, limits, spent, |path, tag| listed.look(path, tag))?;
        let part = |target: &str| container.find(&resolve(folder, target));
        let named = |kind: &str| relationships.iter().find(|one| one.is_a(kind)).and_then(|one| part(&one.target));
        let mut sheets = Vec::new();
        let mut parts = HashSet::new();
        for sheet in listed.sheets {
            let relationship = relationships.iter().find(|one| one.id == sheet.id);
            let relationship = relationship.ok_or_else(|| inconsistent("a sheet has no part"))?;
            if !relationship.is_a("worksheet") {
                continue;
            }
            if !is_xml(&relationship.target) {
                return Err(inconsistent("a sheet is not XML"));
            }
            let part = part(&relationship.target).ok_or_else(|| inconsistent("the part of a sheet is missing"))?;
            if !parts.insert(part) {
                return Err(inconsistent("two sheets are the same part"));
            }
            sheets.push(Sheet { name: sheet.name, is_hidden: sheet.is_hidden, part });
        }
        Ok(Self { sheets, texts: named("sharedStrings"), formats: named("styles"), is_1904: listed.is_1904 })
    }
}

/// The lists of a workbook.
#[derive(Default)]
struct List {
    sheets: Vec<ListedSheet>,
    is_1904: bool,
}

struct ListedSheet {
    name: String,
    id: String,
    is_hidden: bool,
}

impl List {
    fn look(&mut self, path: [&str; 2], tag: &BytesStart<'_>) -> Result<(), Fault> {
        match path {
            ["workbook", "workbookPr"] => {
                self.is_1904 = attribute(tag, "date1904").is_some_and(|set| matches!(set.trim(), "1" | "true" | "on"));
            }
            ["sheets", "sheet"] => {
                let (name, state) = (attribute(tag, "name"), attribute(tag, "state"));
                let is_hidden = state.is_some_and(|state| state.trim().to_lowercase().ends_with("hidden"));
                let name = name.map(Cow::into_owned).unwrap_or_default();
                self.sheets.push(ListedSheet { name, id: relationship_id(tag)?, is_hidden });
                if self.sheets.len() > MAX_SHEETS {
                    return Err(Fault::TooLarge(format!("the workbook has more than {MAX_SHEETS} sheets")));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// The `id` of a sheet, whose prefix depends on who wrote it.
fn relationship_id(sheet: &BytesStart<'_>) -> Result<String, Fault> {
    let mut ids = attributes(sheet).flatten().filter(|one| one.name.rsplit(':').next() == Some("id"));
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id.value.to_owned()),
        (None, _) => Err(inconsistent("a sheet has no part")),
        (Some(_), Some(_)) => Err(inconsistent("a sheet has two attributes of one name")),
    }
}

/// A relationship of one part to another.
struct Relationship {
    id: String,
    kind: String,
    target: String,
}

impl Relationship {
    /// Whether it is of a kind, of which the last word is the same in both editions of the standard.
    fn is_a(&self, kind: &str) -> bool {
        self.kind.rsplit('/').next() == Some(kind)
    }
}

fn relationships(
    container: &mut Container<'_>,
    part: &str,
    limits: &Limits,
    spent: &mut Spent,
) -> Result<Vec<Relationship>, Fault> {
    let mut found: Vec<Relationship> = Vec::new();
    let mut ids = HashSet::new();
    read_list(container, part, limits, spent, |path, tag| {
        if path != ["Relationships", "Relationship"] {
            return Ok(());
        }
        let value = |name| attribute(tag, name).map(|value| value.trim().to_owned()).unwrap_or_default();
        let one = Relationship { id: value("Id"), kind: value("Type"), target: value("Target") };
        if !ids.insert(one.id.clone()) {
            return Err(inconsistent(&format!("{part} has one name for two parts")));
        }
        if !value("TargetMode").eq_ignore_ascii_case("external") {
            found.push(one);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Reads a part of bounded size, and shows each element with its name and that of the element around it.
fn read_list(
    container: &mut Container<'_>,
    part: &str,
    limits: &Limits,
    spent: &mut Spent,
    mut look: impl FnMut([&str; 2], &BytesStart<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let place = container.find(part).ok_or_else(|| inconsistent(&format!("its part {part} is missing")))?;
    let mut xml = container.xml(place, limits, *spent)?;
    let mut open: Vec<String> = Vec::new();
    loop {
        if xml.bytes() > LONGEST_LIST {
            return Err(Fault::TooLarge(format!("its part {part} is larger than a megabyte")));
        }
        match xml.next()?.0 {
            Event::Eof => break,
            Event::Start(tag) => {
                look([open.last().map_or("", String::as_str), tag.local_name().as_ref()], &tag)?;
                open.push(tag.local_name().as_ref().to_owned());
            }
            Event::Empty(tag) => look([open.last().map_or("", String::as_str), tag.local_name().as_ref()], &tag)?,
            Event::End(_) => {
                open.pop();
            }
            _ => {}
        }
    }
    spent.add(&xml);
    Ok(())
}

/// The name of the part that another one, in a folder, refers to.
fn resolve(folder: &str, target: &str) -> String {
    let target = target.replace('\\', "/");
    let folder = if target.starts_with('/') { "" } else { folder };
    let mut path: Vec<&str> = Vec::new();
    for step in folder.split('/').chain(target.split('/')) {
        match step {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            step => path.push(step),
        }
    }
    path.join("/")
}

fn inconsistent(what: &str) -> Fault {
    Fault::Damaged(format!("its parts do not fit together ({what})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_resolved_like_paths() {
        for (folder, target, expected) in [
            ("xl", "worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"),
            ("xl", "/xl/worksheets/sheet1.xml", "xl/worksheets/sheet1.xml"),
            ("xl", "./a/../worksheets\\sheet1.xml", "xl/worksheets/sheet1.xml"),
            ("", "../../xl/workbook.xml", "xl/workbook.xml"),
        ] {
            assert_eq!(resolve(folder, target), expected);
        }
    }
}

//! The relationships between the parts of a workbook.

use std::borrow::Cow;
use std::collections::HashSet;

use quick_xml::events::{BytesStart, Event};

use super::container::{Container, Usage, is_xml};
use super::xml::{attribute, attributes};
use crate::error::Fault;
use crate::limits::Limits;

/// The maximum number of sheets.
const MAX_SHEETS: usize = 512;
/// The maximum size of the sheet list, and of the relationships of a part, in bytes.
const MAX_LIST_BYTES: u64 = 1 << 20;

/// The parts of a workbook.
#[derive(Debug)]
pub(crate) struct Package {
    /// The worksheets, in tab order.
    pub(crate) sheets: Vec<Sheet>,
    /// The index of the part with the shared strings.
    pub(crate) texts: Option<usize>,
    /// The index of the part with the cell formats.
    pub(crate) formats: Option<usize>,
    /// Whether the workbook uses the 1904 date system.
    pub(crate) uses_1904_dates: bool,
    /// The index of the part with the list of sheets.
    pub(crate) list: usize,
    /// The index of the part with its relationships.
    pub(crate) list_relationships: usize,
}

/// A worksheet.
#[derive(Clone, Debug)]
pub(crate) struct Sheet {
    pub(crate) name: String,
    pub(crate) is_hidden: bool,
    /// The index of its part in the container.
    pub(crate) part: usize,
}

impl Package {
    pub(crate) fn read(container: &mut Container<'_>, limits: &Limits, usage: &mut Usage) -> Result<Self, Fault> {
        let package = relationships(container, "_rels/.rels", limits, usage)?;
        let mut workbooks = package.iter().filter(|one| one.has_kind("officeDocument"));
        let (Some(workbook), None) = (workbooks.next(), workbooks.next()) else {
            return Err(inconsistent("there must be exactly one workbook part"));
        };
        let workbook = resolve("", &workbook.target);
        let (folder, name) = workbook.rsplit_once('/').unwrap_or(("", &workbook));
        let relationships_part = format!("{folder}/_rels/{name}.rels");
        let relationships = relationships(container, &relationships_part, limits, usage)?;
        let index = |part: &str| container.find(part).ok_or_else(|| inconsistent("the list of sheets is missing"));
        let (list_part, list_relationships) = (index(&workbook)?, index(&relationships_part)?);
        let mut list = SheetList::default();
        read_list(container, &workbook, limits, usage, |path, tag| list.observe(path, tag))?;
        let part = |target: &str| container.find(&resolve(folder, target));
        let named = |kind: &str| relationships.iter().find(|one| one.has_kind(kind)).and_then(|one| part(&one.target));
        let mut sheets = Vec::new();
        let mut parts = HashSet::new();
        for sheet in list.sheets {
            let relationship = relationships.iter().find(|one| one.id == sheet.id);
            let relationship = relationship.ok_or_else(|| inconsistent("a sheet has no part"))?;
            if !relationship.has_kind("worksheet") {
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
        Ok(Self {
            sheets,
            texts: named("sharedStrings"),
            formats: named("styles"),
            uses_1904_dates: list.uses_1904_dates,
            list: list_part,
            list_relationships,
        })
    }

    /// The indices of the parts of the tables on a sheet.
    pub(crate) fn tables(
        container: &mut Container<'_>,
        sheet_part: usize,
        limits: &Limits,
        usage: &mut Usage,
    ) -> Result<Vec<usize>, Fault> {
        let sheet = container.names().get(sheet_part).cloned().unwrap_or_default();
        let sheet = resolve("", &sheet);
        let (folder, name) = sheet.rsplit_once('/').unwrap_or(("", &sheet));
        let part = format!("{folder}/_rels/{name}.rels");
        if container.find(&part).is_none() {
            return Ok(Vec::new());
        }
        let relationships = relationships(container, &part, limits, usage)?;
        let tables = relationships.iter().filter(|one| one.has_kind("table"));
        Ok(tables.filter_map(|table| container.find(&resolve(folder, &table.target))).collect())
    }
}

/// The sheets as listed in the workbook part.
#[derive(Default)]
struct SheetList {
    sheets: Vec<ListedSheet>,
    uses_1904_dates: bool,
}

struct ListedSheet {
    name: String,
    id: String,
    is_hidden: bool,
}

impl SheetList {
    fn observe(&mut self, path: [&str; 2], tag: &BytesStart<'_>) -> Result<(), Fault> {
        match path {
            ["workbook", "workbookPr"] => {
                self.uses_1904_dates =
                    attribute(tag, "date1904").is_some_and(|set| matches!(set.trim(), "1" | "true" | "on"));
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

/// The relationship id of a sheet; its namespace prefix varies between programs.
fn relationship_id(sheet: &BytesStart<'_>) -> Result<String, Fault> {
    let mut ids = attributes(sheet).flatten().filter(|attribute| attribute.name.rsplit(':').next() == Some("id"));
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id.value.to_owned()),
        (None, _) => Err(inconsistent("a sheet has no part")),
        (Some(_), Some(_)) => Err(inconsistent("a sheet has more than one relationship id")),
    }
}

/// A relationship of one part to another.
struct Relationship {
    id: String,
    kind: String,
    target: String,
}

impl Relationship {
    /// Whether it is of this kind. Only the last segment is the same in both editions of the standard.
    fn has_kind(&self, kind: &str) -> bool {
        self.kind.rsplit('/').next() == Some(kind)
    }
}

fn relationships(
    container: &mut Container<'_>,
    part: &str,
    limits: &Limits,
    usage: &mut Usage,
) -> Result<Vec<Relationship>, Fault> {
    let mut found: Vec<Relationship> = Vec::new();
    let mut ids = HashSet::new();
    read_list(container, part, limits, usage, |path, tag| {
        if path != ["Relationships", "Relationship"] {
            return Ok(());
        }
        let value = |name| attribute(tag, name).map(|value| value.trim().to_owned()).unwrap_or_default();
        let one = Relationship { id: value("Id"), kind: value("Type"), target: value("Target") };
        if !ids.insert(one.id.clone()) {
            return Err(inconsistent(&format!("{part} has a duplicate id")));
        }
        if !value("TargetMode").eq_ignore_ascii_case("external") {
            found.push(one);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Reads a part of limited size, and passes each element to `observe` with the names of its parent and itself.
fn read_list(
    container: &mut Container<'_>,
    part: &str,
    limits: &Limits,
    usage: &mut Usage,
    mut observe: impl FnMut([&str; 2], &BytesStart<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let index = container.find(part).ok_or_else(|| inconsistent(&format!("part {part} is missing")))?;
    let mut xml = container.xml(index, limits, *usage)?;
    let mut open: Vec<String> = Vec::new();
    loop {
        if xml.bytes() > MAX_LIST_BYTES {
            return Err(Fault::TooLarge(format!("part {part} is larger than 1 MiB")));
        }
        match xml.next()?.0 {
            Event::Eof => break,
            Event::Start(tag) => {
                observe([open.last().map_or("", String::as_str), tag.local_name().as_ref()], &tag)?;
                open.push(tag.local_name().as_ref().to_owned());
            }
            Event::Empty(tag) => observe([open.last().map_or("", String::as_str), tag.local_name().as_ref()], &tag)?,
            Event::End(_) => {
                open.pop();
            }
            _ => {}
        }
    }
    usage.add(&xml);
    Ok(())
}

/// Resolves the target of a relationship against the folder of its source.
fn resolve(folder: &str, target: &str) -> String {
    let target = target.replace('\\', "/");
    let folder = if target.starts_with('/') { "" } else { folder };
    let mut path: Vec<&str> = Vec::new();
    for segment in folder.split('/').chain(target.split('/')) {
        match segment {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            segment => path.push(segment),
        }
    }
    path.join("/")
}

fn inconsistent(what: &str) -> Fault {
    Fault::Damaged(format!("its parts are inconsistent ({what})"))
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

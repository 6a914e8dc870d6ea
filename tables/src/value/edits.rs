//! Small changes to the parts of a workbook besides the valued sheet: a format for money, tables that span the new columns, and
//! the sheet with the summary. Everything else in these parts stays as it is.

use quick_xml::Reader;
use quick_xml::escape::escape;
use quick_xml::events::{BytesStart, Event};

use crate::workbook::{attribute, cell_reference, column_letters};

/// Inserts XML before the end of the first element with this name; `insertion` gets its namespace prefix with the colon. `None`
/// if there is no such element with content.
pub(super) fn insert_before_end(xml: &str, element: &str, insertion: impl FnOnce(&str) -> String) -> Option<String> {
    let mut reader = Reader::from_str(xml);
    loop {
        let start = usize::try_from(reader.buffer_position()).ok()?;
        match reader.read_event().ok()? {
            Event::End(tag) if tag.local_name().as_ref() == element => {
                let prefix = tag.name().prefix().map_or(String::new(), |prefix| format!("{}:", prefix.as_ref()));
                return Some(format!("{}{}{}", &xml[..start], insertion(&prefix), &xml[start..]));
            }
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// Changes attributes of the first start tag with this name; `None` if there is no such tag.
pub(super) fn set_attributes(xml: &str, element: &str, values: &[(&str, &str)]) -> Option<String> {
    let mut reader = Reader::from_str(xml);
    loop {
        let start = usize::try_from(reader.buffer_position()).ok()?;
        let (tag, is_empty) = match reader.read_event().ok()? {
            Event::Start(tag) => (tag, false),
            Event::Empty(tag) => (tag, true),
            Event::Eof => return None,
            _ => continue,
        };
        if tag.local_name().as_ref() != element {
            continue;
        }
        let kept = tag.attributes().flatten().filter(|kept| values.iter().all(|(name, _)| kept.key.as_ref() != *name));
        let kept = kept.map(|kept| format!(" {}=\"{}\"", kept.key.as_ref(), kept.value));
        let set = values.iter().map(|(name, value)| format!(" {name}=\"{}\"", escape(*value)));
        let attributes: String = kept.chain(set).collect();
        let close = if is_empty { "/>" } else { ">" };
        let end = usize::try_from(reader.buffer_position()).ok()?;
        return Some(format!("{}<{}{attributes}{close}{}", &xml[..start], tag.name().as_ref(), &xml[end..]));
    }
}

/// The styles with a format for whole numbers in groups of thousands, and its index.
pub(super) fn with_money_format(styles: &str) -> Option<(String, u32)> {
    let count = count(styles, "cellXfs", "xf");
    let styles = insert_before_end(styles, "cellXfs", |prefix| {
        format!(
            "<{prefix}xf numFmtId=\"3\" fontId=\"0\" fillId=\"0\" borderId=\"0\" xfId=\"0\" applyNumberFormat=\"1\"/>"
        )
    })?;
    let styles = set_attributes(&styles, "cellXfs", &[("count", &(count + 1).to_string())])?;
    Some((styles, count))
}

/// A range of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    first: (u32, u32),
    last: (u32, u32),
}

impl Range {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (first, last) = text.trim().split_once(':')?;
        Some(Self { first: cell_reference(first)?, last: cell_reference(last)? })
    }

    /// The range with more columns, if it starts in the header row and ends at the column before them; otherwise `None`.
    pub(super) fn extended(self, header_row: u32, first_column: u32, columns: u32) -> Option<Self> {
        let (last_column, last_row) = self.last;
        (self.first.1 == header_row && last_column + 1 == first_column)
            .then_some(Self { last: (last_column + columns, last_row), ..self })
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [(first, top), (last, bottom)] = [self.first, self.last];
        write!(f, "{}{top}:{}{bottom}", column_letters(first), column_letters(last))
    }
}

/// A table part with the new columns, if the table ends where they begin.
pub(super) fn extended_table(table: &str, header_row: u32, first_column: u32, headers: &[String]) -> Option<String> {
    let range = first_tag(table, "table").and_then(|tag| Range::parse(&attribute(&tag, "ref")?))?;
    let columns = u32::try_from(headers.len()).ok()?;
    let range = range.extended(header_row, first_column, columns)?.to_string();
    let count = count(table, "tableColumns", "tableColumn");
    let last_id = last_column_id(table);
    let mut extended = set_attributes(table, "table", &[("ref", &range)])?;
    if let Some(filter) = first_tag(&extended, "autoFilter").and_then(|tag| Range::parse(&attribute(&tag, "ref")?)) {
        let filter = filter.extended(header_row, first_column, columns)?.to_string();
        extended = set_attributes(&extended, "autoFilter", &[("ref", &filter)])?;
    }
    let extended = insert_before_end(&extended, "tableColumns", |prefix| {
        let column =
            |(id, header): (u32, &String)| format!("<{prefix}tableColumn id=\"{id}\" name=\"{}\"/>", escape(header));
        (last_id + 1..).zip(headers).map(column).collect()
    })?;
    set_attributes(&extended, "tableColumns", &[("count", &(count + columns).to_string())])
}

/// The first start tag with this name.
fn first_tag<'x>(xml: &'x str, element: &str) -> Option<BytesStart<'x>> {
    let mut reader = Reader::from_str(xml);
    loop {
        match reader.read_event().ok()? {
            Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == element => return Some(tag),
            Event::Eof => return None,
            _ => {}
        }
    }
}

/// The start tags with this name, as far as the XML can be read.
fn tags<'x>(xml: &'x str, element: &str) -> Vec<BytesStart<'x>> {
    let mut reader = Reader::from_str(xml);
    let mut found = Vec::new();
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(tag) | Event::Empty(tag) if tag.local_name().as_ref() == element => found.push(tag),
            Event::Eof => break,
            _ => {}
        }
    }
    found
}

fn last_column_id(table: &str) -> u32 {
    let ids = tags(table, "tableColumn").into_iter().filter_map(|tag| attribute(&tag, "id")?.trim().parse().ok());
    ids.max().unwrap_or_default()
}

/// The number of elements with this name directly within the first `parent`.
fn count(xml: &str, parent: &str, element: &str) -> u32 {
    let mut reader = Reader::from_str(xml);
    let (mut depth, mut count) = (0_u32, 0);
    while let Ok(event) = reader.read_event() {
        match event {
            Event::Start(tag) => {
                count += u32::from(depth == 1 && tag.local_name().as_ref() == element);
                if depth > 0 || tag.local_name().as_ref() == parent {
                    depth += 1;
                }
            }
            Event::Empty(tag) => count += u32::from(depth == 1 && tag.local_name().as_ref() == element),
            Event::End(_) if depth == 1 => return count,
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::Eof => break,
            _ => {}
        }
    }
    count
}

/// The name and the number of another sheet, which no sheet of the workbook has.
pub(super) fn new_sheet(workbook: &str, name: &str) -> (String, u32) {
    let sheets = tags(workbook, "sheet");
    let names: Vec<String> =
        sheets.iter().filter_map(|sheet| attribute(sheet, "name")).map(|name| name.to_lowercase()).collect();
    let numbered = (2_u32..).map(|number| format!("{name} {number}"));
    let name = std::iter::once(name.to_owned()).chain(numbered).find(|name| !names.contains(&name.to_lowercase()));
    let ids = sheets.iter().filter_map(|sheet| attribute(sheet, "sheetId")?.trim().parse::<u32>().ok());
    (name.unwrap_or_default(), ids.max().unwrap_or_default().saturating_add(1))
}

/// The name of the attribute with the relationship of a sheet, and the type of a sheet's relationship, which differ between the
/// editions of the standard.
pub(super) fn sheet_relationship(workbook: &str, relationships: &str) -> Option<(String, String)> {
    let sheet = first_tag(workbook, "sheet")?;
    let name = sheet.attributes().flatten().map(|attribute| attribute.key.as_ref().to_owned());
    let name = name.into_iter().find(|name| name.rsplit(':').next() == Some("id"))?;
    let kinds =
        tags(relationships, "Relationship").into_iter().filter_map(|tag| Some(attribute(&tag, "Type")?.into_owned()));
    let kind = kinds.into_iter().find(|kind| kind.rsplit('/').next() == Some("worksheet"))?;
    Some((name, kind))
}

/// The namespace of the elements of a part.
pub(super) fn namespace(xml: &str, root: &str) -> Option<String> {
    let tag = first_tag(xml, root)?;
    let key = tag.name().prefix().map_or_else(|| "xmlns".to_owned(), |prefix| format!("xmlns:{}", prefix.as_ref()));
    attribute(&tag, &key).map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_for_money_is_appended() {
        let styles =
            "<s:styleSheet><s:cellXfs count=\"2\"><s:xf><s:alignment/></s:xf><s:xf/></s:cellXfs><s:x/></s:styleSheet>";
        let (styles, index) = with_money_format(styles).unwrap();
        assert_eq!(index, 2);
        assert!(
            styles.contains("<s:cellXfs count=\"3\"><s:xf><s:alignment/></s:xf><s:xf/><s:xf numFmtId=\"3\""),
            "{styles}"
        );
        assert_eq!(with_money_format("<styleSheet><cellXfs/></styleSheet>"), None);
    }

    #[test]
    fn a_table_that_ends_before_the_new_columns_is_extended() {
        let table = "<table id=\"1\" ref=\"A2:C9\"><autoFilter ref=\"A2:C9\"/><tableColumns count=\"3\"><tableColumn id=\"1\" \
                     name=\"a\"/><tableColumn id=\"7\" name=\"b\"/><tableColumn id=\"3\" name=\"c\"/></tableColumns></table>";
        let headers = ["Оценка, ₽".to_owned(), "a&b".to_owned()];
        let extended = extended_table(table, 2, 3, &headers).unwrap();
        assert!(extended.contains("ref=\"A2:E9\"><autoFilter ref=\"A2:E9\"/><tableColumns count=\"5\">"), "{extended}");
        assert!(extended.ends_with(
            "<tableColumn id=\"8\" name=\"Оценка, ₽\"/><tableColumn id=\"9\" name=\"a&amp;b\"/></tableColumns></table>"
        ));
        assert_eq!(extended_table(table, 2, 4, &headers), None, "another one stays as it is");
        assert_eq!(extended_table(table, 1, 3, &headers), None);
    }

    #[test]
    fn a_new_sheet_has_a_name_and_a_number_of_its_own() {
        let workbook = "<w><sheets><sheet name=\"итоги\" sheetId=\"4\" r:id=\"a\"/><sheet name=\"x\" sheetId=\"9\" r:id=\"b\"/></sheets></w>";
        assert_eq!(new_sheet(workbook, "Итоги"), ("Итоги 2".to_owned(), 10));
        let relationships =
            "<R><Relationship Type=\"http://x/styles\"/><Relationship Type=\"http://x/worksheet\"/></R>";
        let expected = Some(("r:id".to_owned(), "http://x/worksheet".to_owned()));
        assert_eq!(sheet_relationship(workbook, relationships), expected);
    }
}

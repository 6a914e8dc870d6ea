//! Cell formats that show a number as a date.

use std::collections::HashSet;
use std::io::BufRead;

use quick_xml::events::{BytesStart, Event};

use super::xml::{XmlReader, attribute};
use crate::error::Fault;

/// The maximum number of formats; Excel supports fewer.
const MAX_FORMATS: usize = 100_000;

/// The cell formats, which cells refer to by index.
#[derive(Debug, Default)]
pub(crate) struct Formats {
    shows_date: Vec<bool>,
}

impl Formats {
    pub(crate) fn read(xml: &mut XmlReader<impl BufRead>) -> Result<Self, Fault> {
        let mut dates = HashSet::new();
        let mut formats = Vec::new();
        let mut section = String::new();
        loop {
            let (event, depth) = xml.next()?;
            // The depth of the element itself.
            let (tag, depth) = match &event {
                Event::Start(tag) => (tag, depth),
                Event::Empty(tag) => (tag, depth + 1),
                Event::Eof => break,
                _ => continue,
            };
            match (depth, section.as_str(), tag.local_name().as_ref()) {
                (2, _, name) => name.clone_into(&mut section),
                (3, "numFmts", "numFmt") if attribute(tag, "formatCode").is_some_and(|code| shows_date(&code)) => {
                    dates.extend(number_format(tag));
                }
                (3, "cellXfs", "xf") => formats.push(number_format(tag).unwrap_or_default()),
                _ => {}
            }
            if formats.len().max(dates.len()) > MAX_FORMATS {
                return Err(Fault::TooLarge(format!("the workbook has more than {MAX_FORMATS} formats")));
            }
        }
        let is_date = |format: u32| matches!(format, 14..=22 | 27..=36 | 45 | 47 | 50..=58) || dates.contains(&format);
        Ok(Self { shows_date: formats.into_iter().map(is_date).collect() })
    }

    /// Whether a format shows dates or times of day.
    pub(crate) fn shows_date(&self, format: usize) -> bool {
        self.shows_date.get(format).copied().unwrap_or_default()
    }
}

fn number_format(tag: &BytesStart<'_>) -> Option<u32> {
    attribute(tag, "numFmtId")?.trim().parse().ok()
}

/// Whether the section for positive numbers of a number format contains a date or time. An elapsed time such as `[h]:mm`
/// is a duration, not a date.
fn shows_date(pattern: &str) -> bool {
    let mut characters = pattern.chars();
    while let Some(c) = characters.next() {
        match c {
            ';' => return false,
            '\\' | '_' | '*' => {
                characters.next();
            }
            '"' => {
                characters.find(|c| *c == '"');
            }
            '[' => {
                let bracketed: String = characters.by_ref().take_while(|c| *c != ']').collect();
                let is_elapsed =
                    |unit: char| !bracketed.is_empty() && bracketed.chars().all(|c| c.eq_ignore_ascii_case(&unit));
                if ['h', 'm', 's'].into_iter().any(is_elapsed) {
                    return false;
                }
            }
            _ if matches!(c.to_ascii_lowercase(), 'd' | 'm' | 'y' | 'h' | 's') => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn date_formats_are_recognized() {
        for pattern in ["dd.mm.yyyy", "[$-419]D MMMM YYYY;@", "h:mm", "m\"M\"d\"D\";@", "*-yyyy", "[Red]dd/mm"] {
            assert!(shows_date(pattern), "{pattern}");
        }
        for pattern in [
            "General",
            "0.00E+00",
            "#,##0\\ [$\u{20bd}-46D]",
            "0\" km, days\"",
            "#,##0_);[Red]d",
            "[h]:mm:ss",
            "[mm]",
            "\\Y000",
            "#,##0*y",
            "@",
            "\"open",
            "[open",
            "\\",
        ] {
            assert!(!shows_date(pattern), "{pattern}");
        }
    }

    #[test]
    fn only_cell_formats_are_read() {
        let xml = "<styleSheet><numFmts><numFmt numFmtId=\"164\" formatCode=\"dd.mm.yy\"/></numFmts>\
            <cellStyleXfs><xf numFmtId=\"14\"/></cellStyleXfs>\
            <cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"14\"><alignment/></xf><xf numFmtId=\"164\"/><xf/></cellXfs>\
            <dxfs><dxf><numFmt numFmtId=\"0\" formatCode=\"dd\"/></dxf></dxfs></styleSheet>";
        let formats = Formats::read(&mut XmlReader::new(xml.as_bytes(), "s.xml", 100).unwrap()).unwrap();
        assert_eq!(formats.shows_date, [false, true, true, false]);
        assert!(!formats.shows_date(4));
    }
}

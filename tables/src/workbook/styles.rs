//! Which formats show a number as a date.

use std::collections::HashSet;
use std::io::BufRead;

use quick_xml::events::{BytesStart, Event};

use super::xml::{Xml, attribute};
use crate::error::Fault;

/// The most formats; no spreadsheet program supports as many.
const MAX_FORMATS: usize = 100_000;

/// The formats that cells refer to by their number.
#[derive(Debug, Default)]
pub(crate) struct Formats {
    shows_date: Vec<bool>,
}

impl Formats {
    pub(crate) fn read(xml: &mut Xml<impl BufRead>) -> Result<Self, Fault> {
        let mut dates = HashSet::new();
        let mut formats = Vec::new();
        let mut section = String::new();
        loop {
            let (event, depth) = xml.next()?;
            // The depth of the tag itself.
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

    /// Whether cells of the format show dates or times of day.
    pub(crate) fn shows_date(&self, format: usize) -> bool {
        self.shows_date.get(format).copied().unwrap_or_default()
    }
}

fn number_format(tag: &BytesStart<'_>) -> Option<u32> {
    attribute(tag, "numFmtId")?.trim().parse().ok()
}

/// Whether a pattern has a day, month, year or time in it, looking at what it says of positive numbers. One of hours or
/// minutes that go on counting, such as `[h]:mm`, shows a length of time.
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
                let inside: String = characters.by_ref().take_while(|c| *c != ']').collect();
                let counts = |unit: char| !inside.is_empty() && inside.chars().all(|c| c.eq_ignore_ascii_case(&unit));
                if ['h', 'm', 's'].into_iter().any(counts) {
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
    fn patterns_of_dates_are_told_from_others() {
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
    fn only_the_formats_of_cells_count() {
        let xml = "<styleSheet><numFmts><numFmt numFmtId=\"164\" formatCode=\"dd.mm.yy\"/></numFmts>\
            <cellStyleXfs><xf numFmtId=\"14\"/></cellStyleXfs>\
            <cellXfs><xf numFmtId=\"0\"/><xf numFmtId=\"14\"><alignment/></xf><xf numFmtId=\"164\"/><xf/></cellXfs>\
            <dxfs><dxf><numFmt numFmtId=\"0\" formatCode=\"dd\"/></dxf></dxfs></styleSheet>";
        let formats = Formats::read(&mut Xml::new(xml.as_bytes(), "s.xml", 100).unwrap()).unwrap();
        assert_eq!(formats.shows_date, [false, true, true, false]);
        assert!(!formats.shows_date(4));
    }
}

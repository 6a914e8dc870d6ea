//! XML read strictly and in bounded memory. Anything that two parsers might read differently is rejected: the sheet that
//! is valued must be the one that users see, and the output must be well-formed.

mod attributes;
mod characters;
mod limit;
mod namespaces;
mod problem;
mod validator;

use std::io::BufRead;
use std::sync::Arc;

use quick_xml::events::Event;

pub(crate) use attributes::{attribute, attributes, values};
pub(crate) use characters::{is_xml_character, text_of};

use crate::error::Fault;
use limit::LimitedReader;
use problem::Problem;
use validator::Validator;

/// The maximum size of an event in bytes, such as the text between two tags. Far more than any cell needs.
const MAX_EVENT_BYTES: usize = 1 << 20;

/// Reads the XML of a part, event by event.
pub(crate) struct XmlReader<R> {
    reader: quick_xml::Reader<LimitedReader<R>>,
    buffer: Vec<u8>,
    part: String,
    max_elements: u64,
    validator: Validator,
}

impl<R: BufRead> XmlReader<R> {
    /// A reader of a part with at most `max_elements` elements and comments.
    pub(crate) fn new(mut input: R, part: &str, max_elements: u64) -> Result<Self, Fault> {
        let head = input.fill_buf().map_err(Fault::from_read)?;
        if head.starts_with(&[0xFE, 0xFF]) || head.starts_with(&[0xFF, 0xFE]) || head.iter().take(4).any(|b| *b == 0) {
            return Err(Problem::NotUtf8.in_part(part));
        }
        let mut reader = quick_xml::Reader::from_reader(LimitedReader::new(input, MAX_EVENT_BYTES));
        reader.config_mut().check_comments = true;
        let validator = Validator::default();
        Ok(Self { reader, buffer: Vec::new(), part: part.to_owned(), max_elements, validator })
    }

    /// The next event, and the number of open elements after it: a start tag counts itself, an empty element does not.
    /// Returns [`Event::Eof`] at the end of the document.
    pub(crate) fn next(&mut self) -> Result<(Event<'_>, usize), Fault> {
        self.buffer.clear();
        self.reader.get_mut().reset(MAX_EVENT_BYTES);
        let event = self.reader.read_event_into(&mut self.buffer).map_err(|error| from_xml(error, &self.part))?;
        self.validator.check(&event).map_err(|problem| problem.in_part(&self.part))?;
        if self.validator.elements() > self.max_elements {
            return Err(Problem::LimitExceeded("too many elements").in_part(&self.part));
        }
        Ok((event, self.validator.depth()))
    }

    /// Reads and validates the rest.
    pub(crate) fn read_to_end(&mut self) -> Result<(), Fault> {
        while !matches!(self.next()?, (Event::Eof, _)) {}
        Ok(())
    }

    /// The number of elements and comments so far.
    pub(crate) fn elements(&self) -> u64 {
        self.validator.elements()
    }

    /// The number of bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.reader.buffer_position()
    }
}

fn from_xml(error: quick_xml::Error, part: &str) -> Fault {
    match error {
        quick_xml::Error::Io(error) => match Arc::try_unwrap(error) {
            Ok(error) => Fault::from_read(error),
            Err(error) => Fault::Damaged(error.to_string()),
        },
        quick_xml::Error::Encoding(_) => Problem::NotUtf8.in_part(part),
        other => Fault::Damaged(format!("its part {part} is not well-formed XML: {other}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(xml: &str) -> Result<u64, Fault> {
        read_bytes(xml.as_bytes())
    }

    fn read_bytes(xml: &[u8]) -> Result<u64, Fault> {
        let mut xml = XmlReader::new(xml, "a.xml", 1_000_000)?;
        xml.read_to_end()?;
        Ok(xml.elements())
    }

    fn nested(depth: usize) -> String {
        format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth))
    }

    #[test]
    fn well_formed_xml_is_read() {
        for (xml, elements) in [
            ("\u{feff}<?xml version='1.0' encoding=\"utf-8\" standalone='yes'?>\n<a/>\n", 1),
            ("<a b = 'c\"'\t d=\"/>'\"><e/><f /></a >", 3),
            ("<x:a x:b='' xmlns:x='y' xml:space='' b=''><x:а.б-в_1/><!-- < & -->&#10;&amp;&#x416;</x:a>", 3),
            ("<a>]] > ж<![CDATA[<&]]]]></a><!-- --><?b c?>", 4),
            (&nested(256), 256),
        ] {
            assert_eq!(read(xml).unwrap(), elements, "{xml}");
        }
    }

    #[test]
    fn malformed_xml_is_rejected() {
        let ends = ["", " ", "<a>", "<a><b></a>", "</a>", "<a/></a>", "<a></b>", "<a/", "<a", "<a><!-- --", "<a>&lt"];
        let roots = ["<a/><b/>", "x<a/>", "<a/>x", "<a/>&lt;", "<![CDATA[]]><a/>"];
        let names = ["<>", "< a/>", "<1a/>", "<a:/>", "<:a/>", "<a:b:c/>", "<a//>", "<a/ >", "<a\u{c}/>", "<a =''/>"];
        let attributes = [
            "<a b/>",
            "<a b=c/>",
            "<a b='1'c='2'/>",
            "<a b='1' b='2'/>",
            "<a b='<'/>",
            "<a b='&'/>",
            "<a b='&x;'/>",
            "<a b='&#0;'/>",
            "<a b='\u{1}'/>",
            "<a 1='2'/>",
            "<a <b/>",
            "<a b='/>",
            "<a></a b='c'>",
            "<a b=''/ >",
        ];
        let texts = ["<a>\u{1}</a>", "<a>\u{ffff}</a>", "<a>]]></a>", "<a>&</a>", "<a>&nbsp;</a>", "<a>&#1;</a>"];
        let others = [
            "<!-- -- --><a/>",
            " <?xml version='1.0'?><a/>",
            "<a/><?xml version='1.0'?>",
            "<a><?XML b?></a>",
            "<?xml version='1.1'?><a/>",
            "<?xml encoding='utf-8' version='1.0'?><a/>",
            "<?xml version='1.0' version='1.0'?><a/>",
            "<?xml version='1.0' standalone='maybe'?><a/>",
            "<?xml version='1.0' x='y'?><a/>",
            "<?xml version='1.0'encoding='utf-8'?><a/>",
            "<?xml version='1.0' x?><a/>",
            "<?xml?><a/>",
        ];
        let prefixes = [
            "<x:a/>",
            "<a x:b=''/>",
            "<a><x:b xmlns:x='y'/><x:c/></a>",
            "<a><b xmlns:x='y'><x:c/></b><x:d/></a>",
            "<a xmlns:x=''/>",
            "<a xmlns:xmlns='y'/>",
        ];
        let all = [&ends[..], &roots, &names, &attributes, &texts, &others, &prefixes].concat();
        for xml in all {
            let result = read(xml);
            assert!(matches!(result, Err(Fault::Damaged(_))), "{xml}: {result:?}");
        }
    }

    #[test]
    fn only_utf_8_is_read() {
        let utf16: Vec<u8> = "<a/>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let marked = [&[0xFF, 0xFE], utf16.as_slice()].concat();
        let windows = b"<?xml version='1.0' encoding='windows-1251'?><a/>";
        for xml in [&utf16, &marked, windows.as_slice(), b"<a>\xFF</a>", b"<a b='\xC0\x80'/>"] {
            let error = read_bytes(xml).unwrap_err().to_string();
            assert!(error.contains("a.xml is not UTF-8"), "{error}");
        }
    }

    #[test]
    fn document_type_definitions_are_rejected() {
        for xml in ["<!DOCTYPE a><a/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"] {
            assert!(matches!(read(xml), Err(Fault::Dtd { .. })), "{xml}");
        }
        assert!(matches!(read("<a><!ENTITY b 'c'></a>"), Err(Fault::Damaged(_))));
    }

    #[test]
    fn sizes_are_limited() {
        let many = |part: &str, count: usize| part.repeat(count);
        let attribute = |id: usize| format!("b{id}='' ");
        assert!(read(&format!("<a>{}</a>", many("b<c/>", 400_000))).is_ok());
        for xml in [
            format!("<a>{}</a>", many("b", 1_100_000)),
            format!("<{}/>", many("b", 1_100_000)),
            format!("<a b='{}'/>", many("c", 70_000)),
            format!("<a b='{}'/>", many("c", 1_100_000)),
            format!("<a/><!-- {} -->", many("b", 70_000)),
            format!("<a/><?b {}?>", many("b", 70_000)),
            format!("<a><![CDATA[{}]]></a>", many("]", 1_100_000)),
            format!("<a>&{};</a>", many("b", 1_100_000)),
            format!("<a {}/>", (0..201).map(attribute).collect::<String>()),
            format!("<a>{}</a>", many("<b/>", 1_000_000)),
            nested(257),
        ] {
            assert!(matches!(read(&xml), Err(Fault::TooLarge(_))), "{}", &xml[..20]);
        }
    }
}

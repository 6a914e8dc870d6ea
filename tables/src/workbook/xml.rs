//! XML read strictly and in bounded memory. Anything that two parsers might read differently is rejected: what is valued
//! must be what a person sees, and what is written must be well-formed.

use std::borrow::Cow;
use std::io::{self, BufRead, Read};
use std::ops::Range;
use std::sync::Arc;

use quick_xml::escape::unescape;
use quick_xml::events::{BytesDecl, BytesRef, BytesStart, Event};

use super::namespaces::Namespaces;
use crate::error::Fault;

/// The longest event, in bytes: a text between two tags, say. Far more than any cell needs.
const MAX_EVENT: usize = 1 << 20;
/// The longest tag, comment or processing instruction, in bytes.
const MAX_TAG: usize = 64 << 10;
/// Most attributes of a tag: each is compared with each.
const MAX_ATTRIBUTES: usize = 200;
/// Most open elements: the names of all of them are kept.
const MAX_DEPTH: usize = 256;

/// Reads the XML of a part, event by event.
pub(crate) struct Xml<R> {
    reader: quick_xml::Reader<Capped<R>>,
    buffer: Vec<u8>,
    part: String,
    max_elements: u64,
    position: Position,
}

#[derive(Default)]
struct Position {
    /// Elements that are open, the one that was just begun included.
    depth: usize,
    has_root: bool,
    /// Anything at all was read: an XML declaration may only come before it.
    has_begun: bool,
    elements: u64,
    /// Where the names of a tag's attributes stand in it.
    names: Vec<Range<usize>>,
    namespaces: Namespaces,
}

impl<R: BufRead> Xml<R> {
    /// Reads a part that may have so many elements, comments included.
    pub(crate) fn new(mut input: R, part: &str, max_elements: u64) -> Result<Self, Fault> {
        let head = input.fill_buf().map_err(Fault::from_read)?;
        if head.starts_with(&[0xFE, 0xFF]) || head.starts_with(&[0xFF, 0xFE]) || head.iter().take(4).any(|b| *b == 0) {
            return Err(Problem::NotUtf8.in_part(part));
        }
        let mut reader = quick_xml::Reader::from_reader(Capped { input, left: MAX_EVENT });
        reader.config_mut().check_comments = true;
        let position = Position::default();
        Ok(Self { reader, buffer: Vec::new(), part: part.to_owned(), max_elements, position })
    }

    /// The next event, and how many elements are open behind it: one that has just begun counts, one that is empty or has
    /// just ended does not. [`Event::Eof`] comes once the root element has ended and nothing follows it.
    pub(crate) fn next(&mut self) -> Result<(Event<'_>, usize), Fault> {
        self.buffer.clear();
        self.reader.get_mut().left = MAX_EVENT;
        let event = self.reader.read_event_into(&mut self.buffer).map_err(|error| from_xml(error, &self.part))?;
        self.position.check(&event).map_err(|problem| problem.in_part(&self.part))?;
        if self.position.elements > self.max_elements {
            return Err(Problem::TooMuch("more elements than are accepted").in_part(&self.part));
        }
        Ok((event, self.position.depth))
    }

    /// Reads and validates the rest.
    pub(crate) fn read_to_end(&mut self) -> Result<(), Fault> {
        while !matches!(self.next()?, (Event::Eof, _)) {}
        Ok(())
    }

    /// Elements so far, comments included.
    pub(crate) fn elements(&self) -> u64 {
        self.position.elements
    }

    /// Bytes so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.reader.buffer_position()
    }
}

impl Position {
    fn check(&mut self, event: &Event<'_>) -> Result<(), Problem> {
        match event {
            Event::Text(text) => {
                if self.depth == 0 && !text.bytes().all(is_space) {
                    return Err(Problem::Malformed("has text outside of its root element"));
                }
                check_text(text)?;
            }
            Event::Start(tag) => {
                self.begin(tag)?;
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(Problem::TooMuch("elements nested more than 256 deep"));
                }
            }
            Event::Empty(tag) => {
                self.begin(tag)?;
                self.namespaces.close(self.depth);
            }
            // Its name was compared by the reader.
            Event::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                self.namespaces.close(self.depth);
            }
            Event::GeneralRef(reference) if self.depth > 0 => {
                resolve(reference)?;
            }
            Event::CData(text) if self.depth > 0 => {
                check_characters(text)?;
                self.elements += 1;
            }
            Event::GeneralRef(_) | Event::CData(_) => {
                return Err(Problem::Malformed("has text outside of its root element"));
            }
            Event::Comment(text) => self.check_aside(text)?,
            Event::PI(instruction) => {
                check_name(instruction.target())?;
                if instruction.target().contains(':') {
                    return Err(BAD_NAME);
                }
                if instruction.target().eq_ignore_ascii_case("xml") {
                    return Err(Problem::Malformed("has an XML declaration that is not at its beginning"));
                }
                self.check_aside(instruction)?;
            }
            Event::Decl(declaration) => {
                if self.has_begun {
                    return Err(Problem::Malformed("has an XML declaration that is not at its beginning"));
                }
                check_declaration(declaration)?;
            }
            Event::DocType(_) => return Err(Problem::Dtd),
            Event::Eof if self.depth > 0 => return Err(Problem::Malformed("breaks off in the middle")),
            Event::Eof if !self.has_root => return Err(Problem::Malformed("is empty")),
            Event::Eof => {}
        }
        self.has_begun = true;
        Ok(())
    }

    fn begin(&mut self, tag: &BytesStart<'_>) -> Result<(), Problem> {
        self.elements += 1;
        if self.depth == 0 && std::mem::replace(&mut self.has_root, true) {
            return Err(Problem::Malformed("has a second root element"));
        }
        if tag.len() > MAX_TAG {
            return Err(Problem::TooMuch("a tag of more than 64 kilobytes"));
        }
        check_name(tag.name().as_ref())?;
        self.check_attributes(tag)?;
        self.check_prefixes(tag)
    }

    fn check_attributes(&mut self, tag: &BytesStart<'_>) -> Result<(), Problem> {
        let raw = tag.attributes_raw();
        self.names.clear();
        for attribute in attributes(tag) {
            let Some(Attribute { name, value, .. }) = attribute else { return Err(BAD_ATTRIBUTE) };
            check_name(name)?;
            check_value(value)?;
            if self.names.iter().any(|earlier| &raw[earlier.clone()] == name) {
                return Err(Problem::Malformed("has a tag with one attribute twice"));
            }
            if self.names.len() == MAX_ATTRIBUTES {
                return Err(Problem::TooMuch("a tag of more than 200 attributes"));
            }
            let begin = name.as_ptr().addr() - raw.as_ptr().addr();
            self.names.push(begin..begin + name.len());
            if let Some(prefix) = name.strip_prefix("xmlns:") {
                if value.is_empty() || prefix == "xmlns" {
                    return Err(Problem::Malformed("declares a namespace that cannot be"));
                }
                self.namespaces.declare(prefix, self.depth + 1);
            }
        }
        Ok(())
    }

    fn check_prefixes(&self, tag: &BytesStart<'_>) -> Result<(), Problem> {
        let names = self.names.iter().map(|name| &tag.attributes_raw()[name.clone()]);
        if names.chain([tag.name().into_inner()]).all(|name| self.namespaces.know(name)) {
            return Ok(());
        }
        Err(Problem::Malformed("has a prefix that is not declared"))
    }

    /// Checks a comment or a processing instruction.
    fn check_aside(&mut self, text: &str) -> Result<(), Problem> {
        self.elements += 1;
        if text.len() > MAX_TAG {
            return Err(Problem::TooMuch("a comment of more than 64 kilobytes"));
        }
        check_characters(text)
    }
}

/// Why XML is rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    TooMuch(&'static str),
    Malformed(&'static str),
    NotUtf8,
    Dtd,
}

impl Problem {
    fn in_part(self, part: &str) -> Fault {
        match self {
            Self::TooMuch(what) => Fault::TooLarge(format!("its part {part} holds {what}")),
            Self::Malformed(how) => Fault::Damaged(format!("its part {part} {how}")),
            Self::NotUtf8 => Fault::Damaged(format!("its part {part} is not UTF-8")),
            Self::Dtd => Fault::Dtd { part: part.to_owned() },
        }
    }
}

const BAD_NAME: Problem = Problem::Malformed("has a name that XML does not allow");
const BAD_ATTRIBUTE: Problem = Problem::Malformed("has an attribute that is not well-formed");
const BAD_CHARACTER: Problem = Problem::Malformed("has a character that XML does not allow");

fn check_declaration(declaration: &BytesDecl<'_>) -> Result<(), Problem> {
    let malformed = Problem::Malformed("has a damaged XML declaration");
    let mut expected = ["version", "encoding", "standalone"].into_iter();
    let mut has_version = false;
    for attribute in attributes_in(declaration.strip_prefix("xml").unwrap_or_default()) {
        let Attribute { name, value, .. } = attribute.ok_or(malformed)?;
        // Each at most once, and in this order.
        if !expected.any(|other| other == name) {
            return Err(malformed);
        }
        has_version |= name == "version";
        match name {
            "version" if value != "1.0" => return Err(Problem::Malformed("is not XML 1.0")),
            "encoding" if !is_utf8(value) => return Err(Problem::NotUtf8),
            "standalone" if !matches!(value, "yes" | "no") => return Err(malformed),
            _ => {}
        }
    }
    if has_version { Ok(()) } else { Err(malformed) }
}

fn is_utf8(encoding: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"].iter().any(|utf8| encoding.eq_ignore_ascii_case(utf8))
}

/// Names with at most one prefix, as namespaces want them.
fn check_name(name: &str) -> Result<(), Problem> {
    let is_name = |part: &str| {
        let bytes = part.as_bytes();
        let begins = bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_' || *byte >= 0x80);
        begins && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.') || *b >= 0x80)
    };
    let is_good = match name.split_once(':') {
        Some((prefix, local)) => is_name(prefix) && is_name(local),
        None => is_name(name),
    };
    if is_good { Ok(()) } else { Err(BAD_NAME) }
}

fn check_value(value: &str) -> Result<(), Problem> {
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'<' | b'&')) {
        return Ok(());
    }
    check_characters(value)?;
    if value.contains('<') || (value.contains('&') && !unescape(value).is_ok_and(|text| is_xml(&text))) {
        return Err(BAD_ATTRIBUTE);
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), Problem> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b']') {
        return Ok(());
    }
    if text.contains("]]>") {
        return Err(Problem::Malformed("has ]]> within a text"));
    }
    check_characters(text)
}

fn check_characters(text: &str) -> Result<(), Problem> {
    if is_xml(text) { Ok(()) } else { Err(BAD_CHARACTER) }
}

fn is_xml(text: &str) -> bool {
    if text.is_ascii() {
        return text.bytes().all(|byte| byte >= b' ' || is_space(byte));
    }
    text.chars().all(is_xml_character)
}

/// Whether XML may hold the character.
pub(crate) fn is_xml_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The text that a reference stands for.
fn resolve(reference: &BytesRef<'_>) -> Result<char, Problem> {
    let resolved = match reference.as_ref() {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => reference.resolve_char_ref().ok().flatten(),
    };
    resolved.filter(|c| is_xml_character(*c)).ok_or(Problem::Malformed("has a reference that stands for nothing"))
}

/// The text of an event that has one: of a text, a reference or a CDATA section.
pub(crate) fn text_of<'e>(event: &'e Event<'_>) -> Option<Cow<'e, str>> {
    match event {
        Event::Text(text) => Some(text.xml10_content()),
        Event::CData(text) => Some(text.xml10_content()),
        Event::GeneralRef(reference) => resolve(reference).ok().map(|c| Cow::Owned(c.to_string())),
        _ => None,
    }
}

/// An attribute as it stands in its tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'t> {
    pub(crate) name: &'t str,
    /// Between the quotation marks, references not resolved.
    pub(crate) value: &'t str,
    /// All of it, quotation marks included.
    pub(crate) raw: &'t str,
}

/// The attributes of a tag in order; `None` for what is none, after which nothing comes.
pub(crate) fn attributes<'t>(tag: &'t BytesStart<'_>) -> impl Iterator<Item = Option<Attribute<'t>>> {
    attributes_in(tag.attributes_raw())
}

fn attributes_in(mut rest: &str) -> impl Iterator<Item = Option<Attribute<'_>>> {
    std::iter::from_fn(move || {
        let begin = trim_start(rest);
        if begin.is_empty() {
            return None;
        }
        let is_apart = begin.len() < rest.len();
        rest = "";
        Some(first_attribute(begin).filter(|_| is_apart).inspect(|one| rest = &begin[one.raw.len()..]))
    })
}

fn first_attribute(text: &str) -> Option<Attribute<'_>> {
    let name_ends = text.bytes().position(|byte| byte == b'=' || is_space(byte))?;
    let value = trim_start(trim_start(&text[name_ends..]).strip_prefix('=')?);
    let quote = value.bytes().next().filter(|byte| matches!(byte, b'"' | b'\''))?;
    let value_begins = text.len() - value.len() + 1;
    let value_ends = value_begins + text.as_bytes()[value_begins..].iter().position(|byte| *byte == quote)?;
    let (name, raw) = (&text[..name_ends], &text[..=value_ends]);
    Some(Attribute { name, value: &text[value_begins..value_ends], raw })
}

fn trim_start(text: &str) -> &str {
    let spaces = text.bytes().take_while(|byte| is_space(*byte)).count();
    &text[spaces..]
}

/// The names of attributes and their values, references resolved.
pub(crate) fn values<'t>(tag: &'t BytesStart<'_>) -> impl Iterator<Item = (&'t str, Cow<'t, str>)> {
    attributes(tag).flatten().filter_map(|Attribute { name, value, .. }| {
        let value = if value.contains('&') { unescape(value).ok()? } else { Cow::Borrowed(value) };
        Some((name, value))
    })
}

/// The value of an attribute by its whole name.
pub(crate) fn attribute<'t>(tag: &'t BytesStart<'_>, name: &str) -> Option<Cow<'t, str>> {
    values(tag).find(|(other, _)| *other == name).map(|(_, value)| value)
}

/// Limits the bytes read between two resets of the count, so that no event grows beyond the limit.
struct Capped<R> {
    input: R,
    left: usize,
}

impl<R: BufRead> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.fill_buf()?.read(buffer)?;
        self.consume(size);
        Ok(size)
    }
}

impl<R: BufRead> BufRead for Capped<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            let what = "one of its parts holds a text or a tag of more than a megabyte".to_owned();
            return Err(io::Error::other(Fault::TooLarge(what)));
        }
        let bytes = self.input.fill_buf()?;
        Ok(&bytes[..bytes.len().min(self.left)])
    }

    fn consume(&mut self, bytes: usize) {
        self.left -= bytes;
        self.input.consume(bytes);
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
        let mut xml = Xml::new(xml, "a.xml", 1_000_000)?;
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
    fn malformed_xml_is_damage() {
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
    fn document_types_are_refused() {
        for xml in ["<!DOCTYPE a><a/>", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"] {
            assert!(matches!(read(xml), Err(Fault::Dtd { .. })), "{xml}");
        }
        assert!(matches!(read("<a><!ENTITY b 'c'></a>"), Err(Fault::Damaged(_))));
    }

    #[test]
    fn what_would_have_to_be_held_whole_is_limited() {
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

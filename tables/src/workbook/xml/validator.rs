//! Checks that XML is well-formed and within its limits, event by event.

use std::ops::Range;

use quick_xml::escape::unescape;
use quick_xml::events::{BytesDecl, BytesStart, Event};

use super::attributes::{Attribute, attributes, attributes_in};
use super::characters::{is_space, is_xml, resolve};
use super::namespaces::Namespaces;
use super::problem::Problem;

/// The maximum size of a tag, comment or processing instruction in bytes.
const MAX_TAG_BYTES: usize = 64 << 10;
/// The maximum number of attributes of a tag: the search for duplicates is quadratic.
const MAX_ATTRIBUTES: usize = 200;
/// The maximum nesting depth: the names of all open elements are in memory.
const MAX_DEPTH: usize = 256;

/// The state of the checks.
#[derive(Default)]
pub(super) struct Validator {
    /// The number of open elements.
    depth: usize,
    has_root: bool,
    /// Whether there was an event: only the first one may be an XML declaration.
    has_started: bool,
    /// The number of elements and comments so far.
    elements: u64,
    /// The byte ranges of the attribute names in the current tag.
    names: Vec<Range<usize>>,
    namespaces: Namespaces,
}

impl Validator {
    pub(super) fn depth(&self) -> usize {
        self.depth
    }

    pub(super) fn elements(&self) -> u64 {
        self.elements
    }

    /// Checks the next event.
    pub(super) fn check(&mut self, event: &Event<'_>) -> Result<(), Problem> {
        match event {
            Event::Text(text) => {
                if self.depth == 0 && !text.bytes().all(is_space) {
                    return Err(Problem::Malformed("has text outside the root element"));
                }
                check_text(text)?;
            }
            Event::Start(tag) => {
                self.check_tag(tag)?;
                self.depth += 1;
                if self.depth > MAX_DEPTH {
                    return Err(Problem::LimitExceeded("elements nested more than 256 levels deep"));
                }
            }
            Event::Empty(tag) => {
                self.check_tag(tag)?;
                self.namespaces.close(self.depth);
            }
            // The reader has checked that the names match.
            Event::End(_) => {
                self.depth = self.depth.saturating_sub(1);
                self.namespaces.close(self.depth);
            }
            Event::GeneralRef(reference) if self.depth > 0 => {
                resolve(reference).ok_or(UNKNOWN_REFERENCE)?;
            }
            Event::CData(text) if self.depth > 0 => {
                check_characters(text)?;
                self.elements += 1;
            }
            Event::GeneralRef(_) | Event::CData(_) => {
                return Err(Problem::Malformed("has text outside the root element"));
            }
            Event::Comment(text) => self.check_comment(text)?,
            Event::PI(instruction) => {
                check_name(instruction.target())?;
                if instruction.target().contains(':') {
                    return Err(INVALID_NAME);
                }
                if instruction.target().eq_ignore_ascii_case("xml") {
                    return Err(Problem::Malformed("has an XML declaration that is not at the start"));
                }
                self.check_comment(instruction)?;
            }
            Event::Decl(declaration) => {
                if self.has_started {
                    return Err(Problem::Malformed("has an XML declaration that is not at the start"));
                }
                check_declaration(declaration)?;
            }
            Event::DocType(_) => return Err(Problem::Dtd),
            Event::Eof if self.depth > 0 => return Err(Problem::Malformed("is truncated")),
            Event::Eof if !self.has_root => return Err(Problem::Malformed("is empty")),
            Event::Eof => {}
        }
        self.has_started = true;
        Ok(())
    }

    fn check_tag(&mut self, tag: &BytesStart<'_>) -> Result<(), Problem> {
        self.elements += 1;
        if self.depth == 0 && std::mem::replace(&mut self.has_root, true) {
            return Err(Problem::Malformed("has a second root element"));
        }
        if tag.len() > MAX_TAG_BYTES {
            return Err(Problem::LimitExceeded("a tag of more than 64 kilobytes"));
        }
        check_name(tag.name().as_ref())?;
        self.check_attributes(tag)?;
        self.check_prefixes(tag)
    }

    fn check_attributes(&mut self, tag: &BytesStart<'_>) -> Result<(), Problem> {
        let raw = tag.attributes_raw();
        self.names.clear();
        for attribute in attributes(tag) {
            let Some(Attribute { name, value, .. }) = attribute else { return Err(INVALID_ATTRIBUTE) };
            check_name(name)?;
            check_value(value)?;
            if self.names.iter().any(|earlier| &raw[earlier.clone()] == name) {
                return Err(Problem::Malformed("has a tag with a duplicate attribute"));
            }
            if self.names.len() == MAX_ATTRIBUTES {
                return Err(Problem::LimitExceeded("a tag with more than 200 attributes"));
            }
            let start = name.as_ptr().addr() - raw.as_ptr().addr();
            self.names.push(start..start + name.len());
            if let Some(prefix) = name.strip_prefix("xmlns:") {
                if value.is_empty() || prefix == "xmlns" {
                    return Err(Problem::Malformed("declares an invalid namespace"));
                }
                self.namespaces.declare(prefix, self.depth + 1);
            }
        }
        Ok(())
    }

    fn check_prefixes(&self, tag: &BytesStart<'_>) -> Result<(), Problem> {
        let names = self.names.iter().map(|name| &tag.attributes_raw()[name.clone()]);
        if names.chain([tag.name().into_inner()]).all(|name| self.namespaces.is_declared(name)) {
            return Ok(());
        }
        Err(Problem::Malformed("has an undeclared namespace prefix"))
    }

    /// Checks a comment or a processing instruction.
    fn check_comment(&mut self, text: &str) -> Result<(), Problem> {
        self.elements += 1;
        if text.len() > MAX_TAG_BYTES {
            return Err(Problem::LimitExceeded("a comment longer than 64 KiB"));
        }
        check_characters(text)
    }
}

const INVALID_NAME: Problem = Problem::Malformed("has a name that XML does not allow");
const INVALID_ATTRIBUTE: Problem = Problem::Malformed("has a malformed attribute");
const UNKNOWN_REFERENCE: Problem = Problem::Malformed("has an unknown reference");
const INVALID_CHARACTER: Problem = Problem::Malformed("has a character that XML does not allow");

fn check_declaration(declaration: &BytesDecl<'_>) -> Result<(), Problem> {
    let malformed = Problem::Malformed("has a malformed XML declaration");
    let mut expected = ["version", "encoding", "standalone"].into_iter();
    let mut has_version = false;
    for attribute in attributes_in(declaration.strip_prefix("xml").unwrap_or_default()) {
        let Attribute { name, value, .. } = attribute.ok_or(malformed)?;
        // Each at most once, in this order.
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

/// Checks a name, which may have one namespace prefix.
fn check_name(name: &str) -> Result<(), Problem> {
    let is_name = |part: &str| {
        let bytes = part.as_bytes();
        let has_valid_start =
            bytes.first().is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_' || *byte >= 0x80);
        has_valid_start
            && bytes.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.') || *b >= 0x80)
    };
    let is_valid = match name.split_once(':') {
        Some((prefix, local)) => is_name(prefix) && is_name(local),
        None => is_name(name),
    };
    if is_valid { Ok(()) } else { Err(INVALID_NAME) }
}

fn check_value(value: &str) -> Result<(), Problem> {
    if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'<' | b'&')) {
        return Ok(());
    }
    check_characters(value)?;
    if value.contains('<') || (value.contains('&') && !unescape(value).is_ok_and(|text| is_xml(&text))) {
        return Err(INVALID_ATTRIBUTE);
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), Problem> {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b']') {
        return Ok(());
    }
    if text.contains("]]>") {
        return Err(Problem::Malformed("has ]]> within text"));
    }
    check_characters(text)
}

fn check_characters(text: &str) -> Result<(), Problem> {
    if is_xml(text) { Ok(()) } else { Err(INVALID_CHARACTER) }
}

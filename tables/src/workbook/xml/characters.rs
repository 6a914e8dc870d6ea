//! Characters and text in XML.

use std::borrow::Cow;

use quick_xml::events::{BytesRef, Event};

/// Whether XML allows all characters of a text.
pub(super) fn is_xml(text: &str) -> bool {
    if text.is_ascii() {
        return text.bytes().all(|byte| byte >= b' ' || is_space(byte));
    }
    text.chars().all(is_xml_character)
}

/// Whether XML allows the character.
pub(crate) fn is_xml_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// The character that a predefined entity or a character reference denotes.
pub(super) fn resolve(reference: &BytesRef<'_>) -> Option<char> {
    let resolved = match reference.as_ref() {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "apos" => Some('\''),
        "quot" => Some('"'),
        _ => reference.resolve_char_ref().ok().flatten(),
    };
    resolved.filter(|c| is_xml_character(*c))
}

/// The content of a text, reference or CDATA event.
pub(crate) fn text_of<'e>(event: &'e Event<'_>) -> Option<Cow<'e, str>> {
    match event {
        Event::Text(text) => Some(text.xml10_content()),
        Event::CData(text) => Some(text.xml10_content()),
        Event::GeneralRef(reference) => resolve(reference).map(|c| Cow::Owned(c.to_string())),
        _ => None,
    }
}

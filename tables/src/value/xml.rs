//! Small things of the XML of sheets.

use quick_xml::events::{BytesStart, Event};
use quick_xml::name::QName;

pub(super) fn as_event(tag: BytesStart<'_>, is_empty: bool) -> Event<'_> {
    if is_empty { Event::Empty(tag) } else { Event::Start(tag) }
}

/// The value of an attribute, as it is written.
pub(super) fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let attribute = tag.try_get_attribute(name).ok().flatten()?;
    Some(attribute.value.into_owned())
}

/// The namespace prefix of an element with its colon, as some programs write one.
pub(super) fn prefix_of(element: QName<'_>) -> String {
    element.prefix().map_or(String::new(), |prefix| format!("{}:", prefix.as_ref()))
}

/// The column of a reference such as `AB12`, counted from 0.
pub(super) fn column_of(reference: &str) -> Option<u32> {
    let letters = reference.bytes().take_while(u8::is_ascii_alphabetic);
    let column = letters.fold(0_u32, |column, letter| {
        let place = u32::from(letter.to_ascii_uppercase() - b'A') + 1;
        column.saturating_mul(26).saturating_add(place)
    });
    column.checked_sub(1)
}

/// Whether XML may hold the character.
pub(super) fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

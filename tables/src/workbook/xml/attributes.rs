//! The attributes of a tag.

use std::borrow::Cow;

use quick_xml::escape::unescape;
use quick_xml::events::BytesStart;

use super::characters::is_space;

/// An attribute as written in a tag.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute<'t> {
    pub(crate) name: &'t str,
    /// The value between the quotation marks, with references unresolved.
    pub(crate) value: &'t str,
    /// The whole attribute, including the quotation marks.
    pub(crate) raw: &'t str,
}

/// The attributes of a tag in order. A malformed attribute yields `None` and ends the iteration.
pub(crate) fn attributes<'t>(tag: &'t BytesStart<'_>) -> impl Iterator<Item = Option<Attribute<'t>>> {
    attributes_in(tag.attributes_raw())
}

pub(super) fn attributes_in(mut rest: &str) -> impl Iterator<Item = Option<Attribute<'_>>> {
    std::iter::from_fn(move || {
        let text = trim_start(rest);
        if text.is_empty() {
            return None;
        }
        let has_space_before = text.len() < rest.len();
        rest = "";
        Some(first_attribute(text).filter(|_| has_space_before).inspect(|first| rest = &text[first.raw.len()..]))
    })
}

fn first_attribute(text: &str) -> Option<Attribute<'_>> {
    let name_end = text.bytes().position(|byte| byte == b'=' || is_space(byte))?;
    let value = trim_start(trim_start(&text[name_end..]).strip_prefix('=')?);
    let quote = value.bytes().next().filter(|byte| matches!(byte, b'"' | b'\''))?;
    let value_start = text.len() - value.len() + 1;
    let value_end = value_start + text.as_bytes()[value_start..].iter().position(|byte| *byte == quote)?;
    let (name, raw) = (&text[..name_end], &text[..=value_end]);
    Some(Attribute { name, value: &text[value_start..value_end], raw })
}

fn trim_start(text: &str) -> &str {
    let spaces = text.bytes().take_while(|byte| is_space(*byte)).count();
    &text[spaces..]
}

/// The names and values of the attributes, with references resolved.
pub(crate) fn values<'t>(tag: &'t BytesStart<'_>) -> impl Iterator<Item = (&'t str, Cow<'t, str>)> {
    attributes(tag).flatten().filter_map(|Attribute { name, value, .. }| {
        let value = if value.contains('&') { unescape(value).ok()? } else { Cow::Borrowed(value) };
        Some((name, value))
    })
}

/// The value of an attribute by its name including any prefix.
pub(crate) fn attribute<'t>(tag: &'t BytesStart<'_>, name: &str) -> Option<Cow<'t, str>> {
    values(tag).find(|(other, _)| *other == name).map(|(_, value)| value)
}

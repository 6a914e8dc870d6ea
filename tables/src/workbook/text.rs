//! The texts of cells: shared strings and inline strings.

use std::borrow::Cow;
use std::io::BufRead;

use domain::column::LONGEST_TEXT;
use quick_xml::events::{BytesStart, Event};

use super::xml::{XmlReader, attribute, text_of};
use crate::error::Fault;
use crate::limits::Limits;

/// The number of bytes of a text to keep: enough for [`LONGEST_TEXT`] characters in any encoding.
const MAX_PREFIX_BYTES: usize = 8 << 10;

/// A text built from XML events. Only its prefix is kept.
#[derive(Debug, Default)]
pub(crate) struct Text {
    prefix: String,
    characters: usize,
    /// The depth of the open `t` element.
    run_depth: Option<usize>,
    /// The depth of the open phonetic run.
    phonetic_depth: Option<usize>,
}

impl Text {
    pub(crate) fn clear(&mut self) {
        self.prefix.clear();
        (self.characters, self.run_depth, self.phonetic_depth) = (0, None, None);
    }

    /// Handles an event within an `si` or `is` element; `depth` elements are open after it. Phonetic runs, which are a
    /// pronunciation guide, are skipped.
    pub(crate) fn observe(&mut self, event: &Event<'_>, depth: usize) {
        match event {
            Event::Start(tag) if self.run_depth.is_none() && self.phonetic_depth.is_none() => {
                match tag.local_name().as_ref() {
                    "t" => self.run_depth = Some(depth),
                    "rPh" => self.phonetic_depth = Some(depth),
                    _ => {}
                }
            }
            Event::End(_) => {
                self.run_depth = self.run_depth.filter(|text| *text <= depth);
                self.phonetic_depth = self.phonetic_depth.filter(|phonetic| *phonetic <= depth);
            }
            _ if self.run_depth.is_some() => self.push(event),
            _ => {}
        }
    }

    /// Appends the text of an event.
    pub(crate) fn push(&mut self, event: &Event<'_>) {
        let Some(text) = text_of(event) else { return };
        self.characters += text.chars().count();
        if self.prefix.len() < MAX_PREFIX_BYTES {
            self.prefix.push_str(&text);
        }
    }

    /// Whether the text has more characters than this.
    pub(crate) fn is_longer_than(&self, characters: usize) -> bool {
        self.characters > characters
    }

    /// The text with escapes unresolved, trimmed.
    pub(crate) fn raw(&self) -> &str {
        self.prefix.trim()
    }

    /// The text with escapes resolved, trimmed. A text that is too long for any column is truncated to one that is still
    /// too long.
    pub(crate) fn read(&self) -> Cow<'_, str> {
        match unescape(&self.prefix) {
            Cow::Borrowed(text) => Cow::Borrowed(truncate(text.trim())),
            Cow::Owned(text) => Cow::Owned(truncate(text.trim()).to_owned()),
        }
    }
}

fn truncate(text: &str) -> &str {
    text.char_indices().nth(LONGEST_TEXT + 1).map_or(text, |(end, _)| &text[..end])
}

/// Resolves escapes such as `_x000D_`, which stand for characters that XML does not allow.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains("_x") {
        return Cow::Borrowed(text);
    }
    let mut units = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("_x") {
        units.extend(rest[..start].encode_utf16());
        if let Some(unit) = decode_escape(&rest[start..]) {
            units.push(unit);
            rest = &rest[start + 7..];
        } else {
            units.push(u16::from(b'_'));
            rest = &rest[start + 1..];
        }
    }
    units.extend(rest.encode_utf16());
    Cow::Owned(String::from_utf16_lossy(&units))
}

fn decode_escape(text: &str) -> Option<u16> {
    let digits = text.get(2..6)?;
    let is_escape = text.as_bytes().get(6) == Some(&b'_') && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_escape.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

/// The shared strings, which cells refer to by index.
#[derive(Debug, Default)]
pub(crate) struct SharedTexts {
    /// Chunks of equal capacity, so that growing never copies texts.
    chunks: Vec<String>,
    /// The offset of each text, as if the chunks were contiguous.
    offsets: Vec<u32>,
}

const CHUNK_BYTES: usize = 1 << 20;

impl SharedTexts {
    pub(crate) fn read(xml: &mut XmlReader<impl BufRead>, limits: &Limits) -> Result<Self, Fault> {
        let mut texts = Self::default();
        let mut text = Text::default();
        loop {
            let (event, depth) = xml.next()?;
            match &event {
                Event::Eof => return Ok(texts),
                Event::Start(tag) if depth == 1 => check_count(tag)?,
                Event::Empty(tag) if depth == 0 => check_count(tag)?,
                Event::Start(tag) if depth == 2 && tag.local_name().as_ref() == "si" => text.clear(),
                Event::Empty(tag) if depth == 1 && tag.local_name().as_ref() == "si" => texts.push("", limits)?,
                Event::End(tag) if depth == 1 && tag.local_name().as_ref() == "si" => {
                    if text.is_longer_than(limits.max_text) {
                        let what = format!("a shared string has more than {} characters", limits.max_text);
                        return Err(Fault::TooLarge(what));
                    }
                    texts.push(&text.read(), limits)?;
                }
                event => text.observe(event, depth),
            }
        }
    }

    pub(crate) fn get(&self, index: usize) -> Option<&str> {
        let start = *self.offsets.get(index)? as usize;
        let chunk = self.chunks.get(start / CHUNK_BYTES)?;
        let next = self.offsets.get(index + 1).map(|next| *next as usize);
        let next = next.filter(|next| next / CHUNK_BYTES == start / CHUNK_BYTES);
        chunk.get(start % CHUNK_BYTES..next.map_or(chunk.len(), |next| next % CHUNK_BYTES))
    }

    fn push(&mut self, text: &str, limits: &Limits) -> Result<(), Fault> {
        let is_full = |chunk: &String| chunk.len() + text.len() >= CHUNK_BYTES;
        if self.chunks.last().is_none_or(is_full) {
            self.chunks.push(String::with_capacity(CHUNK_BYTES));
        }
        // While a vector grows, it takes up to twice its size.
        let bytes = self.chunks.len() * CHUNK_BYTES + 2 * size_of::<u32>() * self.offsets.len();
        let offset = self.chunks.last().map(|chunk| (self.chunks.len() - 1) * CHUNK_BYTES + chunk.len());
        match offset.and_then(|offset| u32::try_from(offset).ok()) {
            Some(offset) if bytes as u64 <= limits.max_shared_bytes => self.offsets.push(offset),
            _ => {
                let what = format!("the shared strings take more than {} bytes", limits.max_shared_bytes);
                return Err(Fault::TooLarge(what));
            }
        }
        if let Some(chunk) = self.chunks.last_mut() {
            chunk.push_str(text);
        }
        Ok(())
    }
}

/// The declared count is only a hint, but it must be a number.
fn check_count(table: &BytesStart<'_>) -> Result<(), Fault> {
    let count = attribute(table, "uniqueCount");
    if count.is_none_or(|count| count.trim().is_empty() || count.trim().parse::<u32>().is_ok()) {
        return Ok(());
    }
    Err(Fault::Damaged("the count of shared strings is not a number".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(items: &str, limits: &Limits) -> Result<SharedTexts, Fault> {
        let xml = format!("<sst>{items}</sst>");
        SharedTexts::read(&mut XmlReader::new(xml.as_bytes(), "s.xml", 10_000_000)?, limits)
    }

    #[test]
    fn texts_are_read_as_excel_shows_them() {
        for (xml, expected) in [
            ("<si><t>Kia</t></si>", "Kia"),
            ("<si><t xml:space=\"preserve\"> a b </t></si>", "a b"),
            ("<si><r><rPr><b/></rPr><t>K</t></r><r><t>ia</t></r></si>", "Kia"),
            ("<si><t>東</t><rPh sb=\"0\" eb=\"1\"><t>ヒガシ</t></rPh><phoneticPr/></si>", "東"),
            ("<si><t>a<![CDATA[<b>]]>&amp;&#x416;<!-- c --></t></si>", "a<b>&Ж"),
            ("<si><t>a_x000D_b _x005F_x000D_ _x00zz_ _xD83D__xDE97_</t></si>", "a\rb _x000D_ _x00zz_ 🚗"),
            ("<si/>", ""),
            ("<si><t/><x>no</x></si>", ""),
        ] {
            let texts = read(&format!("{xml}<si><t>next</t></si>"), &Limits::default()).unwrap();
            assert_eq!((texts.get(0), texts.get(1), texts.get(2)), (Some(expected), Some("next"), None), "{xml}");
        }
    }

    #[test]
    fn texts_are_stored_up_to_a_limit() {
        let text = |id: usize| format!("<si><t>{id}{}</t></si>", "ж".repeat(id % 300));
        let many: String = (0..40_000).map(text).collect();
        let texts = read(&many, &Limits::default()).unwrap();
        for id in 0..40_000 {
            let expected: String = format!("{id}{}", "ж".repeat(id % 300)).chars().take(LONGEST_TEXT + 1).collect();
            assert_eq!(texts.get(id), Some(expected.as_str()));
        }
        let limits = Limits { max_shared_bytes: 3 << 20, ..Limits::default() };
        assert!(matches!(read(&many, &limits), Err(Fault::TooLarge(_))));
        assert!(matches!(read(&"<si/>".repeat(400_000), &limits), Err(Fault::TooLarge(_))));
        let long = format!("<si><r><t>{}</t></r></si>", "a<!-- -->".repeat(40_000));
        assert!(matches!(read(&long, &limits), Err(Fault::TooLarge(_))));
    }
}

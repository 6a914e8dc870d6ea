//! The texts of cells: shared ones, and those that stand in the cell itself.

use std::borrow::Cow;
use std::io::BufRead;

use domain::column::MAX_TEXT_CHARS;
use quick_xml::events::{BytesStart, Event};

use super::xml::{Xml, attribute, text_of};
use crate::error::Fault;
use crate::limits::Limits;

/// Bytes of a text that are looked at: enough for [`MAX_TEXT_CHARS`] characters, however they are written.
const LOOKED_AT: usize = 8 << 10;

/// A text built from a stream of XML events, no longer than needed.
#[derive(Debug, Default)]
pub(crate) struct Text {
    begin: String,
    characters: usize,
    /// The depths of the `t` and of the phonetic run that are open.
    run: Option<usize>,
    phonetic: Option<usize>,
}

impl Text {
    pub(crate) fn clear(&mut self) {
        self.begin.clear();
        (self.characters, self.run, self.phonetic) = (0, None, None);
    }

    /// Takes in an event within an `si` or `is`, after which so many elements are open: the text of all runs but phonetic
    /// ones, which tell how to read it aloud.
    pub(crate) fn look(&mut self, event: &Event<'_>, depth: usize) {
        match event {
            Event::Start(tag) if self.run.is_none() && self.phonetic.is_none() => match tag.local_name().as_ref() {
                "t" => self.run = Some(depth),
                "rPh" => self.phonetic = Some(depth),
                _ => {}
            },
            Event::End(_) => {
                self.run = self.run.filter(|run| *run <= depth);
                self.phonetic = self.phonetic.filter(|phonetic| *phonetic <= depth);
            }
            _ if self.run.is_some() => self.push(event),
            _ => {}
        }
    }

    /// Adds the text of an event.
    pub(crate) fn push(&mut self, event: &Event<'_>) {
        let Some(text) = text_of(event) else { return };
        self.characters += text.chars().count();
        if self.begin.len() < LOOKED_AT {
            self.begin.push_str(&text);
        }
    }

    /// Whether it has more characters than a cell may.
    pub(crate) fn is_longer_than(&self, characters: usize) -> bool {
        self.characters > characters
    }

    /// The text as written, trimmed.
    pub(crate) fn written(&self) -> &str {
        self.begin.trim()
    }

    /// The text with escapes resolved, trimmed. A text that is too long for any value is cut off, which still makes it too
    /// long.
    pub(crate) fn read(&self) -> Cow<'_, str> {
        match unescape(&self.begin) {
            Cow::Borrowed(text) => Cow::Borrowed(cut(text.trim())),
            Cow::Owned(text) => Cow::Owned(cut(text.trim()).to_owned()),
        }
    }
}

fn cut(text: &str) -> &str {
    text.char_indices().nth(MAX_TEXT_CHARS + 1).map_or(text, |(end, _)| &text[..end])
}

/// Resolves escapes such as `_x000D_`, by which workbooks write characters that XML does not allow.
fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains("_x") {
        return Cow::Borrowed(text);
    }
    let mut units = Vec::new();
    let mut rest = text;
    while let Some(place) = rest.find("_x") {
        units.extend(rest[..place].encode_utf16());
        if let Some(unit) = escaped(&rest[place..]) {
            units.push(unit);
            rest = &rest[place + 7..];
        } else {
            units.push(u16::from(b'_'));
            rest = &rest[place + 1..];
        }
    }
    units.extend(rest.encode_utf16());
    Cow::Owned(String::from_utf16_lossy(&units))
}

fn escaped(text: &str) -> Option<u16> {
    let digits = text.get(2..6)?;
    let is_escape = text.as_bytes().get(6) == Some(&b'_') && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_escape.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

/// The texts that cells refer to by their number.
#[derive(Debug, Default)]
pub(crate) struct SharedTexts {
    /// Stored in chunks of equal size, so that memory is never moved.
    pieces: Vec<String>,
    begins: Vec<u32>,
}

const PIECE: usize = 1 << 20;

impl SharedTexts {
    pub(crate) fn read(xml: &mut Xml<impl BufRead>, limits: &Limits) -> Result<Self, Fault> {
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
                        let what = format!("one of its texts has more than {} characters", limits.max_text);
                        return Err(Fault::TooLarge(what));
                    }
                    texts.push(&text.read(), limits)?;
                }
                event => text.look(event, depth),
            }
        }
    }

    pub(crate) fn get(&self, number: usize) -> Option<&str> {
        let begin = *self.begins.get(number)? as usize;
        let piece = self.pieces.get(begin / PIECE)?;
        let next = self.begins.get(number + 1).map(|next| *next as usize).filter(|next| next / PIECE == begin / PIECE);
        piece.get(begin % PIECE..next.map_or(piece.len(), |next| next % PIECE))
    }

    fn push(&mut self, text: &str, limits: &Limits) -> Result<(), Fault> {
        let is_full = |piece: &String| piece.len() + text.len() >= PIECE;
        if self.pieces.last().is_none_or(is_full) {
            self.pieces.push(String::with_capacity(PIECE));
        }
        // Growing a list takes up to the same again.
        let bytes = self.pieces.len() * PIECE + 2 * size_of::<u32>() * self.begins.len();
        let begin = self.pieces.last().map(|piece| (self.pieces.len() - 1) * PIECE + piece.len());
        match begin.and_then(|begin| u32::try_from(begin).ok()) {
            Some(begin) if bytes as u64 <= limits.max_shared_bytes => self.begins.push(begin),
            _ => {
                let what = format!("the workbook's texts take more than {} bytes", limits.max_shared_bytes);
                return Err(Fault::TooLarge(what));
            }
        }
        if let Some(piece) = self.pieces.last_mut() {
            piece.push_str(text);
        }
        Ok(())
    }
}

/// How many texts there are is only a hint, but it has to be a number.
fn check_count(table: &BytesStart<'_>) -> Result<(), Fault> {
    let count = attribute(table, "uniqueCount");
    if count.is_none_or(|count| count.trim().is_empty() || count.trim().parse::<u32>().is_ok()) {
        return Ok(());
    }
    Err(Fault::Damaged("its table of texts has an impossible number of texts".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(inside: &str, limits: &Limits) -> Result<SharedTexts, Fault> {
        let xml = format!("<sst>{inside}</sst>");
        SharedTexts::read(&mut Xml::new(xml.as_bytes(), "s.xml", 10_000_000)?, limits)
    }

    #[test]
    fn texts_are_read_as_people_see_them() {
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
    fn many_texts_are_found_again_and_too_many_are_refused() {
        let text = |id: usize| format!("<si><t>{id}{}</t></si>", "ж".repeat(id % 300));
        let many: String = (0..40_000).map(text).collect();
        let texts = read(&many, &Limits::default()).unwrap();
        for id in 0..40_000 {
            let expected: String = format!("{id}{}", "ж".repeat(id % 300)).chars().take(MAX_TEXT_CHARS + 1).collect();
            assert_eq!(texts.get(id), Some(expected.as_str()));
        }
        let limits = Limits { max_shared_bytes: 3 << 20, ..Limits::default() };
        assert!(matches!(read(&many, &limits), Err(Fault::TooLarge(_))));
        assert!(matches!(read(&"<si/>".repeat(400_000), &limits), Err(Fault::TooLarge(_))));
        let long = format!("<si><r><t>{}</t></r></si>", "a<!-- -->".repeat(40_000));
        assert!(matches!(read(&long, &limits), Err(Fault::TooLarge(_))));
    }
}

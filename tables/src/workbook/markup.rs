//! A look at XML as it streams by, for what would cost a parser too much: a parser holds a tag, a text or a comment whole
//! before anybody can measure it.

/// Longest text between two tags, in bytes: far more than any cell needs.
const LONGEST_TEXT: u64 = 1 << 20;
/// Longest tag, comment or instruction, in bytes.
const LONGEST_TAG: u64 = 64 << 10;
/// Longest cell or shared text with all its parts, in bytes.
const LONGEST_ITEM: u64 = 1 << 20;
/// Most attributes of a tag: parsers compare each with each.
const MOST_ATTRIBUTES: u32 = 200;
/// Longest name of an element that is told from others, in bytes.
const LONGEST_NAME: usize = 40;
/// Most elements around an element: parsers keep the names of all that are open.
const DEEPEST: u32 = 256;

/// Why XML is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// What is too long or too many.
    TooMuch(&'static str),
    /// A document type definition, or the like.
    Declaration,
    /// What is no XML. Parsers read on, each in its own way, so that nobody knows what they will see.
    Malformed(&'static str),
}

/// What stands in a part.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// The local name of its first element.
    pub(crate) root: Vec<u8>,
    /// Elements of any name, comments and instructions.
    pub(crate) elements: u64,
    /// Whether it lists sheets, names or other parts, all of which a parser holds.
    pub(crate) is_list: bool,
    /// Texts of a table of shared texts.
    pub(crate) shared_texts: u64,
    /// Formats of cells.
    pub(crate) formats: u64,
    /// The longest tag, in bytes.
    pub(crate) longest_tag: u64,
}

/// Reads XML a buffer at a time.
#[derive(Debug, Default)]
pub(crate) struct Markup {
    state: State,
    /// Bytes of what is being read: a text, a tag, a comment.
    length: u64,
    name: Vec<u8>,
    has_prefix: bool,
    is_closing: bool,
    is_empty: bool,
    attributes: u32,
    /// Elements that are open.
    depth: u32,
    /// The depth at which a cell or a shared text began and the bytes since, within one.
    item: Option<(u32, u64)>,
    pub(crate) content: Content,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum State {
    #[default]
    Text,
    /// Behind `<`.
    Opening,
    Name,
    Tag,
    /// A value, until this quotation mark.
    Value(u8),
    /// Behind `<!`, as much of it as tells what it is.
    Declaration,
    /// Until `?>`, `-->` or `]]>`: how many bytes of that have just been read.
    Until(&'static [u8], usize),
}

impl Markup {
    /// Looks at the next bytes.
    pub(crate) fn look(&mut self, mut bytes: &[u8]) -> Result<(), Excess> {
        if let Some((_, item)) = &mut self.item {
            *item += bytes.len() as u64;
            if *item > LONGEST_ITEM + bytes.len() as u64 {
                return Err(Excess::TooMuch("a cell of more than a megabyte"));
            }
        }
        while let Some((byte, rest)) = bytes.split_first() {
            let skipped = match self.state {
                State::Text => memchr::memchr(b'<', bytes).unwrap_or(bytes.len()),
                State::Value(quote) => memchr::memchr(quote, bytes).unwrap_or(bytes.len()),
                _ => 0,
            };
            if skipped > 0 {
                self.grow(skipped as u64)?;
                bytes = &bytes[skipped..];
            } else {
                self.grow(1)?;
                self.step(*byte)?;
                bytes = rest;
            }
        }
        Ok(())
    }

    /// Looks at the end of the part.
    pub(crate) fn finish(&self) -> Result<(), Excess> {
        let is_whole = self.state == State::Text && self.depth == 0;
        if is_whole { Ok(()) } else { Err(Excess::Malformed("breaks off in the middle")) }
    }

    fn grow(&mut self, bytes: u64) -> Result<(), Excess> {
        self.length += bytes;
        match self.state {
            State::Text | State::Until(b"]]>", _) if self.length > LONGEST_TEXT => {
                Err(Excess::TooMuch("a text of more than a megabyte"))
            }
            State::Text | State::Until(b"]]>", _) => Ok(()),
            _ if self.length > LONGEST_TAG => Err(Excess::TooMuch("a tag or a comment of more than 64 kilobytes")),
            _ => Ok(()),
        }
    }

    fn step(&mut self, byte: u8) -> Result<(), Excess> {
        match (self.state, byte) {
            (State::Text, _) => {
                (self.state, self.length, self.attributes) = (State::Opening, 1, 0);
                (self.is_closing, self.is_empty, self.has_prefix) = (false, false, false);
                self.name.clear();
            }
            (State::Opening, b'!') => self.state = State::Declaration,
            (State::Opening, b'?') => self.state = State::Until(b"?>", 0),
            (State::Opening, b'/') if !self.is_closing => self.is_closing = true,
            (State::Opening, _) if is_in_name(byte) => {
                self.state = State::Name;
                self.name.push(byte);
            }
            (State::Name | State::Tag, b'>') => {
                self.end_tag()?;
                self.begin_text();
            }
            // A slash ends a tag, and nothing but the end may follow it.
            (State::Name | State::Tag, b'/') if !self.is_closing && !self.is_empty => {
                (self.state, self.is_empty) = (State::Tag, true);
            }
            (State::Name | State::Tag, _) if self.is_empty => return Err(NO_TAG),
            // Everything before the quotation mark was skipped.
            (State::Value(_), _) | (State::Name | State::Tag, b' ' | b'\t' | b'\n' | b'\r') => self.state = State::Tag,
            // What stands before a colon is a prefix.
            (State::Name, b':') if !self.has_prefix => {
                self.has_prefix = true;
                self.name.clear();
            }
            (State::Name, _) if is_in_name(byte) => {
                if self.name.len() < LONGEST_NAME {
                    self.name.push(byte);
                }
            }
            (State::Tag, b'"' | b'\'') if !self.is_closing => self.state = State::Value(byte),
            (State::Tag, b'=') if !self.is_closing => {
                self.attributes += 1;
                if self.attributes > MOST_ATTRIBUTES {
                    return Err(Excess::TooMuch("a tag of more than 200 attributes"));
                }
            }
            (State::Tag, _) if !self.is_closing && (is_in_name(byte) || byte == b':') => {}
            (State::Opening | State::Name | State::Tag, _) => return Err(NO_TAG),
            (State::Declaration, _) => self.declare(byte)?,
            (State::Until(end, seen), _) => self.until(end, seen, byte),
        }
        Ok(())
    }

    fn declare(&mut self, byte: u8) -> Result<(), Excess> {
        self.name.push(byte);
        let kinds: [(&[u8], &'static [u8]); 2] = [(b"--", b"-->"), (b"[CDATA[", b"]]>")];
        match kinds.iter().find(|(begin, _)| begin.starts_with(&self.name)) {
            None => Err(Excess::Declaration),
            Some((begin, end)) => {
                if begin.len() == self.name.len() {
                    self.state = State::Until(end, 0);
                }
                Ok(())
            }
        }
    }

    fn until(&mut self, end: &'static [u8], seen: usize, byte: u8) {
        let seen = if byte == end[seen] {
            seen + 1
        } else if seen + 1 == end.len() && end.len() == 3 && byte == end[0] {
            // Of three equal characters, the last two count.
            seen
        } else {
            usize::from(byte == end[0])
        };
        self.state = State::Until(end, seen);
        if seen == end.len() {
            self.content.elements += 1;
            self.begin_text();
        }
    }

    fn begin_text(&mut self) {
        (self.state, self.length) = (State::Text, 0);
    }

    fn end_tag(&mut self) -> Result<(), Excess> {
        let content = &mut self.content;
        content.longest_tag = content.longest_tag.max(self.length);
        if content.root.is_empty() {
            content.root.clone_from(&self.name);
        }
        if self.is_closing {
            self.depth = self.depth.checked_sub(1).ok_or(Excess::Malformed("ends an element that never began"))?;
            self.item = self.item.filter(|(depth, _)| *depth < self.depth);
            return Ok(());
        }
        content.elements += 1;
        match self.name.as_slice() {
            b"si" => content.shared_texts += 1,
            b"xf" => content.formats += 1,
            b"sheet" | b"Relationship" | b"definedName" => content.is_list = true,
            _ => {}
        }
        if self.is_empty {
            return Ok(());
        }
        if self.item.is_none() && matches!(self.name.as_slice(), b"si" | b"c") {
            self.item = Some((self.depth, 0));
        }
        self.depth += 1;
        if self.depth > DEEPEST { Err(Excess::TooMuch("elements in more than 256 others")) } else { Ok(()) }
    }
}

const NO_TAG: Excess = Excess::Malformed("has a tag that is no XML");

/// Whether a byte may be part of a name, or of one of its characters.
fn is_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.') || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(xml: &[u8]) -> Result<Content, Excess> {
        let whole = look_in(xml, usize::MAX)?;
        // It does not matter where buffers end.
        for size in [1, 2, 3, 7] {
            assert_eq!(format!("{:?}", look_in(xml, size)?), format!("{whole:?}"));
        }
        Ok(whole)
    }

    fn refused(xml: &str) -> Option<Excess> {
        let mut markup = Markup::default();
        markup.look(xml.as_bytes()).and_then(|()| markup.finish()).err()
    }

    fn look_in(xml: &[u8], size: usize) -> Result<Content, Excess> {
        let mut markup = Markup::default();
        for bytes in xml.chunks(size.min(xml.len().max(1))) {
            markup.look(bytes)?;
        }
        Ok(markup.content)
    }

    #[test]
    fn elements_are_told_by_their_local_names() {
        let xml = b"<?xml version='1.0'?><!-- <si> ---><x:sst a='>' b=\"<si>\"><x:si><t/></x:si><si/><![CDATA[<si>]]]></x:sst>";
        let content = look(xml).unwrap();
        assert_eq!((content.root.as_slice(), content.shared_texts, content.formats), (b"sst".as_slice(), 2, 0));
        assert_eq!(look(b"<a><xf/><xf b='1'></xf></a>").unwrap().formats, 2);
    }

    #[test]
    fn what_readers_would_read_in_different_ways_is_refused() {
        for xml in
            ["", " <a b = 'c'\t d=\"/>\"><e/><f /></a >\n", "<a:b c:d=''/>", "<а.б-в_1/><!-- < -->", "<a>\u{c}</a>"]
        {
            assert_eq!(refused(xml), None, "{xml}");
        }
        let tags = [
            "<x/:si/>",
            "<a:b:c/>",
            "<sst \u{c}uniqueCount='9'/>",
            "<a/ >",
            "<a//>",
            "<a <b/>",
            "<>",
            "< a/>",
            "</ a>",
            "<a></a b='c'>",
            "<a></a/>",
            "<:a/>",
            "<//a>",
            "<a\0/>",
        ];
        for xml in tags {
            assert_eq!(refused(xml), Some(NO_TAG), "{xml}");
        }
        for xml in ["</a>", "<a/></a>", "<a>", "<a></a><b", "<a><!-- --", "<c><v>1</v></c></c>"] {
            assert!(matches!(refused(xml), Some(Excess::Malformed(_))), "{xml}");
        }
        assert_eq!(refused(&format!("{}{}", "<a>".repeat(256), "</a>".repeat(256))), None);
        let deep = Some(Excess::TooMuch("elements in more than 256 others"));
        assert_eq!(refused(&"<a>".repeat(257)), deep);
        let within = format!("<c>{}</c>", "<c></c>".repeat(300_000));
        assert_eq!(look_in(within.as_bytes(), 65_536).unwrap_err(), Excess::TooMuch("a cell of more than a megabyte"));
    }

    #[test]
    fn declarations_are_refused() {
        for xml in ["<!DOCTYPE a>", "<a/><!ENTITY b>", "<!doctype a>", "<![INCLUDE[", "<!-a"] {
            assert_eq!(look(xml.as_bytes()).unwrap_err(), Excess::Declaration, "{xml}");
        }
    }

    #[test]
    fn what_a_parser_would_hold_whole_is_limited() {
        let many = |part: &str, count: usize| part.repeat(count);
        for xml in [
            format!("<a>{}", many("b ", 100_000)),
            format!("<c r='A1'/>{}", many("<d/>", 500_000)),
            format!("<si/>{}", many("<d/>", 500_000)),
            format!("<c><v>1</v></c>{}", many("<d/>", 500_000)),
        ] {
            assert!(look_in(xml.as_bytes(), 65_536).is_ok(), "{}", &xml[..12]);
        }
        for xml in [
            format!("<a>{}", many("b", 1_100_000)),
            format!("<a b='{}", many("<", 70_000)),
            format!("<!-- {}", many("<a>", 30_000)),
            format!("<?{}", many("a", 70_000)),
            format!("<![CDATA[{}", many("]", 1_100_000)),
            format!("<a {}>", many("b=''", 201)),
            format!("<c>{}", many("<is/>", 500_000)),
            format!("<si>{}", many("<!---->", 500_000)),
            format!("<c r=''>{}", many("<is/>", 500_000)),
        ] {
            let result = look_in(xml.as_bytes(), 65_536);
            assert!(matches!(result, Err(Excess::TooMuch(_))), "{}", &xml[..20]);
        }
    }
}

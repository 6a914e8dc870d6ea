//! A JSON parser that keeps only the values of known fields: unknown fields and nested contents are skipped, so the result
//! is never larger than the text.

use std::borrow::Cow;
use std::fmt;

use domain::cell::shorten;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_json::value::RawValue;

use crate::http::problem::{MAX_ERRORS, Problem};

/// A value. Only the fields of the outermost object are kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a, N> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List,
    Object(Fields<'a, N>),
}

/// The fields of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fields<'a, N> {
    kept: Vec<Field<'a, N>>,
    /// The number of unknown and repeated fields, whether kept or not.
    refused: usize,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field<'a, N> {
    /// A known field with its last value, at the position of its first occurrence.
    Known(N, Value<'a, N>),
    /// A further occurrence of a known field.
    Repeated(N),
    /// An unknown field; long names are truncated.
    Unknown(String),
}

/// Maps the name of a field to its meaning; `None` for unknown names.
type Recognize<N> = fn(&str) -> Option<N>;

/// The maximum length of a list.
pub(crate) const MAX_ITEMS: usize = 10_000;

/// Parses a value with a nesting depth of at most `max_depth`.
///
/// # Errors
/// [`Problem::MalformedJson`] with line and column.
pub(crate) fn parse<N: Copy + PartialEq>(
    text: &[u8],
    max_depth: usize,
    recognize: Recognize<N>,
) -> Result<Value<'_, N>, Problem> {
    let text = check(text, max_depth)?;
    if text.trim_start().starts_with('{') {
        return parse_with(text, ObjectVisitor(recognize)).map(Value::Object);
    }
    serde_json::from_str(text).and_then(scalar_value).map_err(|error| malformed(&error))
}

/// Parses a list and passes each of the first [`MAX_ITEMS`] items to `read` with its index. Returns the results and the
/// number of all items; `None` if the text is not a list.
///
/// # Errors
/// The same as for [`parse`].
pub(crate) fn parse_list<'a, N: Copy + PartialEq, T>(
    text: &'a [u8],
    max_depth: usize,
    recognize: Recognize<N>,
    read: impl FnMut(usize, Value<'a, N>) -> T,
) -> Result<Option<(Vec<T>, usize)>, Problem> {
    let text = check(text, max_depth)?;
    if !text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map(|IgnoredAny| None).map_err(|error| malformed(&error));
    }
    parse_with(text, ListVisitor { recognize, read }).map(Some)
}

fn check(text: &[u8], max_depth: usize) -> Result<&str, Problem> {
    if depth(text) > max_depth {
        return Err(malformed(&format_args!("the nesting is deeper than {max_depth} levels")));
    }
    std::str::from_utf8(text).map_err(|error| malformed(&error))
}

fn malformed(error: &dyn fmt::Display) -> Problem {
    Problem::MalformedJson { detail: error.to_string() }
}

fn parse_with<'a, S: DeserializeSeed<'a>>(text: &'a str, seed: S) -> Result<S::Value, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| malformed(&error))
}

/// The nesting depth of lists and objects.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl<N> Value<'_, N> {
    /// The kind of the value, for error messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl<'a, N: Copy + PartialEq> Fields<'a, N> {
    /// The fields that are kept, in order.
    pub(crate) fn as_slice(&self) -> &[Field<'a, N>] {
        &self.kept
    }

    /// The number of unknown and repeated fields that are not kept.
    pub(crate) fn omitted(&self) -> usize {
        self.refused.saturating_sub(MAX_ERRORS)
    }

    fn keep(&mut self, name: N, value: Value<'a, N>) {
        let earlier = self.kept.iter_mut().find_map(|field| match field {
            Field::Known(known, value) if *known == name => Some(value),
            _ => None,
        });
        match earlier {
            None => self.kept.push(Field::Known(name, value)),
            Some(earlier) => {
                *earlier = value;
                self.refuse(Field::Repeated(name));
            }
        }
    }

    fn refuse(&mut self, field: Field<'a, N>) {
        if self.refused < MAX_ERRORS {
            self.kept.push(field);
        }
        self.refused += 1;
    }
}

impl<N> Default for Fields<'_, N> {
    fn default() -> Self {
        Self { kept: Vec::new(), refused: 0 }
    }
}

/// A value in an object or a list: lists and objects without their contents.
fn scalar_value<N>(raw: &RawValue) -> serde_json::Result<Value<'_, N>> {
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't') => Value::Bool(true),
        Some(b'f') => Value::Bool(false),
        Some(b'"') => Value::Text(serde_json::from_str::<Text<'_>>(text)?.0),
        Some(b'[') => Value::List,
        Some(b'{') => Value::Object(Fields::default()),
        _ => Value::Number(serde_json::from_str(text)?),
    })
}

/// A string, borrowed unless it has escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The error of a nested value, without the position within that value: the outer parser adds its own.
fn nested<E: serde::de::Error>(error: &serde_json::Error) -> E {
    let message = error.to_string();
    E::custom(message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message))
}

/// Reads the fields of an object.
struct ObjectVisitor<N>(Recognize<N>);

impl<'de, N: Copy + PartialEq> DeserializeSeed<'de> for ObjectVisitor<N> {
    type Value = Fields<'de, N>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, N: Copy + PartialEq> Visitor<'de> for ObjectVisitor<N> {
    type Value = Fields<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Text(name)) = map.next_key()? {
            if let Some(name) = (self.0)(&name) {
                fields.keep(name, scalar_value(map.next_value()?).map_err(|error| nested(&error))?);
            } else {
                map.next_value::<IgnoredAny>()?;
                fields.refuse(Field::Unknown(shorten(&name)));
            }
        }
        Ok(fields)
    }
}

/// Reads a list, item by item.
struct ListVisitor<N, R> {
    recognize: Recognize<N>,
    read: R,
}

impl<'de, N: Copy + PartialEq, T, R: FnMut(usize, Value<'de, N>) -> T> DeserializeSeed<'de> for ListVisitor<N, R> {
    type Value = (Vec<T>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, N: Copy + PartialEq, T, R: FnMut(usize, Value<'de, N>) -> T> Visitor<'de> for ListVisitor<N, R> {
    type Value = (Vec<T>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < MAX_ITEMS {
            let Some(raw) = list.next_element::<&RawValue>()? else { break };
            let item = if raw.get().starts_with('{') {
                let mut object = serde_json::Deserializer::from_str(raw.get());
                ObjectVisitor(self.recognize).deserialize(&mut object).map(Value::Object)
            } else {
                scalar_value(raw)
            };
            items.push((self.read)(items.len(), item.map_err(|error| nested(&error))?));
        }
        let mut count = items.len();
        while count >= MAX_ITEMS && list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((items, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows two names.
    fn recognize(name: &str) -> Option<&'static str> {
        ["brand", "year"].into_iter().find(|known| *known == name)
    }

    fn parse(text: &[u8]) -> Result<Value<'_, &'static str>, Problem> {
        super::parse(text, 16, recognize)
    }

    fn fields(text: &str) -> Fields<'_, &'static str> {
        let Value::Object(fields) = parse(text.as_bytes()).unwrap() else { panic!("{text} is an object") };
        fields
    }

    #[test]
    fn too_deep_nesting_is_refused() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(16).as_bytes()).is_ok());
        let text = nested(17);
        let problem = parse(text.as_bytes()).unwrap_err();
        assert_eq!(problem, Problem::MalformedJson { detail: "the nesting is deeper than 16 levels".into() });
        let in_a_string = format!("[\"{} \\\" {}\"]", "[".repeat(50), "{".repeat(50));
        assert_eq!(depth(in_a_string.as_bytes()), 1);
        assert!(parse(in_a_string.as_bytes()).is_ok());
    }

    #[test]
    fn known_fields_are_kept_and_repeated_ones_reported() {
        let fields = fields(r#"{"year": 1, "vin": [{"year": 3}], "brand": {"year": 4}, "ye\u0061r": 2.5}"#);
        let expected = [
            Field::Known("year", Value::Number(Number::from_f64(2.5).unwrap())),
            Field::Unknown("vin".to_owned()),
            Field::Known("brand", Value::Object(Fields::default())),
            Field::Repeated("year"),
        ];
        assert_eq!(fields.as_slice(), expected);
        assert_eq!(fields.omitted(), 0);
    }

    #[test]
    fn invalid_fields_beyond_the_limit_are_only_counted() {
        let wrong = r#""year": [], "a": {}, "#.repeat(40_000);
        let text = format!(r#"{{{wrong} "brand": "Kia"}}"#);
        let fields = fields(&text);
        assert_eq!(fields.as_slice().len(), 1 + MAX_ERRORS + 1);
        assert_eq!(fields.omitted(), 40_000 + 39_999 - MAX_ERRORS);
        assert_eq!(fields.as_slice().last(), Some(&Field::Known("brand", Value::Text("Kia".into()))));
    }

    #[test]
    fn long_names_are_truncated() {
        let text = format!(r#"{{"{}": 1}}"#, "я".repeat(100_000));
        let fields = fields(&text);
        assert_eq!(fields.as_slice(), [Field::Unknown(format!("{}…", "я".repeat(60)))]);
    }

    #[test]
    fn strings_without_escapes_are_borrowed() {
        let Value::Text(Cow::Borrowed("Rio")) = parse(br#""Rio""#).unwrap() else { panic!("a part of the text") };
        assert_eq!(parse(br#""\u0052io""#).unwrap(), Value::Text("Rio".into()));
    }

    #[test]
    fn every_value_has_a_kind() {
        for (text, kind) in
            [("[{}]", "a list"), ("\"x\"", "a text"), ("-1", "a number"), ("null", "null"), ("{}", "an object")]
        {
            assert_eq!(parse(text.as_bytes()).unwrap().kind(), kind);
        }
    }

    #[test]
    fn long_lists_are_counted_and_not_kept() {
        let text = format!("[{}1]", "1,".repeat(MAX_ITEMS + 4));
        let (items, count) = parse_list(text.as_bytes(), 16, recognize, |index, _| index).unwrap().unwrap();
        assert_eq!((items.len(), items.last(), count), (MAX_ITEMS, Some(&(MAX_ITEMS - 1)), MAX_ITEMS + 5));
        assert_eq!(parse_list(b" {}", 16, recognize, |_, _| ()).unwrap(), None);
        assert!(parse_list(b" {", 16, recognize, |_, _| ()).is_err());
    }

    #[test]
    fn malformed_json_is_reported_with_its_position() {
        let problem = parse(b"{\"year\": 2018,\n  oops}").unwrap_err();
        assert_eq!(problem, Problem::MalformedJson { detail: "key must be a string at line 2 column 3".into() });
        let problem = parse(b"{\"brand\": \"a\",\n \"brand\": \"\\ud800\"}").unwrap_err();
        let detail = "unexpected end of hex escape at line 2 column 19".into();
        assert_eq!(problem, Problem::MalformedJson { detail });
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"{\"a\": \"\xff\"}").is_err(), "also in a value that is skipped");
    }
}

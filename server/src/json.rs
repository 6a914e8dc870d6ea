//! JSON, of which only so much is kept as a listing can use: the values of known fields, repeated ones noticed. Whatever
//! stands in other fields, and in lists and objects, is skipped, so that memory does not grow beyond the text.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use domain::cell::shorten;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use crate::problem::{MAX_ERRORS, Problem};

/// A value. The fields of an object are kept at the top only.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value<'a, N> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List,
    Object(Fields<'a, N>),
}

/// The fields of an object, as far as they are kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fields<'a, N> {
    kept: Vec<Field<'a, N>>,
    /// How many are unknown or repeated, those that are not kept included.
    refused: usize,
}

/// A field of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Field<'a, N> {
    /// A known one: its last value, in the place of its first.
    Known(N, Value<'a, N>),
    /// A known one that was there before.
    Repeated(N),
    /// One of another name, which is cut where it is long.
    Unknown(String),
}

/// What a name means; `None` for names that nobody asks for.
type Recognise<N> = fn(&str) -> Option<N>;

/// The longest list that is accepted.
pub(crate) const MOST_ITEMS: usize = 10_000;

/// Reads one value that is nested no deeper than so.
///
/// # Errors
/// [`Problem::MalformedJson`] with line and column.
pub(crate) fn parse<N: Copy + PartialEq>(
    text: &[u8],
    max_depth: usize,
    recognise: Recognise<N>,
) -> Result<Value<'_, N>, Problem> {
    parse_with(check(text, max_depth)?, ValueSeed(Some(recognise)))
}

/// Reads a list, handing over each of its first [`MOST_ITEMS`] items with its place. Gives back what was made of them,
/// and how many items there are in all; `None` for another value than a list.
///
/// # Errors
/// As [`parse`].
pub(crate) fn parse_list<'a, N: Copy + PartialEq, T>(
    text: &'a [u8],
    max_depth: usize,
    recognise: Recognise<N>,
    read: impl FnMut(usize, Value<'a, N>) -> T,
) -> Result<Option<(Vec<T>, usize)>, Problem> {
    let text = check(text, max_depth)?;
    if !text.trim_start().starts_with('[') {
        return parse_with(text, PhantomData::<IgnoredAny>).map(|_| None);
    }
    parse_with(text, ListSeed { recognise, read }).map(Some)
}

fn check(text: &[u8], max_depth: usize) -> Result<&str, Problem> {
    let malformed = |detail| Problem::MalformedJson { detail };
    if depth(text) > max_depth {
        return Err(malformed(format!("it is nested deeper than {max_depth} levels")));
    }
    std::str::from_utf8(text).map_err(|error| malformed(error.to_string()))
}

fn parse_with<'a, S: DeserializeSeed<'a>>(text: &'a str, seed: S) -> Result<S::Value, Problem> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    value.map_err(|error| Problem::MalformedJson { detail: error.to_string() })
}

/// How deep lists and objects stand in each other.
fn depth(text: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut in_text, mut is_escaped) = (false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

impl<N> Value<'_, N> {
    /// What it is, in words.
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
    /// Those that are kept, in order.
    pub(crate) fn as_slice(&self) -> &[Field<'a, N>] {
        &self.kept
    }

    /// How many unknown and repeated ones there are beyond those kept.
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

/// Reads a value; the fields of an object only if their names can be recognised.
struct ValueSeed<N>(Option<Recognise<N>>);

impl<'de, N: Copy + PartialEq> DeserializeSeed<'de> for ValueSeed<N> {
    type Value = Value<'de, N>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, N: Copy + PartialEq> Visitor<'de> for ValueSeed<N> {
    type Value = Value<'de, N>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        let Some(recognise) = self.0 else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Value::Object(fields));
        };
        while let Some(name) = map.next_key_seed(NameSeed(recognise))? {
            match name {
                Ok(name) => fields.keep(name, map.next_value_seed(ValueSeed(None))?),
                Err(unknown) => {
                    map.next_value::<IgnoredAny>()?;
                    fields.refuse(Field::Unknown(unknown));
                }
            }
        }
        Ok(Value::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::List)
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        // JSON has no number that is not finite.
        Ok(Number::from_f64(number).map_or(Value::Null, Value::Number))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(Value::Null)
    }
}

/// Reads a name: what it means, or else how it begins.
struct NameSeed<N>(Recognise<N>);

impl<'de, N> DeserializeSeed<'de> for NameSeed<N> {
    type Value = Result<N, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<N> Visitor<'_> for NameSeed<N> {
    type Value = Result<N, String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a field")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok((self.0)(name).ok_or_else(|| shorten(name)))
    }
}

/// Reads a list, item by item.
struct ListSeed<N, R> {
    recognise: Recognise<N>,
    read: R,
}

impl<'de, N: Copy + PartialEq, T, R: FnMut(usize, Value<'de, N>) -> T> DeserializeSeed<'de> for ListSeed<N, R> {
    type Value = (Vec<T>, usize);

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, N: Copy + PartialEq, T, R: FnMut(usize, Value<'de, N>) -> T> Visitor<'de> for ListSeed<N, R> {
    type Value = (Vec<T>, usize);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while items.len() < MOST_ITEMS {
            let Some(item) = list.next_element_seed(ValueSeed(Some(self.recognise)))? else { break };
            items.push((self.read)(items.len(), item));
        }
        let mut count = items.len();
        while count >= MOST_ITEMS && list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok((items, count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Knows two names.
    fn recognise(name: &str) -> Option<&'static str> {
        ["brand", "year"].into_iter().find(|known| *known == name)
    }

    fn parse(text: &[u8]) -> Result<Value<'_, &'static str>, Problem> {
        super::parse(text, 16, recognise)
    }

    fn fields(text: &str) -> Fields<'_, &'static str> {
        let Value::Object(fields) = parse(text.as_bytes()).unwrap() else { panic!("{text} is an object") };
        fields
    }

    #[test]
    fn what_stands_too_deep_is_refused_unread() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(16).as_bytes()).is_ok());
        let text = nested(17);
        let problem = parse(text.as_bytes()).unwrap_err();
        assert_eq!(problem, Problem::MalformedJson { detail: "it is nested deeper than 16 levels".into() });
        let in_a_text = format!("[\"{} \\\" {}\"]", "[".repeat(50), "{".repeat(50));
        assert_eq!(depth(in_a_text.as_bytes()), 1);
        assert!(parse(in_a_text.as_bytes()).is_ok());
    }

    #[test]
    fn known_fields_are_kept_and_repeated_ones_are_seen() {
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
    fn of_many_wrong_fields_few_are_kept_and_all_counted() {
        let wrong = r#""year": [], "a": {}, "#.repeat(40_000);
        let text = format!(r#"{{{wrong} "brand": "Kia"}}"#);
        let fields = fields(&text);
        assert_eq!(fields.as_slice().len(), 1 + MAX_ERRORS + 1);
        assert_eq!(fields.omitted(), 40_000 + 39_999 - MAX_ERRORS);
        assert_eq!(fields.as_slice().last(), Some(&Field::Known("brand", Value::Text("Kia".into()))));
    }

    #[test]
    fn long_names_are_cut() {
        let text = format!(r#"{{"{}": 1}}"#, "я".repeat(100_000));
        let fields = fields(&text);
        assert_eq!(fields.as_slice(), [Field::Unknown(format!("{}…", "я".repeat(60)))]);
    }

    #[test]
    fn texts_are_borrowed_unless_they_are_escaped() {
        let Value::Text(Cow::Borrowed("Rio")) = parse(br#""Rio""#).unwrap() else { panic!("a part of the text") };
        assert_eq!(parse(br#""\u0052io""#).unwrap(), Value::Text("Rio".into()));
    }

    #[test]
    fn any_value_has_a_kind() {
        for (text, kind) in
            [("[{}]", "a list"), ("\"x\"", "a text"), ("-1", "a number"), ("null", "null"), ("{}", "an object")]
        {
            assert_eq!(parse(text.as_bytes()).unwrap().kind(), kind);
        }
    }

    #[test]
    fn long_lists_are_counted_and_not_kept() {
        let text = format!("[{}1]", "1,".repeat(MOST_ITEMS + 4));
        let (items, count) = parse_list(text.as_bytes(), 16, recognise, |place, _| place).unwrap().unwrap();
        assert_eq!((items.len(), items.last(), count), (MOST_ITEMS, Some(&(MOST_ITEMS - 1)), MOST_ITEMS + 5));
        assert_eq!(parse_list(b" {}", 16, recognise, |_, _| ()).unwrap(), None);
        assert!(parse_list(b" {", 16, recognise, |_, _| ()).is_err());
    }

    #[test]
    fn malformed_json_is_placed() {
        let problem = parse(b"{\"year\": 2018,\n  oops}").unwrap_err();
        assert_eq!(problem, Problem::MalformedJson { detail: "key must be a string at line 2 column 3".into() });
        assert!(parse(b"{} {}").is_err());
        assert!(parse(b"{\"a\": \"\xff\"}").is_err(), "not even in a value that is skipped");
    }
}

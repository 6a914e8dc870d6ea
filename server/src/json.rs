//! JSON as it was sent: fields in order, repeated ones included, so that each can be refused by name.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value;

use crate::problem::Problem;

/// A value that should be an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    /// Its fields in order, repeated names included.
    Object(Vec<(String, Value)>),
    /// Another kind of value, by name.
    Other(&'static str),
}

/// A value that should be a list of objects.
#[derive(Debug)]
pub(crate) enum List {
    /// The first items, at most [`MOST_ITEMS`], and how many there are in all.
    Items(Vec<Item>, usize),
    /// Another kind of value.
    Other,
}

/// The longest list that is accepted.
pub(crate) const MOST_ITEMS: usize = 10_000;

/// Reads JSON that is nested no deeper than so.
///
/// # Errors
/// [`Problem::MalformedJson`] with line and column.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8], max_depth: usize) -> Result<T, Problem> {
    if depth(text) > max_depth {
        let detail = format!("it is nested deeper than {max_depth} levels");
        return Err(Problem::MalformedJson { detail });
    }
    serde_json::from_slice(text).map_err(|error| Problem::MalformedJson { detail: error.to_string() })
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

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Item, A::Error> {
        let mut fields = Vec::with_capacity(20);
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(Item::Object(fields))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Item, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Item::Other("a list"))
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Item, E> {
        Ok(Item::Other("a text"))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Item, E> {
        Ok(Item::Other("a boolean"))
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Item, E> {
        Ok(Item::Other("a number"))
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Item, E> {
        Ok(Item::Other("a number"))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Item, E> {
        Ok(Item::Other("a number"))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Item, E> {
        Ok(Item::Other("null"))
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<List, A::Error> {
        let mut items = Vec::new();
        while items.len() < MOST_ITEMS {
            match list.next_element()? {
                Some(item) => items.push(item),
                None => break,
            }
        }
        let mut count = items.len();
        while count >= MOST_ITEMS && list.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(List::Items(items, count))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<List, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(List::Other)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<List, E> {
        Ok(List::Other)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<List, E> {
        Ok(List::Other)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<List, E> {
        Ok(List::Other)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<List, E> {
        Ok(List::Other)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<List, E> {
        Ok(List::Other)
    }

    fn visit_unit<E: de::Error>(self) -> Result<List, E> {
        Ok(List::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, Problem> {
        super::parse(text, 16)
    }

    #[test]
    fn what_stands_too_deep_is_refused_unread() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse::<Item>(nested(16).as_bytes()).is_ok());
        let problem = parse::<Item>(nested(17).as_bytes()).unwrap_err();
        assert_eq!(problem, Problem::MalformedJson { detail: "it is nested deeper than 16 levels".into() });
        let in_a_text = format!("[\"{} \\\" {}\"]", "[".repeat(50), "{".repeat(50));
        assert_eq!(depth(in_a_text.as_bytes()), 1);
        assert!(parse::<Item>(in_a_text.as_bytes()).is_ok());
    }

    #[test]
    fn repeated_fields_are_seen() {
        let item: Item = parse(br#"{"year": 1, "year": 2}"#).unwrap();
        assert_eq!(item, Item::Object(vec![("year".into(), 1.into()), ("year".into(), 2.into())]));
    }

    #[test]
    fn any_value_is_read_and_none_but_objects_taken() {
        for (text, kind) in [("[{}]", "a list"), ("\"x\"", "a text"), ("-1", "a number"), ("null", "null")] {
            assert_eq!(parse::<Item>(text.as_bytes()).unwrap(), Item::Other(kind));
        }
    }

    #[test]
    fn long_lists_are_counted_and_not_kept() {
        let text = format!("[{}1]", "1,".repeat(MOST_ITEMS + 4));
        let List::Items(items, count) = parse(text.as_bytes()).unwrap() else { panic!("a list") };
        assert_eq!((items.len(), count), (MOST_ITEMS, MOST_ITEMS + 5));
    }

    #[test]
    fn what_is_no_json_is_placed() {
        let problem = parse::<Item>(b"{\"year\": 2018,\n  oops}").unwrap_err();
        assert_eq!(problem, Problem::MalformedJson { detail: "key must be a string at line 2 column 3".into() });
    }
}

//! Points in time as people write them.

use chrono::{DateTime, NaiveDateTime, Utc};

/// Reads a time in UTC, such as `2026-11-24 14:05`, or with an offset (RFC 3339). `None` if it is neither.
#[must_use]
pub fn parse(text: &str) -> Option<DateTime<Utc>> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.to_utc());
    }
    let formats = ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];
    let time = formats.into_iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    time.map(|time| time.and_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_utc_unless_they_have_an_offset() {
        let expected = parse("2026-11-24T14:05:00Z");
        assert!(expected.is_some());
        for text in ["2026-11-24 14:05", "2026-11-24T14:05", "2026-11-24 14:05:00", "2026-11-24T17:05:00+03:00"] {
            assert_eq!(parse(text), expected, "{text}");
        }
        for text in ["", "14:05", "2026-11-24", "2026-11-31 14:05", "on Tuesday"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}

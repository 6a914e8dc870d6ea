//! A value of a listing.

use chrono::{Datelike, NaiveDate};

use crate::column::{Column, Kind, MAX_TEXT_CHARS};
use crate::market::Reading;
use crate::problem::Reason;

/// A value of a listing, validated against its column.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text, trimmed and not empty.
    Text(String),
    /// A number in the column's unit.
    Number(f64),
    /// A calendar day.
    Date(NaiveDate),
}

impl Value {
    /// A text, trimmed and with single spaces; `None` if it is blank.
    ///
    /// # Errors
    /// The text is too long or has a NUL character, which PostgreSQL cannot store.
    pub fn text(text: &str) -> Result<Option<Self>, Reason> {
        let text = single_spaced(text);
        if text.contains('\0') {
            return Err(Reason::NotAText);
        }
        if text.chars().count() > MAX_TEXT_CHARS {
            return Err(Reason::TooLong);
        }
        Ok((!text.is_empty()).then_some(Self::Text(text)))
    }

    /// A number of a numeric column, in the stored unit.
    ///
    /// # Errors
    /// The number is not finite, not whole where the column requires it, or out of bounds.
    pub fn number(column: Column, number: f64, reading: Reading<'_>) -> Result<Self, Reason> {
        if !number.is_finite() {
            return Err(Reason::NotANumber);
        }
        if matches!(column.kind(), Kind::Integer { .. }) && number.fract() != 0.0 {
            return Err(Reason::NotAnInteger);
        }
        if reading.bounds(column).is_none_or(|(min, max)| (min..=max).contains(&number)) {
            return Ok(Self::Number(number));
        }
        let (min, max) = reading.shown_bounds(column).unwrap_or_default();
        Err(Reason::OutOfRange { min, max })
    }

    /// A date of a listing.
    ///
    /// # Errors
    /// There were no such listings yet, or will not be for long.
    pub fn date(date: NaiveDate) -> Result<Self, Reason> {
        if (1990..=2099).contains(&date.year()) { Ok(Self::Date(date)) } else { Err(Reason::DateOutOfRange) }
    }
}

/// Trims a text and collapses its spaces. A text that is too long for any column is cut, but remains too long.
#[must_use]
pub fn single_spaced(text: &str) -> String {
    let mut single = String::new();
    let mut chars = 0;
    for word in text.split_whitespace() {
        if chars > MAX_TEXT_CHARS {
            break;
        }
        if chars > 0 {
            single.push(' ');
            chars += 1;
        }
        let end = word.char_indices().nth(MAX_TEXT_CHARS + 1).map_or(word.len(), |(end, _)| end);
        single.push_str(&word[..end]);
        chars += word[..end].chars().count();
    }
    single
}

//! Validation errors of a cell, worded so that its author can fix it.

use crate::column::Column;
use crate::language::Language;
use crate::message::{self, Argument, Arguments, Topic};

/// An invalid cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Problem {
    /// The column of the cell.
    pub column: Column,
    /// The original value, shortened; empty if it was missing.
    pub value: String,
    /// What is wrong with it.
    pub reason: Reason,
}

/// Why a cell is invalid.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// The column is required and the cell is empty.
    Missing,
    /// A number was expected.
    NotANumber,
    /// A whole number was expected.
    NotAnInteger,
    /// A number such as `150.000` that may mean 150 or 150,000.
    Ambiguous {
        /// One meaning.
        first: f64,
        /// Another.
        second: f64,
    },
    /// A number outside its inclusive bounds.
    OutOfRange {
        /// Minimum.
        min: f64,
        /// Maximum.
        max: f64,
    },
    /// A calendar day was expected.
    NotADate,
    /// A date outside the accepted years.
    DateOutOfRange,
    /// A text that exceeds the maximum length.
    TooLong,
    /// Text was expected.
    NotAText,
    /// A formula without a computed value, or an error such as `#N/A`.
    NoValue,
}

impl Reason {
    /// A stable identifier for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotANumber => "not_a_number",
            Self::NotAnInteger => "not_an_integer",
            Self::Ambiguous { .. } => "ambiguous_number",
            Self::OutOfRange { .. } => "out_of_range",
            Self::NotADate => "not_a_date",
            Self::DateOutOfRange => "date_out_of_range",
            Self::TooLong => "too_long",
            Self::NotAText => "not_a_text",
            Self::NoValue => "no_value",
        }
    }
}

impl Reason {
    /// The reason in a language, to follow the name of the column.
    #[must_use]
    pub fn text(&self, language: Language) -> String {
        message::text(Topic::Field, self.code(), &self.arguments(), language)
    }

    /// The arguments of its message.
    #[must_use]
    pub fn arguments(&self) -> Arguments {
        match *self {
            Self::OutOfRange { min, max } => vec![("min", Argument::Number(min)), ("max", Argument::Number(max))],
            Self::Ambiguous { first, second } => {
                vec![("first", Argument::Number(first)), ("second", Argument::Number(second))]
            }
            _ => Vec::new(),
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text(Language::English))
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.column.name(), self.reason)?;
        if self.value.is_empty() { Ok(()) } else { write!(f, " (got {:?})", self.value) }
    }
}
